"""The prompt versions that a run uses: those in use when it began, until its end.

In       the prompt store, a run
Out      templates; the versions that go into the run's row
Raises   TemplateError, and what the ledger raises
Effects  stores each version's text in the ledger, once; notifies operators of a broken edit, once
"""

import contextlib
import hashlib
from collections.abc import Mapping

from pipeline.ledger.records import Run
from pipeline.ledger.transports.common import LedgerCall
from steps.contracts import CONTRACTS
from steps.text_model.brand import BRAND_ID, NO_BRAND, read_brand
from steps.text_model.front_matter import TemplateError
from steps.text_model.prompt_store import PromptStore
from steps.text_model.templates import Template, read_template


class PromptVersions:
    """The prompts of one folder, and the ledger that stores their versions."""

    def __init__(self, store: PromptStore, rpc: LedgerCall) -> None:
        self._store, self._rpc = store, rpc
        self._kept: set[str] = set()
        self._told: set[str] = set()

    async def present(self, needed: str) -> dict[str, Template]:
        """Every step's current template, by id, with its text stored in the ledger; a new run uses all of them.

        Raises TemplateError if `needed` is broken; other broken templates are left out.
        """
        templates = {needed: self._store.get(needed)}
        for template_id in CONTRACTS:
            with contextlib.suppress(TemplateError):
                templates[template_id] = self._store.get(template_id)
        for template in templates.values():
            await self._keep(template)
        return templates

    async def of(self, run: Run, template_id: str) -> Template:
        """The run's own version; the current one, for a run that began before versions were kept."""
        if template_id not in run.templates:
            return self._store.get(template_id)
        known = self._store.version(template_id, run.templates)
        if known is None:
            known = await recall(template_id, run.templates, self._rpc)
            self._store.keep(known)
        return known

    async def tell_broken(self) -> None:
        """Checks the folder, and notifies operators of broken edits."""
        for template_id in CONTRACTS:
            try:
                self._store.get(template_id)
            except TemplateError as error:
                self._store.broken[template_id] = error
        for template_id, why in self._store.broken.items():
            edit = hashlib.sha256(f"{template_id} {why}".encode()).hexdigest()[:12]
            if edit not in self._told:
                await self._rpc("template_broken", {"id": template_id, "edit": edit, "words": str(why)})
                self._told.add(edit)

    async def _keep(self, template: Template) -> None:
        texts = {template.id: template.text, BRAND_ID: template.brand.text}
        for name, sha256 in template.versions.items():
            if sha256 not in self._kept:
                body = texts[name].decode()
                await self._rpc("keep_template", {"sha256": sha256, "id": name, "body": body})
                self._kept.add(sha256)


def versions_of(templates: Mapping[str, Template]) -> dict[str, str]:
    """Template id, or 'brand' -> sha256: what goes into a run's row."""
    return {name: sha256 for template in templates.values() for name, sha256 in template.versions.items()}


async def recall(template_id: str, versions: Mapping[str, str], rpc: LedgerCall) -> Template:
    """A version from the ledger, with its version of the brand. Raises TemplateError if it is not there."""
    texts = {name: await rpc("template_text", {"sha256": versions[name]}) for name in versions}
    body = texts.get(template_id)
    if not isinstance(body, str):
        raise TemplateError(f"{template_id}: version {versions.get(template_id, '?')[:6]} is not in the ledger")
    brand = texts.get(BRAND_ID)
    return read_template(
        f"{template_id}.md", body.encode(), read_brand(brand.encode()) if isinstance(brand, str) else NO_BRAND
    )
