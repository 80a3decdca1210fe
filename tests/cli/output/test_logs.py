"""The log: one line per step with the run's ref, as words or as JSON, and no secret in any of them."""

import json
import logging
import signal
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import get_args

import pytest
from pydantic import SecretStr

from cli.output.logs import to_stderr
from pipeline.run import admit
from pipeline.settings.config import Settings, fingerprint, load_settings
from steps.check_limits import Admitted
from tests.guarantee.processes.machine import Machine
from tests.support.fixtures import KEY, Simulator, open_test_context, order_request

SECRETS = {
    "TELEGRAM_BOT_TOKEN": "123456:AAtelegram",
    "OPENAI_API_KEY": "sk-text-model",
    "VIDEO_API_KEY": "sk-video",
    "DATABASE_URL": "postgresql://onetake:p%40ss-w@127.0.0.1:5432/ledger",
    "SUPABASE_SERVICE_ROLE_KEY": "service-role-key",
    "ADMIN_TOKEN": "admin-token-of-sixteen",
    "WEBHOOK_SECRET": "webhook-secret-of-sixteen",
    "VIDEO_EXTRA_HEADERS": "x-gateway-token: header-of-a-gateway",
    "FAL_KEY": "key-of-fal:its-secret",
    "REPLICATE_API_TOKEN": "r8_token-of-replicate",
    "ARK_API_KEY": "key-of-ark",
    "RUNWARE_API_KEY": "key-of-runware",
    "KLING_ACCESS_KEY": "access-key-of-kling",
    "KLING_SECRET_KEY": "secret-key-of-kling",
    "HF_KEY": "id-of-higgsfield:its-secret",
    "RUNWAYML_API_SECRET": "key_of-runway",
    "OPENROUTER_API_KEY": "sk-or-openrouter",
    "LUMAAI_API_KEY": "luma-key-of-luma",
}
PARTS = (*SECRETS.values(), "p%40ss-w", "p@ss-w", "123456%3AAAtelegram")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def settings(log_format: str) -> Settings:
    others = {"SUPABASE_URL": "https://project.supabase.co", "LOG_FORMAT": log_format}
    return load_settings(SECRETS | others, None)


def test_every_secret_setting_is_in_this_test() -> None:
    """A new one must be added above, and is then looked for below."""
    secret = {name.upper() for name, field in Settings.model_fields.items() if SecretStr in kinds(field.annotation)}

    assert secret == set(SECRETS)


def kinds(annotation: object) -> tuple[object, ...]:
    return get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)


@pytest.mark.parametrize("log_format", ["console", "json"])
@pytest.mark.parametrize("secret", PARTS)
def test_no_secret_is_ever_written_to_the_log(log_format: str, secret: str, capsys: pytest.CaptureFixture[str]) -> None:
    to_stderr(settings(log_format))
    log = logging.getLogger("a.library")

    log.warning("could not reach https://host/bot%s/getMe", secret)
    log.warning("sweep", extra={"error": f'refused "{secret}"', "deep": {"headers": [secret]}})
    try:
        raise RuntimeError(f"wrong key {secret}")
    except RuntimeError:
        log.exception("call")

    written = capsys.readouterr().err
    assert secret not in written
    assert written.count("(secret)") >= 4
    assert "wrong key (secret)" in written


def test_json_log_line_is_one_object_with_its_extra_fields(capsys: pytest.CaptureFixture[str]) -> None:
    to_stderr(settings("json"))

    logging.getLogger("pipeline.x").info("step", extra={"action": "save_video", "run": "A3E5SA", "ms": 12})
    logging.getLogger("a.library").info("too much")

    (line,) = capsys.readouterr().err.splitlines()
    said = json.loads(line)
    assert {k: said[k] for k in ("level", "logger", "event", "action", "run", "ms")} == {
        "level": "info", "logger": "pipeline.x", "event": "step", "action": "save_video", "run": "A3E5SA", "ms": 12,
    }  # fmt: skip
    assert said["at"].endswith("+00:00")


def test_line_breaks_and_escapes_in_logged_values_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    to_stderr(load_settings({"LOG_FORMAT": "console"}, None))
    logging.getLogger("web").warning("page", extra={"action": "x", "path": "/a\n14:02:11 A3E5SA saved\x1b[2J\u2028ñ"})
    assert capsys.readouterr().err.endswith("page action=x path=/a\\n14:02:11 A3E5SA saved\\x1b[2J\\u2028ñ\n")


async def test_worker_logs_one_line_per_step_and_never_the_prompt(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    async with open_test_context(ledger_dsn, simulator, tmp_path) as context:
        request = order_request(simulator, "a lighthouse nobody wrote about", key_fingerprint=fingerprint(KEY))
        admitted = await admit(request, context.ledger)
    assert isinstance(admitted, Admitted)
    worker = Machine(tmp_path, simulator, {"DATABASE_URL": ledger_dsn, "LOG_FORMAT": "json"}).start("worker")
    assert worker.stderr is not None
    lines = []
    for line in worker.stderr:
        lines.append(json.loads(line))
        if lines[-1].get("state") == "saved":
            break
    worker.send_signal(signal.SIGTERM)
    _, rest = worker.communicate(timeout=60)

    said = [each for each in lines if each["event"] == "step"]
    steps = {(each["action"], each["state"]) for each in said}
    assert steps == {
        ("validate_prompt", "approved"),
        ("generate_video", "rendering"),
        ("write_caption", "rendering"),
        ("save_video", "saved"),
    }
    assert all(each["run"] == admitted.ref and isinstance(each["ms"], int) for each in said)
    assert "lighthouse" not in json.dumps(lines) + rest
