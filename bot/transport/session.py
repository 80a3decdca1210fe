"""aiogram's HTTP session with our certificates and proxies; an answer with `ok: true` always counts as success.

A call that Telegram answered with `ok: true` was carried out. If aiogram's types cannot read the result yet, the call
must not look failed: a video would be sent again and again.
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
from aiohttp import ClientResponse, ClientSession, TCPConnector

from net.certificates import proxy_for, trusted

CONNECTIONS_MAX = 100
DNS_SECONDS = 3600  # as in aiogram; otherwise each call looks up Telegram's name again
UNTOLD_WAIT_SECONDS = 5  # after a 429 without a usable `retry_after`
WAIT_SECONDS_MAX = 3600  # if Telegram asks for more, it answers 429 again after this
IDS = range(1, 2**53)
ID_DIGITS_MAX = 16
UNKNOWN_ID = 0  # no message has this id: editing it fails as if it were deleted
READS = "get"  # prefix of the methods that change nothing
SAYS_OK = re.compile(r'\ufeff?\s*\{\s*"ok"\s*:\s*true\b')
FILE_ID = re.compile(r"[!-~]{1,500}")
FILES = ("video", "animation", "document")
PLACEHOLDERS: Mapping[str, Any] = {"file_unique_id": "?", "width": 1, "height": 1, "duration": 1}


class _Utf8Response(ClientResponse):
    """Reads bodies as UTF-8, whatever charset the header names. Invalid bytes are replaced; the rest stays readable."""

    async def text(self, encoding: str | None = None, errors: str = "replace") -> str:  # noqa: ARG002 - aiohttp's
        return (await self.read()).decode("utf-8", errors)


class TelegramSession(AiohttpSession):
    """Uses the proxy and the certificates of all our clients, which aiogram's own session ignores."""

    def __init__(self, api: TelegramAPIServer) -> None:
        super().__init__(api=api)
        self._our_proxy = proxy_for(api.base)

    async def create_session(self) -> ClientSession:
        if self._session is None or self._session.closed:
            self._session = ClientSession(
                connector=TCPConnector(ssl=trusted(), limit=CONNECTIONS_MAX, ttl_dns_cache=DNS_SECONDS),
                proxy=self._our_proxy,
                trust_env=False,
                response_class=_Utf8Response,
            )
        return self._session

    def check_response(self, bot: Bot, method: TelegramMethod[Any], status_code: int, content: str) -> Response[Any]:
        said = _first_object(content)
        if said.get("ok") is True or (not said and SAYS_OK.match(content)):  # whatever the HTTP status is
            return self._carried_out(bot, method, said, content)
        try:
            return super().check_response(bot, method, status_code, content)
        except ClientDecodeError as error:
            if status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:  # a page of a proxy in front of Telegram
                raise TelegramEntityTooLarge(method=method, message="Request Entity Too Large") from error
            if HTTPStatus.BAD_REQUEST <= status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
                raise RefusedByPage(f"HTTP {status_code}", error, error.data) from error
            raise
        except TelegramAPIError as error:
            succeeded = HTTPStatus.OK <= status_code <= HTTPStatus.IM_USED
            refused = _error_code(said) if succeeded else None
            _check_flood(error, refused or status_code)
            if refused is None or type(error) is not TelegramAPIError:
                raise
            return super().check_response(bot, method, refused, content)
        except (TypeError, ValueError, RecursionError) as error:  # for example, a server error without a description
            raise ClientDecodeError("a refusal that cannot be read", error, content) from error

    def _carried_out(
        self, bot: Bot, method: TelegramMethod[Any], said: Mapping[str, Any], content: str
    ) -> Response[Any]:
        try:
            response = super().check_response(bot, method, HTTPStatus.OK, content)
            if response.result is None or (
                isinstance(response.result, Message) and response.result.message_id not in IDS
            ):
                raise ClientDecodeError("ok, and no result", ValueError(), said)
            return response
        except (ClientDecodeError, ValueError, RecursionError) as error:
            if method.__api_method__.startswith(READS):  # it changed nothing, so it can be repeated
                raise ClientDecodeError("a result that cannot be read", error, content) from error
        result = said.get("result")
        if method.__returning__ is Message:
            result = as_far_as_read(result, bot)
        return Response[Any].model_construct(ok=True, result=result)


class RefusedByPage(ClientDecodeError):
    """A 4xx that is not from the Bot API, but a proxy's page. The call was not carried out."""


def _check_flood(error: TelegramAPIError, status_code: int) -> None:
    """Gives every 429 a usable wait: 5 s if it names none, and at most an hour."""
    if isinstance(error, TelegramRetryAfter):
        error.retry_after = min(error.retry_after, WAIT_SECONDS_MAX) if error.retry_after > 0 else UNTOLD_WAIT_SECONDS
    elif type(error) is TelegramAPIError and status_code == HTTPStatus.TOO_MANY_REQUESTS:
        raise TelegramRetryAfter(error.method, error.message, UNTOLD_WAIT_SECONDS) from error


def _first_object(content: str) -> dict[str, Any]:
    """The JSON object at the start of a body, whatever follows it; empty if it cannot be read."""
    try:
        return dict(json.JSONDecoder(strict=False).raw_decode(content.lstrip("\ufeff \t\r\n"))[0])
    except (TypeError, ValueError, RecursionError):
        return {}


def _error_code(said: Mapping[str, Any]) -> int | None:
    """The Bot API's own error code (400 or more) in the body of an HTTP 2xx."""
    code = said.get("error_code")
    return code if isinstance(code, int) and code >= HTTPStatus.BAD_REQUEST else None


def as_far_as_read(result: object, bot: Bot) -> Message:
    """A message with its ids and file, as far as they can be decoded; without a valid id, it gets UNKNOWN_ID."""
    result = result if isinstance(result, dict) else {}
    chat, message_id = result.get("chat"), result.get("message_id")
    chat_id = chat.get("id") if isinstance(chat, dict) else None
    if isinstance(message_id, str) and message_id.isdecimal() and len(message_id) <= ID_DIGITS_MAX:
        message_id = int(message_id)
    message: dict[str, Any] = {
        "message_id": message_id if type(message_id) is int and message_id in IDS else UNKNOWN_ID,
        "date": 0,
        "chat": {"id": chat_id if isinstance(chat_id, int) else 0, "type": "private"},
    }
    for name in FILES:
        file = result.get(name)
        if isinstance(file, dict) and FILE_ID.fullmatch(str(file.get("file_id"))):
            message[name] = {**PLACEHOLDERS, "file_id": file["file_id"]}
    return Message.model_validate(message, context={"bot": bot})
