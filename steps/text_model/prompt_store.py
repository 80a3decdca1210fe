"""The templates in use: an edit is picked up at the next run; after a broken edit the last good version stays in use.

In       the prompts' folder, the steps' contracts
Out      a template by id, the current version or an earlier one
Raises   TemplateError if there is no good version yet
Effects  reads files when they have changed
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from steps.text_model.brand import BRAND_FILE, BRAND_ID
from steps.text_model.front_matter import TemplateError
from steps.text_model.templates import Contract, Template, load_template

Stamp = tuple[tuple[int, ...], ...]


class PromptStore:
    """A folder's templates. `on_broken` is called once per broken edit; `broken` holds the current ones."""

    def __init__(
        self,
        folder: Path,
        on_broken: Callable[[TemplateError], None] | None = None,
        contracts: Mapping[str, Contract] | None = None,
    ) -> None:
        self._folder = folder
        self._on_broken = on_broken
        self._contracts = contracts or {}
        self._good: dict[str, Template] = {}
        self._seen: dict[str, Stamp] = {}
        self._before: dict[tuple[str, str, str], Template] = {}
        self.broken: dict[str, TemplateError] = {}

    def get(self, template_id: str) -> Template:
        """The last good version. Raises TemplateError if there is none yet."""
        path = self._folder / f"{template_id}.md"
        stamp = (_stamp(path), _stamp(path.with_name(BRAND_FILE)))
        if self._seen.get(template_id) != stamp:
            self._seen[template_id] = stamp
            self._read(template_id, path)
        return self._good[template_id]

    def version(self, template_id: str, versions: Mapping[str, str]) -> Template | None:
        """The template whose files had these sha256; None if it was not read here."""
        return self._before.get(_key(template_id, versions))

    def keep(self, template: Template) -> None:
        """Stores a version that was read elsewhere."""
        self._before[_key(template.id, template.versions)] = template

    def _read(self, template_id: str, path: Path) -> None:
        try:
            template = load_template(path, self._contracts.get(template_id))
        except TemplateError as error:
            if template_id not in self._good:
                del self._seen[template_id]
                raise
            self.broken[template_id] = error
            if self._on_broken:
                self._on_broken(error)
        else:
            self.broken.pop(template_id, None)
            self._good[template_id] = template
            self.keep(template)


def _key(template_id: str, versions: Mapping[str, str]) -> tuple[str, str, str]:
    return template_id, versions.get(template_id, ""), versions.get(BRAND_ID, "")


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        stat = path.stat()
    except OSError:
        return ()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
