"""Build the bot and its dependencies, for `onetake bot` and for a worker that notifies users.

In       Settings, the App, the engine
Out      `open_bot`: aiogram's Bot; `back_of`: what `bot.app` is given
Raises   Stop: the bot token is malformed
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

from aiogram import Bot
from aiogram.client.telegram import TelegramAPIServer
from aiogram.utils.token import TokenValidationError

from app.context import App
from app.exits import Stop
from app.model_choice import choose_from_settings
from bot.app import BotDependencies
from bot.requests.for_sale import ForSale
from bot.transport.session import TelegramSession
from pipeline.clips.storage import at_hand
from pipeline.settings.config import Settings
from pipeline.settings.endpoints import endpoint_of
from pipeline.worker import Engine
from providers.catalogue import VideoModel


def _offer(model: VideoModel, settings: Settings, *, demo: bool) -> ForSale:
    video = endpoint_of(settings, model.provider)
    return ForSale(
        model=model,
        base_url=video.base_url,
        key_fingerprint=video.fingerprint,
        create_body=video.create_body or model.create_body,
        seconds=settings.video_seconds,
        size=settings.video_size,
        demo=demo,
        public_url=settings.public_url,
    )


@asynccontextmanager
async def open_bot(settings: Settings) -> AsyncIterator[Bot]:
    assert settings.telegram_bot_token is not None, "whoever opens a bot has its token"
    session = TelegramSession(api=TelegramAPIServer.from_base(settings.telegram_api_base))
    try:
        bot = Bot(settings.telegram_bot_token.get_secret_value(), session=session)
    except TokenValidationError:
        raise Stop("TELEGRAM_BOT_TOKEN: is not a bot token, such as 123456:ABC... from @BotFather") from None
    try:
        yield bot
    finally:
        await session.close()


def back_of(built: App, engine: Engine, settings: Settings, *, demo: bool = False) -> BotDependencies:
    """The bot's dependencies. Raises CatalogueError or ConfigError if a model of VIDEO_MODELS cannot be bought."""
    others = [choose_from_settings(settings, name)[1] for name in settings.also_offered]
    also = tuple(_offer(model, settings, demo=demo) for model in others if model.offer != built.model.offer)
    for_sale = replace(_offer(built.model, settings, demo=demo), others=also)
    return BotDependencies(
        ledger=built.session.ledger,
        operators=built.session.operators,
        account=built.context.account,
        waits=built.context.waits,
        for_sale=for_sale,
        enqueue=engine.wake,
        admins=settings.admins,
        new_teller=built.context.new_token,
        clip_of=partial(at_hand, context=built.context),
        slow_seconds=settings.slow_notice_seconds,
        shared_turns=True,  # `onetake worker` also sends as this bot
    )
