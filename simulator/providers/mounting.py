"""Mounts every vendor below its own name: `http://HOST:PORT/<name>` is its base URL.

A module in `vendors/` is mounted by being there, so that adding one changes no other file. It has `VENDOR` and
`add_routes(router, vendor)`.
"""

import importlib
import pkgutil
from types import ModuleType

from aiohttp import web

from simulator.providers import vendors
from simulator.providers.callbacks import add_callbacks
from simulator.state import STATE


def modules() -> list[ModuleType]:
    """The modules of all vendors, by name."""
    names = sorted(each.name for each in pkgutil.iter_modules(vendors.__path__))
    return [importlib.import_module(f"{vendors.__name__}.{name}") for name in names]


def add_providers(app: web.Application) -> None:
    """Mount all vendors, and report the ends of their jobs."""
    mounted = {}
    for module in modules():
        module.add_routes(app.router)
        app[STATE].new_ids[module.VENDOR.name] = module.VENDOR.new_id
        mounted[module.VENDOR.name] = module.VENDOR
    add_callbacks(app, mounted)
