"""Finds templates, cases and recordings, of this checkout or of an earlier commit.

In       the working folder, or PROMPTS_FOLDER
Out      Bench: templates by id, the case files, the folder of recordings
Raises   Stop, ConfigError, TemplateError
Effects  reads files; `git show` for earlier versions
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from app.exits import Stop
from pipeline.settings.config import load_settings
from pipeline.settings.resources import models_file, prompts_folder
from providers.catalogue import Catalogue, load_catalogue
from steps.contracts import CONTRACTS
from steps.text_model.brand import BRAND_FILE, NO_BRAND, read_brand
from steps.text_model.templates import Template, load_template, read_template


@dataclass(frozen=True)
class Bench:
    """One folder of prompts, and its recordings."""

    prompts: Path

    @property
    def root(self) -> Path:
        return self.prompts.parent

    @property
    def recordings(self) -> Path:
        return self.root / "cassettes" / "prompts"

    @property
    def test_notes(self) -> Path:
        """The notes on the recordings of `tests/`."""
        return self.root / "cassettes" / "recorded.json"

    @property
    def test_recorder(self) -> Path:
        """The program that makes those recordings; exists only in a checkout."""
        return self.root / "tests" / "record.py"

    def template(self, template_id: str) -> Template:
        """The current template. Raises TemplateError."""
        return load_template(self.prompts / f"{known(template_id)}.md", CONTRACTS[template_id])

    def template_at(self, template_id: str, revision: str) -> Template:
        """The template at a commit. Raises Stop if it did not exist, TemplateError if it was broken."""
        name = f"{known(template_id)}.md"
        raw = self.show(revision, self.prompts / name)
        if raw is None:
            raise Stop(f"prompts/{name} is not in the commit {revision}")
        brand = self.show(revision, self.prompts / BRAND_FILE)
        return read_template(name, raw, read_brand(brand) if brand else NO_BRAND)

    def show(self, revision: str, path: Path) -> bytes | None:
        """A file at a commit; None if it did not exist. Raises Stop without git or such a commit."""
        self._git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", wanting=revision)
        shown = self._run("show", f"{revision}:./{path.relative_to(self.root).as_posix()}")
        return shown.stdout if shown.returncode == 0 else None

    def _git(self, *arguments: str, wanting: str) -> bytes:
        done = self._run(*arguments)
        if done.returncode != 0:
            raise Stop(f"there is no commit {wanting} in {self.root}; earlier versions come from git")
        return done.stdout

    def _run(self, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
        try:
            return subprocess.run(["git", *arguments], cwd=self.root, capture_output=True, check=False)  # noqa: S603, S607  # git, with our arguments
        except OSError as error:
            raise Stop(f"git cannot be run ({error.strerror}); earlier versions come from it") from error


def open_bench() -> Bench:
    """Open PROMPTS_FOLDER, `prompts/` in the working folder, or the project's own."""
    folder, here = load_settings().prompts_folder, Path("prompts")
    if folder is None:
        folder = here if any((here / f"{name}.md").exists() for name in CONTRACTS) else prompts_folder()
    if not folder.is_dir():
        raise Stop(f"PROMPTS_FOLDER: {folder} is not a folder")
    return Bench(folder.resolve())


def known(template_id: str) -> str:
    """Check an id, which may be given as a file name. Raises Stop."""
    name = Path(template_id).name.removesuffix(".md")
    if name not in CONTRACTS:
        raise Stop(f"there is no template {template_id}; choose one of {', '.join(CONTRACTS)}")
    return name


def catalogue() -> Catalogue:
    return load_catalogue(models_file())
