"""The public description of the protocol, where it lies beside the repository: what answers must fit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from openapi_schema_validator import OAS31Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

DESCRIPTION = Path(__file__).parents[3] / "shared" / "videos-openapi.yaml"
HOME = "urn:description"

Check = Callable[[str, Any], None]


@pytest.fixture(scope="session")
def described() -> Any:
    if not DESCRIPTION.exists():
        pytest.skip(f"the description of the protocol is not beside this repository: {DESCRIPTION}")
    return yaml.safe_load(DESCRIPTION.read_text())


@pytest.fixture(scope="session")
def holds(described: Any) -> Check:
    """Assert that a value fits a named schema and says nothing the schema does not name."""
    registry = Registry().with_resource(HOME, DRAFT202012.create_resource(described))

    def check(name: str, value: Any) -> None:
        reference = {"$ref": f"{HOME}#/components/schemas/{name}"}
        problems = list(OAS31Validator(reference, registry=registry).iter_errors(value))
        assert not problems, [f"{list(each.path)}: {each.message}" for each in problems]
        assert set(value) <= set(described["components"]["schemas"][name]["properties"])

    return check
