"""Only one place in the product can send a request that pays."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PRODUCT = ("app", "bot", "cli", "evals", "media", "net", "pipeline", "providers", "steps", "web")
SENDS = {"post", "request", "send", "stream", "build_request", "urlopen"}  # methods of HTTP clients that can POST
CLIENTS = {"httpx2", "httpx", "aiohttp", "requests", "urllib3", "http"}  # and the packages that have them
TRANSPORT = "providers/transport.py"
# Where else a client of these packages sends something, and what: none of it goes to a provider of videos but reads.
OTHERS = {
    "providers/clips/download.py": {"stream"},  # a clip, by GET
    "pipeline/clips/bucket.py": {"stream"},  # a clip of our own, by GET
    "cli/checks/vendor_probe.py": set(),  # PUBLIC_URL's health check, by GET
    "cli/checks/provider_probe.py": set(),  # free reads, by GET
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for folder in PRODUCT:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def imports(tree: ast.Module) -> set[str]:
    found = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    found |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in found}


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def sent_by(tree: ast.AST) -> set[str]:
    named = (call.func.attr for call in calls(tree) if isinstance(call.func, ast.Attribute))
    return {name for name in named if name in SENDS}


def test_only_the_transport_sends_with_an_http_client() -> None:
    found = {
        name: sent
        for name, tree in modules()
        if name != TRANSPORT and imports(tree) & {"httpx2", "httpx"} and (sent := sent_by(tree))
    }
    assert found == {name: sent for name, sent in OTHERS.items() if sent}


def test_nothing_buys_through_an_sdk() -> None:
    for name, tree in modules():
        attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert "videos" not in attributes or "openai" not in imports(tree), name
        vendors = {"fal_client", "replicate", "runwayml", "lumaai", "openrouter", "higgsfield_client", "runware"}
        assert not imports(tree) & vendors, name


def test_transport_sends_at_one_line_which_only_post_and_reads_reach() -> None:
    tree = ast.parse((ROOT / TRANSPORT).read_text(encoding="utf-8"))
    [sends] = [call for call in calls(tree) if isinstance(call.func, ast.Attribute) and call.func.attr == "request"]
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef)]
    holding = [each.name for each in functions if sends in set(ast.walk(each))]
    assert holding == ["_send"]
    callers = {
        each.name
        for each in functions
        for call in calls(each)
        if isinstance(call.func, ast.Attribute) and call.func.attr == "_send"
    }
    assert callers == {"post", "_read"}


def test_only_post_asks_a_provider_for_the_request_that_pays() -> None:
    asked = {
        name
        for name, tree in modules()
        for call in calls(tree)
        if isinstance(call.func, ast.Attribute)
        and call.func.attr == "create"
        and isinstance(call.func.value, ast.Name | ast.Attribute)
        and ast.unparse(call.func.value) in {"api", "self.api"}
    }
    assert asked == {TRANSPORT, "providers/shown_request.py"}  # the second one shows it
