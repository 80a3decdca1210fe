"""Where everything hangs: the Bot API's doors and the control doors, on the simulator's application.

In       the application, its world open
Effects  mounts; when the server stops, polls, pages and webhooks are let go
"""

from aiohttp import web

from simulator.telegram import control, door, watching
from simulator.telegram.state import TELEGRAM, Telegram
from simulator.world import WORLD

CONTROL = "/_sim/telegram"


def add_telegram(app: web.Application) -> None:
    """Mount Telegram."""
    app[TELEGRAM] = Telegram(app[WORLD].settings)
    app.on_shutdown.append(_let_go)
    get, post = app.router.add_get, app.router.add_post
    for add in (get, post):
        add("/bot{token:[^/]+}/{method}", door.call_method)
    get("/file/bot{token:[^/]+}/{path:.+}", door.download)
    get(f"{CONTROL}/people", watching.people)
    post(f"{CONTROL}/people", control.add_person)
    post(f"{CONTROL}/groups", control.add_group)
    post(f"{CONTROL}/messages", control.write)
    post(f"{CONTROL}/edits", control.edit)
    post(f"{CONTROL}/taps", control.tap_button)
    post(f"{CONTROL}/redeliver", control.redeliver)
    post(f"{CONTROL}/block", control.block)
    post(f"{CONTROL}/limits", control.limits)
    get(f"{CONTROL}/chats", watching.chats)
    get(f"{CONTROL}/chats/{{chat_id}}", watching.chat)
    get(f"{CONTROL}/updates", watching.updates)
    get(f"{CONTROL}/calls", watching.calls)
    get(f"{CONTROL}/answers", watching.answers)
    get(f"{CONTROL}/events", watching.events)
    get(f"{CONTROL}/files/{{file_id}}", watching.film)


async def _let_go(app: web.Application) -> None:
    telegram = app[TELEGRAM]
    telegram.listeners.close()
    for bot in telegram.bots:
        bot.updates.interrupt(None)
        if bot.webhook is not None:
            await bot.webhook.stop()
