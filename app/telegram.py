"""The bot with its settings, and what is behind it: what `onetake bot` and a worker that tells users both need.

In       Settings, the premises, the engine
Out      `open_bot`: aiogram's Bot; `back_of`: what `bot.app` is given
Raises   Stop: the token is not one
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from aiogram import Bot
from aiogram.client.telegram import TelegramAPIServer
from aiogram.utils.token import TokenValidationError

from app.context import Premises
from app.exits import Stop
from bot.app import Back
from bot.requests.for_sale import Offer
from bot.transport.session import Session
from pipeline.clips.storage import at_hand
from pipeline.settings.config import Settings
from pipeline.worker import Engine


@asynccontextmanager
async def open_bot(settings: Settings) -> AsyncIterator[Bot]:
    assert settings.telegram_bot_token is not None, "whoever opens a bot has its token"
    session = Session(api=TelegramAPIServer.from_base(settings.telegram_api_base))
    try:
        bot = Bot(settings.telegram_bot_token.get_secret_value(), session=session)
    except TokenValidationError:
        raise Stop("TELEGRAM_BOT_TOKEN: is not a bot token, such as 123456:ABC... from @BotFather") from None
    try:
        yield bot
    finally:
        await session.close()


def back_of(premises: Premises, engine: Engine, settings: Settings, *, demo: bool = False) -> Back:
    """The house behind the bot."""
    video = settings.video
    offer = Offer(
        model=premises.model,
        base_url=video.base_url,
        key_fingerprint=video.fingerprint,
        create_body=video.create_body or premises.model.create_body,
        seconds=settings.video_seconds,
        size=settings.video_size,
        demo=demo,
    )
    return Back(
        ledger=premises.desk.ledger,
        operators=premises.desk.operators,
        shop=premises.world.shop,
        waits=premises.world.waits,
        offer=offer,
        enqueue=engine.wake,
        admins=settings.admins,
        new_teller=premises.world.new_token,
        clip_of=partial(at_hand, world=premises.world),
        slow_seconds=settings.slow_notice_seconds,
        shared_turns=True,  # `onetake worker` speaks for this bot, too
    )
