"""The HTTP session to Telegram: aiogram's, with our certificates and proxies, and with `ok` taken at its word.

A call that Telegram answered with `ok: true` was carried out. A result that aiogram's types cannot read yet must not
make it look undone: a video would be sent again and again.
"""

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import ClientDecodeError, TelegramAPIError, TelegramEntityTooLarge, TelegramRetryAfter
from aiogram.methods import Response, TelegramMethod
from aiogram.types import Message
from aiohttp import ClientSession, TCPConnector

from net.certificates import proxy_for, trusted

CONNECTIONS_MAX = 100
DNS_SECONDS = 3600  # as aiogram: Telegram's name is looked up again for each call otherwise
UNTOLD_WAIT_SECONDS = 5  # after a 429 that does not say how long
UNKNOWN_ID = 0  # no message has it: an edit of it is refused, as of a message that was deleted
SAYS_OK = re.compile(r'\ufeff?\s*\{\s*"ok"\s*:\s*true\b')
FILES = ("video", "animation", "document")
PLACEHOLDERS: Mapping[str, Any] = {"file_unique_id": "?", "width": 1, "height": 1, "duration": 1}


class TelegramSession(AiohttpSession):
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
        succeeded = HTTPStatus.OK <= status_code <= HTTPStatus.IM_USED
        try:
            response = super().check_response(bot, method, status_code, content)
            return response if response.result is not None else _carried_out(method, None, bot)
        except ClientDecodeError as error:
            if succeeded and isinstance(error.data, dict) and error.data.get("ok") is True:
                return _carried_out(method, error.data.get("result"), bot)
            if succeeded and SAYS_OK.match(content):
                return _carried_out(method, _first_object(content).get("result"), bot)
            if status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:  # a proxy's page before Telegram's own server
                raise TelegramEntityTooLarge(method=method, message="Request Entity Too Large") from error
            if HTTPStatus.BAD_REQUEST <= status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
                raise RefusedByPage(f"HTTP {status_code}", error, error.data) from error
            raise
        except TelegramAPIError as error:
            refused = _error_code(content) if succeeded else None
            _check_flood(error, refused or status_code)
            if refused is None or type(error) is not TelegramAPIError:
                raise
            return super().check_response(bot, method, refused, content)
        except TypeError as error:  # aiogram's, of a server error without a description
            raise ClientDecodeError("a refusal without a description", error, content) from error


class RefusedByPage(ClientDecodeError):
    """A 4xx that is no answer of the Bot API: a proxy's page. The call was not carried out."""


def _check_flood(error: TelegramAPIError, status_code: int) -> None:
    if type(error) is TelegramAPIError and status_code == HTTPStatus.TOO_MANY_REQUESTS:
        raise TelegramRetryAfter(error.method, error.message, UNTOLD_WAIT_SECONDS) from error


def _carried_out(method: TelegramMethod[Any], result: object, bot: Bot) -> Response[Any]:
    if method.__returning__ is Message:
        result = as_far_as_read(result, bot)
    return Response[Any].model_construct(ok=True, result=result)


def _first_object(content: str) -> dict[str, Any]:
    """What can be read of a body with something before or behind it, or that was cut off."""
    try:
        return dict(json.JSONDecoder(strict=False).raw_decode(content.lstrip("\ufeff \t\r\n"))[0])
    except ValueError:
        return {}


def _error_code(content: str) -> int | None:
    """What the Bot API says of itself in a body that came with HTTP 200."""
    code = json.loads(content).get("error_code")
    return code if isinstance(code, int) and code >= HTTPStatus.BAD_REQUEST else None


def as_far_as_read(result: object, bot: Bot) -> Message:
    """A message with its ids and its file, as far as they can be decoded. Its id is UNKNOWN_ID if it has none."""
    result = result if isinstance(result, dict) else {}
    chat, message_id = result.get("chat"), result.get("message_id")
    chat_id = chat.get("id") if isinstance(chat, dict) else None
    if isinstance(message_id, str) and message_id.isdecimal():
        message_id = int(message_id)
    message: dict[str, Any] = {
        "message_id": message_id if isinstance(message_id, int) else UNKNOWN_ID,
        "date": 0,
        "chat": {"id": chat_id if isinstance(chat_id, int) else 0, "type": "private"},
    }
    for name in FILES:
        file = result.get(name)
        if isinstance(file, dict) and isinstance(file.get("file_id"), str):
            message[name] = {**PLACEHOLDERS, "file_id": file["file_id"]}
    return Message.model_validate(message, context={"bot": bot})
