"""Checks answers against the protocol: the types of the installed `openai` package, and the public description.

The description (an OpenAPI file) is used too if it lies beside the repository; it says more, and is not ours.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from openai import BaseModel
from openai.pagination import AsyncConversationCursorPage
from openai.types import CompletionUsage, Video, VideoDeleteResponse
from openai.types.chat import ChatCompletion, ChatCompletionMessage
from openai.types.shared import ErrorObject
from openapi_schema_validator import OAS31Validator
from pydantic import ValidationError
from referencing import Registry
from referencing.jsonschema import DRAFT202012

DESCRIPTION = Path(__file__).parents[3] / "shared" / "videos-openapi.yaml"
HOME = "urn:description"

Check = Callable[[str, Any], None]


class ErrorResponse(BaseModel):
    error: ErrorObject


class VideoListResource(AsyncConversationCursorPage[Video]):
    """The package declares only the fields of a page that it needs; the others follow the description."""

    object: str
    first_id: str | None


TYPES: Mapping[str, type[BaseModel]] = {
    "VideoResource": Video,
    "VideoListResource": VideoListResource,
    "DeletedVideoResource": VideoDeleteResponse,
    "ErrorResponse": ErrorResponse,
    "CreateChatCompletionResponse": ChatCompletion,
    "ChatCompletionResponseMessage": ChatCompletionMessage,
    "CompletionUsage": CompletionUsage,
}


@pytest.fixture(scope="session")
def holds() -> Check:
    """Return a check: a value fits a named schema and has no field that the schema does not name."""
    also = _by_description() if DESCRIPTION.exists() else None

    def check(name: str, value: Any) -> None:
        try:
            TYPES[name].model_validate(value)
        except ValidationError as error:
            raise AssertionError([f"{each['loc']}: {each['msg']}" for each in error.errors()]) from error
        assert set(value) <= set(TYPES[name].model_fields)
        if also is not None:
            also(name, value)

    return check


def _by_description() -> Check:
    described = yaml.safe_load(DESCRIPTION.read_text())
    registry = Registry().with_resource(HOME, DRAFT202012.create_resource(described))

    def check(name: str, value: Any) -> None:
        reference = {"$ref": f"{HOME}#/components/schemas/{name}"}
        problems = list(OAS31Validator(reference, registry=registry).iter_errors(value))
        assert not problems, [f"{list(each.path)}: {each.message}" for each in problems]
        assert set(value) <= set(described["components"]["schemas"][name]["properties"])

    return check
