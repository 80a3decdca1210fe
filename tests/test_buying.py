"""One place can buy: by the syntax trees of the product, nothing else could send a paid request.

An exemption is written down with its reason, and goes when its code goes.
"""

import ast
from collections.abc import Iterator

import pytest

from tests.test_tidy import FOLDERS, ROOT, sources

OUTSIDE = {"simulator"}  # it is the other side
TRANSPORT = "providers/transport.py"
# Packages whose clients can POST. aiohttp's server and aiogram's types are listed by their parts.
CLIENTS = ("httpx", "httpx2", "aiohttp", "requests", "urllib", "urllib3", "http", "openai", "instructor", "supabase")
VENDORS = ("fal_client", "replicate", "runwayml", "lumaai", "openrouter", "higgsfield_client", "runware", "together")
CLIENTS_IN_PARTS = ("aiogram.client", "storage3", "postgrest", "websockets", "grpc", "byteplussdk", *VENDORS)
HARMLESS = ("aiohttp.web", "aiohttp.http_exceptions", "urllib.parse", "http.HTTPStatus", "storage3.exceptions")
MAY_IMPORT_A_CLIENT = {
    TRANSPORT: "the only one that buys",
    "providers/clips/clip_url.py": "fetches clips",
    "providers/clips/download.py": "fetches clips",
    "providers/response.py": "reads headers of answers",
    "net/bounded_body.py": "bounds answers",
    "net/certificates.py": "reads the system's proxy settings",
    "steps/text_model/ask_model.py": "asks the text model",
    "evals/recordings.py": "replays recorded answers of the text model",
    "pipeline/clips/bucket.py": "stores clips in Supabase's bucket",
    "pipeline/ledger/transports/over_rest.py": "calls the ledger's functions",
    "bot/transport/session.py": "calls Telegram",
    "app/telegram.py": "names Telegram's server",
    "cli/checks/provider_probe.py": "asks for lists and unknown jobs",
    "cli/checks/vendor_probe.py": "asks for our own health check",
    "cli/demo_script.py": "reads the simulator's books",
}
SENDS = {"post", "put", "patch", "delete", "request", "stream", "send", "build_request", "urlopen", "ws_connect"}
# Calls by these names, other than a plain GET: where, of what, and why that buys nothing.
MAY_CALL = {
    (TRANSPORT, "http.request"): "_send, checked below",
    ("steps/generate_video.py", "provider.post"): "the way to it",
    ("providers/port.py", "reading.send"): "the reply of a reading",
    (TRANSPORT, "reading.send"): "the reply of a reading",
    ("bot/delivery/delivery.py", "self.send"): "a message",
    ("bot/transport/replies.py", "send"): "a message",
    ("bot/requests/ordering.py", "self._for_sale.of(chosen.model).request"): "what is asked for, as a value",
    ("pipeline/clips/maintenance.py", "bucket.put"): "a clip into the bucket",
    ("pipeline/clips/storage.py", "context.bucket.put"): "a clip into the bucket",
    ("web/app.py", "web.post"): "a route of our own server",
    ("web/changes.py", "request.post"): "the form of a page",
    ("web/middleware.py", "request.post"): "the form of a page",
    ("cli/demo_script.py", "urllib.request.urlopen"): "the simulator's own control address",
}


def product() -> dict[str, ast.Module]:
    found = {str(path.relative_to(ROOT)): text for path, text in sources().items()}
    return {name: ast.parse(text) for name, text in found.items() if name.partition("/")[0] in set(FOLDERS) - OUTSIDE}


def clients_in(tree: ast.Module) -> set[str]:
    """Modules and names imported from packages that can POST, also inside functions."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {
        name
        for name in found
        if (name.partition(".")[0] in CLIENTS or name.startswith(CLIENTS_IN_PARTS)) and not name.startswith(HARMLESS)
    }


def sends_in(tree: ast.AST) -> Iterator[ast.Call]:
    """Calls that may send something other than a GET."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        verb = node.args[0] if node.args else None
        is_read = isinstance(verb, ast.Constant) and verb.value in {"GET", "HEAD"}
        if name in SENDS and not is_read:
            yield node


def named(calls: Iterator[ast.Call]) -> set[str]:
    return {ast.unparse(call.func) for call in calls}


def functions_with(tree: ast.AST, wanted: ast.AST) -> str:
    """The name of the innermost function around a node."""
    around = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and any(each is wanted for each in ast.walk(node))
    ]
    return min(around, key=lambda node: sum(1 for _ in ast.walk(node))).name if around else "<module>"


def test_only_listed_files_import_a_client_that_can_post() -> None:
    found = {name: clients_in(tree) for name, tree in product().items()}
    assert {name: clients for name, clients in found.items() if clients and name not in MAY_IMPORT_A_CLIENT} == {}
    assert [name for name in MAY_IMPORT_A_CLIENT if not found.get(name)] == [], "no longer needed"


def test_nothing_else_calls_what_could_send_a_paid_request() -> None:
    found = {(name, call) for name, tree in product().items() for call in named(sends_in(tree))}
    assert found == set(MAY_CALL)


def test_no_product_code_uses_the_openai_package_for_videos() -> None:
    used = [
        f"{name}:{node.lineno}"
        for name, tree in product().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "videos"
    ]
    assert used == []


def test_order_becomes_a_request_in_the_fence_and_in_what_people_are_shown() -> None:
    created = {
        (name, functions_with(tree, node))
        for name, tree in product().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"api.create", "self.api.create"}
    }
    assert created == {(TRANSPORT, "post"), ("providers/shown_request.py", "shown_request")}


def test_only_creates_make_requests_that_pay() -> None:
    paying = {
        (name.startswith(("providers/vendors/", "providers/openai_videos/")), functions_with(tree, node))
        for name, tree in product().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg == "pays" and not _passes_on(node)
    }
    assert paying == {(True, "create")}


def _passes_on(keyword: ast.keyword) -> bool:
    return isinstance(keyword.value, ast.Name) and keyword.value.id == "pays"


def test_no_request_pays_by_the_place_of_its_argument() -> None:
    """So that the test above sees each one that does."""
    places = {
        (name, node.lineno)
        for name, tree in product().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Request" and len(node.args) > 4
    }
    assert places == set()


def test_transport_sends_a_request_that_pays_in_one_place() -> None:
    tree = product()[TRANSPORT]
    methods = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)}
    [wire] = [call for call in sends_in(tree) if ast.unparse(call.func) == "http.request"]
    assert functions_with(tree, wire) == "_send"
    senders = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "self._send"]
    assert sorted(functions_with(tree, node) for node in senders) == ["_read", "post"]

    [loop] = [node for node in ast.walk(methods["_read"]) if isinstance(node, ast.For)]
    first = loop.body[0]
    assert isinstance(first, ast.If) and ast.unparse(first.test) == "request.pays"
    assert len(first.body) == 1 and isinstance(first.body[0], ast.Raise)
    assert [ast.unparse(node.args[1]) for node in senders if functions_with(tree, node) == "_read"] == ["request"]


@pytest.mark.parametrize(
    ("text", "called"),
    [
        ('http.post("https://x.test", json={})', {"http.post"}),
        ('await self.http.request("POST", url)', {"self.http.request"}),
        ("http.request(method, url)", {"http.request"}),
        ('http.stream("POST", url)', {"http.stream"}),
        ("client.send(client.build_request('POST', url))", {"client.send", "client.build_request"}),
        ("urlopen(request)", {"urlopen"}),
        ('http.stream("GET", url)', set()),
        ("http.get(url)", set()),
    ],
)
def test_calls_that_could_send_are_found(text: str, called: set[str]) -> None:
    tree = ast.parse(f"async def f():\n    {text}")
    assert named(sends_in(tree)) == called


@pytest.mark.parametrize(
    ("text", "clients"),
    [
        ("import httpx2", {"httpx2"}),
        ("def f():\n    from openai import OpenAI", {"openai.OpenAI"}),
        ("from aiohttp import ClientSession, web", {"aiohttp.ClientSession"}),
        ("import urllib.request", {"urllib.request"}),
        ("import fal_client", {"fal_client"}),
        ("from urllib.parse import quote\nfrom aiogram.types import Message\nimport json", set()),
    ],
)
def test_clients_that_could_post_are_found(text: str, clients: set[str]) -> None:
    assert clients_in(ast.parse(text)) == clients
