"""Turns the options of `create` into a Request. Makes all checks that need no ledger, so that wrong usage ends early.

In       the options of `create`, the settings and the environment
Out      the Request; it fixes what is bought and at what price
Raises   Stop, ConfigError, CatalogueError: one clear line that names what is allowed
"""

import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import uuid4

from app.exits import Stop
from app.model_choice import choose_offer
from cli.output.refusals import PROMPT_PROBLEMS
from pipeline.ledger.users import as_user_id, is_user_id
from pipeline.settings.config import Settings
from providers.callbacks import callback_url
from providers.catalogue import (
    check_shape,
    input_of,
    price_microusd,
)
from steps.check_limits import PromptProblem, Request, check_prompt
from steps.languages import CODES, closest

KEY_CHARACTERS_MAX = 200
WHERE_IDS_ARE = (
    "`onetake users list` and `onetake show REF` show ids of users who have ordered (tg:1234567), and @userinfobot in "
    "Telegram shows your own"
)


@dataclass(frozen=True)
class CreateOptions:
    """The options as given; None stands for the default."""

    prompt: str
    seconds: int | None
    size: str | None
    key: str | None
    user: str | None
    language: str | None
    again: bool
    model: str | None = None


def to_request(order_request: CreateOptions, settings: Settings, environment: Mapping[str, str]) -> Request:
    prompt = check_prompt(order_request.prompt)
    if isinstance(prompt, PromptProblem):
        raise Stop(PROMPT_PROBLEMS[prompt])
    chosen = choose_offer(settings, order_request.model)
    model, video = chosen.model, chosen.endpoint
    seconds = order_request.seconds or settings.video_seconds
    size = order_request.size or settings.video_size
    check_shape(model, seconds, size)
    return Request(
        key=request_key(order_request.key),
        call_id=uuid4(),
        user_id=user_id(order_request.user),
        prompt=prompt,
        language=language(order_request.language, environment),
        audience={"kind": "terminal"},
        model=model.name,
        seconds=seconds,
        size=size,
        asked_seconds=order_request.seconds,
        asked_size=order_request.size,
        create_body=video.create_body or model.create_body,
        price_microusd=price_microusd(model, seconds, size),
        bills_failed=not model.failed_renders_free,
        base_url=video.base_url,
        key_fingerprint=video.fingerprint,
        again=order_request.again,
        provider=model.provider,
        input=input_of(model, seconds, size),
        callback_url=callback_url(settings.public_url, model.provider, uuid4().hex),
    )


def request_key(key: str | None) -> str:
    """`cli:K`; without a key a new one, so that every command is a new request."""
    if key is None:
        return f"cli:{uuid4()}"
    if not key.strip() or len(key) > KEY_CHARACTERS_MAX or not key.isprintable():
        raise Stop(f"--key: must be 1 to {KEY_CHARACTERS_MAX} printable characters")
    return f"cli:{key}"


def user_id(user: str | None) -> str:
    """`cli:NAME` for a bare name, and with the login name for None; `tg:ID` is unchanged. Raises Stop."""
    if user is None:
        return f"cli:{login_name()}"
    if user.removeprefix("tg:").startswith("@"):
        raise Stop(f"use the numeric Telegram id, not {user}: {WHERE_IDS_ARE}")
    full = user if ":" in user else f"cli:{user}"
    if not is_user_id(full):
        raise Stop(f"a user is `cli:NAME`, `tg:ID`, or a bare name, not {user}")
    return full


def person(user: str) -> str:
    """The user that an operator typed; a bare number is a Telegram id, as in the chat and on the page. Raises Stop."""
    return user_id(as_user_id(user))


def login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())  # a container's user may have a number but no name


def language(asked: str | None, environment: Mapping[str, str]) -> str:
    """The language asked for, or else the one of the terminal's locale. Raises Stop."""
    if asked is not None:
        if asked not in CODES:
            raise Stop(f"--lang: must be {' or '.join(CODES)}, not {asked}")
        return asked
    spoken = environment.get("LC_ALL") or environment.get("LC_MESSAGES") or environment.get("LANG") or ""
    return closest(spoken)
