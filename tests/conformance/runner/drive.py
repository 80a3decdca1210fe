"""Runs one vendor's file, in the environment of the clients; nothing of ours is imported here.

    python -I drive.py FILE RESULT constants
    python -I drive.py FILE RESULT walk BASE_URL
    python -I drive.py FILE RESULT create BASE_URL FIELDS

RESULT is a file to write JSON to: clients print.
"""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any


def load(file: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"conformance_{Path(file).stem}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(file: str, result: str, verb: str, *arguments: str) -> None:
    module = load(file)
    said: Any = None
    if verb == "constants":
        said = {name: getattr(module, name) for name in ("KEY", "MODEL", "INPUT")}
        said["has_create"] = hasattr(module, "sdk_create")
    elif verb == "walk":
        said = module.walk(arguments[0])
    else:
        module.sdk_create(arguments[0], json.loads(arguments[1]))
    Path(result).write_text(json.dumps(said), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
