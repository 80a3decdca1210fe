"""Mounts a project's REST and Storage routes, and the control routes over them.

In       the application, with its state created
Effects  adds routes; opens a session to PostgREST, and closes it with the server
"""

from aiohttp import web

from simulator.state import STATE
from simulator.supabase import gateway, storage
from simulator.supabase.state import PROJECT, Project
from simulator.videos.errors import json_answer


def add_supabase(app: web.Application) -> None:
    """Mount the project."""
    settings = app[STATE].settings
    app[PROJECT] = Project(settings.postgrest, settings.supabase_keys)
    app.on_startup.append(gateway.open_session)
    app.on_cleanup.append(gateway.close_session)
    app.router.add_route("*", "/rest/v1/{path:.*}", gateway.rest)
    app.router.add_route("*", "/storage/v1/{path:.+}", storage.storage)
    app.router.add_get("/_sim/supabase", books)
    app.router.add_delete("/_sim/supabase", remove_buckets)


async def remove_buckets(request: web.Request) -> web.Response:
    """Delete buckets, as a person could in the dashboard."""
    request.app[PROJECT].buckets.clear()
    return json_answer({})


async def books(request: web.Request) -> web.Response:
    """Show the buckets' contents and every call."""
    return json_answer(request.app[PROJECT].as_json())
