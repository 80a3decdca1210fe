"""Proofs that are tests: `python -m tests.guarantee.tested NAME ... --json FILE` runs every test file of such a name.

In       parts of file names, such as `races`; `--postgres 17` for the other major
Out      a row per test, in the other proofs' format; exit 1 if a test failed or none was found
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parent.parent.parent


def rows(junit: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for case in ElementTree.parse(junit).iter("testcase"):
        wrong = [str(each.get("message"))[:200] for each in case if each.tag in {"failure", "error"}]
        skipped = any(each.tag == "skipped" for each in case)
        name = f"{case.get('classname', '').rpartition('.')[2]}: {case.get('name', '').removeprefix('test_')}"
        ended = "failed" if wrong else "skipped" if skipped else "passed"
        found.append({"name": name.replace("_", " "), "ended": ended, "wrong": wrong})
    return sorted(found, key=lambda row: str(row["name"]))  # they run in random order


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.guarantee.tested")
    parser.add_argument("names", nargs="+")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--postgres", choices=("17",), help="on this major instead of the embedded one")
    options = parser.parse_args()
    files = sorted({str(path) for name in options.names for path in (ROOT / "tests").rglob(f"test_*{name}*.py")})
    with tempfile.TemporaryDirectory() as folder:
        junit = Path(folder) / "junit.xml"
        command = [sys.executable, "-m", "pytest", "-q", "--tb=short", f"--junitxml={junit}", *files]
        environment = os.environ | ({"ONETAKE_TEST_POSTGRES": options.postgres} if options.postgres else {})
        code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode if files else 1
        report = {"rows": rows(junit) if junit.exists() else []}
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))
    return code


if __name__ == "__main__":
    sys.exit(main())
