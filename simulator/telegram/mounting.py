"""Mounts the Bot API routes and the control routes on the simulator's application.

In       the application, with its state created
Effects  adds routes; ends polls, page streams and webhooks when the server stops
"""

from aiohttp import web

from simulator.state import STATE
from simulator.telegram.api import routes
from simulator.telegram.control import inspect, people
from simulator.telegram.state import TELEGRAM, Telegram

CONTROL = "/_sim/telegram"


def add_telegram(app: web.Application) -> None:
    """Mount Telegram."""
    app[TELEGRAM] = Telegram(app[STATE].settings)
    app.on_shutdown.append(_let_go)
    get, post = app.router.add_get, app.router.add_post
    for add in (get, post):
        add("/bot{token:[^/]+}/{method}", routes.call_method)
    get("/file/bot{token:[^/]+}/{path:.+}", routes.download)
    get(f"{CONTROL}/people", inspect.people)
    post(f"{CONTROL}/people", people.add_person)
    post(f"{CONTROL}/groups", people.add_group)
    post(f"{CONTROL}/messages", people.write)
    post(f"{CONTROL}/edits", people.edit)
    post(f"{CONTROL}/taps", people.tap_button)
    post(f"{CONTROL}/redeliver", people.redeliver)
    post(f"{CONTROL}/block", people.block)
    post(f"{CONTROL}/limits", people.limits)
    get(f"{CONTROL}/chats", inspect.chats)
    get(f"{CONTROL}/chats/{{chat_id}}", inspect.chat)
    get(f"{CONTROL}/updates", inspect.updates)
    get(f"{CONTROL}/calls", inspect.calls)
    get(f"{CONTROL}/answers", inspect.answers)
    get(f"{CONTROL}/events", inspect.events)
    get(f"{CONTROL}/files/{{file_id}}", inspect.film)


async def _let_go(app: web.Application) -> None:
    telegram = app[TELEGRAM]
    telegram.listeners.close()
    for bot in telegram.bots:
        bot.updates.interrupt(None)
        if bot.webhook is not None:
            await bot.webhook.stop()
