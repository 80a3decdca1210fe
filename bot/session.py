"""The HTTP session to Telegram: aiogram's, with our certificates and proxies, and with `ok` taken at its word.

A call that Telegram answered with `ok: true` was carried out. A result that aiogram's types cannot read yet must not
make it look undone: a video would be sent again and again.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import ClientDecodeError, TelegramEntityTooLarge
from aiogram.methods import Response, TelegramMethod
from aiogram.types import Message
from aiohttp import ClientSession, TCPConnector
from pydantic import ValidationError

from steps.certificates import proxy_for, trusted

CONNECTIONS_MAX = 100
DNS_SECONDS = 3600  # as aiogram: Telegram's name is looked up again for each call otherwise
FILES = ("video", "animation", "document")
PLACEHOLDERS: Mapping[str, Any] = {"file_unique_id": "?", "width": 1, "height": 1, "duration": 1}


class Session(AiohttpSession):
    """With the proxy and the certificates of all our clients; aiogram's own knows none of them."""

    def __init__(self, api: TelegramAPIServer) -> None:
        super().__init__(api=api)
        self._our_proxy = proxy_for(api.base)

    async def create_session(self) -> ClientSession:
        if self._session is None or self._session.closed:
            self._session = ClientSession(
                connector=TCPConnector(ssl=trusted(), limit=CONNECTIONS_MAX, ttl_dns_cache=DNS_SECONDS),
                proxy=self._our_proxy,
                trust_env=False,
            )
        return self._session

    def check_response(self, bot: Bot, method: TelegramMethod[Any], status_code: int, content: str) -> Response[Any]:
        try:
            return super().check_response(bot, method, status_code, content)
        except ClientDecodeError as error:
            if status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:  # a proxy's page before Telegram's own server
                raise TelegramEntityTooLarge(method=method, message="Request Entity Too Large") from error
            done = error.data.get("ok") is True if isinstance(error.data, dict) else False
            if not done or not HTTPStatus.OK <= status_code <= HTTPStatus.IM_USED:
                raise
            return Response[Any].model_construct(ok=True, result=as_far_as_read(error.data.get("result"), bot))


def as_far_as_read(result: object, bot: Bot) -> object:
    """A message with its ids and its file, where the rest of it cannot be decoded; anything else as it came."""
    if not isinstance(result, dict) or not isinstance(result.get("message_id"), int):
        return result
    chat = result.get("chat")
    chat_id = chat.get("id") if isinstance(chat, dict) else None
    message: dict[str, Any] = {
        "message_id": result["message_id"],
        "date": 0,
        "chat": {"id": chat_id if isinstance(chat_id, int) else 0, "type": "private"},
    }
    for name in FILES:
        file = result.get(name)
        if isinstance(file, dict) and isinstance(file.get("file_id"), str):
            message[name] = {**PLACEHOLDERS, "file_id": file["file_id"]}
    try:
        return Message.model_validate(message, context={"bot": bot})
    except ValidationError:
        return result
