"""The chat page: people and bots in a browser.

In       `GET /chat` and its assets; `/` redirects there
Out      the files of `simulator/page/`, unchanged
"""

from pathlib import Path

from aiohttp import web

FOLDER = Path(__file__).parent.parent.parent / "page"
SUFFIXES = frozenset({".js", ".css", ".svg", ".png", ".woff2"})

_FRESH = {"Cache-Control": "no-cache"}


def add_page(app: web.Application) -> None:
    """Mount the page."""
    app.router.add_get("/", home)
    app.router.add_get("/chat", page)
    app.router.add_get("/chat/{asset}", asset)


async def home(_request: web.Request) -> web.StreamResponse:
    """Redirect to the page."""
    raise web.HTTPFound("/chat")


async def page(_request: web.Request) -> web.StreamResponse:
    """The page itself."""
    return _file("index.html")


async def asset(request: web.Request) -> web.StreamResponse:
    """An asset of the page."""
    name = request.match_info["asset"]
    if Path(name).name != name or Path(name).suffix not in SUFFIXES:
        raise web.HTTPNotFound
    return _file(name)


def _file(name: str) -> web.StreamResponse:
    path = FOLDER / name
    if not path.is_file():
        raise web.HTTPNotFound(text=f"{name} is not there")
    return web.FileResponse(path, headers=_FRESH)
