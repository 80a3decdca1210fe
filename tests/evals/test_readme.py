"""prompts/README.md as a newcomer follows it: runs each command and compares each line of output.

Numbers, hashes and the wording of the current tone may be anything: after an edit of a prompt is recorded, this test
still passes.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".*cache", "__pycache__", "node_modules", ".onetake*")
VARIES = [
    (re.compile(r"\[-.*?-\]"), "[-...-]"),
    (re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{6}\b|\b[a-f]{6}\b"), "<version>"),
    (re.compile(r"\d+(\.\d+)?"), "N"),
    (re.compile(r" +"), " "),
]
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def steps() -> list[tuple[str, list[str]]]:
    """Each command of the README, with the output lines that follow it."""
    found: list[tuple[str, list[str]]] = []
    for block in BLOCK.findall((ROOT / "prompts" / "README.md").read_text()):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def alike(line: str) -> str:
    for pattern, word in VARIES:
        line = pattern.sub(word, line)
    return line.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(ROOT, tmp_path / "clone", ignore=LEFT_OUT))
    (folder / ".venv").mkdir()
    (folder / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for arguments in (["init", "-q", "."], ["add", "-A"], ["commit", "-qm", "as cloned"]):
        subprocess.run([*git, *arguments], cwd=folder, check=True)
    return folder


def test_prompts_readme_commands_print_what_the_readme_shows(clone: Path) -> None:
    walked = steps()
    assert [command.split()[2:3] for command, _ in walked if ".venv/bin/onetake" in command] == [
        ["lint"], ["show"], ["show"], ["show"], ["eval"], ["record"], ["eval"],
    ]  # fmt: skip
    env = {"PATH": os.environ["PATH"], "HOME": str(clone), "PYTHONPATH": str(clone)}
    for command, expected in walked:
        done = subprocess.run(["bash", "-c", command], cwd=clone, env=env, capture_output=True, text=True, check=False)
        printed = [alike(line) for line in done.stdout.splitlines()]
        assert printed == [alike(line) for line in expected], f"{command}\n{done.stdout}{done.stderr}"
