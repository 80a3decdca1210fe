"""The one paid request as people may read it: in a dry run, on the operators' page. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from providers.apis import api_of
from providers.orders import OPENAI, Order

HIDDEN = "(hidden)"
SHOWN_KEY = "key:key"  # stands for the key, in whichever parts a provider takes it


def shown_request(order: Order, base_url: str) -> dict[str, object]:
    """Method, URL, headers and body, without the key. Not the bytes: a form is shown as its fields."""
    api = api_of(order.provider, base_url)
    request = api.create(order)
    key_headers = {name: _without_key(value) for name, value in api.authorization(SHOWN_KEY, 0.0).items()}
    headers = key_headers | {name: value.partition("; boundary=")[0] for name, value in request.headers.items()}
    body: Mapping[str, Any] | list[Any] = order.fields() if order.provider == OPENAI else json.loads(request.body)
    return {"method": request.method, "url": request.url, "headers": headers, "body": body}


def _without_key(value: str) -> str:
    """`Bearer (hidden)`: the scheme, if there is one."""
    scheme, space, _ = value.partition(" ")
    return f"{scheme} {HIDDEN}" if space else HIDDEN
