"""What is deployed, read without an engine: the image, the compose file, the units, and the page that tells how.

What these tests cannot see: that the image builds and the containers start. docs/deploy.md says what was run by hand.
"""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from cli.commands.run_bot import BATCH_SECONDS
from cli.main import app
from net.http_server import SHUTDOWN_SECONDS
from pipeline.settings.config import Settings
from tests.test_house import PROJECT
from tests.test_tidy import INDEX_ADDRESSES, MACHINE_PATHS, SECRETS

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
PAGE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
COMPOSE_TEXT = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)["services"]
OURS = ("migrate", "bot", "worker")
UNITS = ("onetake.service", "onetake-worker@.service")
MIGRATIONS = sorted((ROOT / "supabase" / "migrations").glob("*.sql"))


def settings_shown() -> set[str]:
    return set(re.findall(r"^#([A-Z_]+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE))


def graceful_stop_seconds() -> float:
    """The longest that a stop may take: updates being handled, then a purchase whose request has just begun."""
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    purchase = sum(
        float(defaults[f"{part}_seconds"]) for part in ("connect_timeout", "request_timeout", "request_slack")
    )
    return BATCH_SECONDS + SHUTDOWN_SECONDS + purchase


def seconds(text: str) -> float:
    (number, unit) = re.fullmatch(r"(\d+)(s|m|)", text).groups()  # type: ignore[union-attr]  # or the test fails here
    return int(number) * (60 if unit == "m" else 1)


# The compose file.


def test_the_compose_file_has_a_database_a_bot_and_two_workers() -> None:
    assert set(SERVICES) == {"postgres", *OURS}
    assert SERVICES["worker"]["deploy"]["replicas"] == 2
    assert SERVICES["worker"]["command"] == ["worker"]


def test_bot_service_runs_once_and_without_a_worker() -> None:
    assert SERVICES["bot"]["command"] == ["bot", "--no-worker"]
    assert "deploy" not in SERVICES["bot"]


def test_only_the_bot_publishes_a_port_and_only_on_localhost() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["bot"]
    assert all(port.startswith("127.0.0.1:") for port in SERVICES["bot"]["ports"])
    assert {service.get("network_mode") for service in SERVICES.values()} == {None}


def test_secrets_come_from_the_settings_file() -> None:
    assert all(SERVICES[name]["env_file"] == "../.env" for name in OURS)
    given = [value for service in SERVICES.values() for name, value in service["environment"].items() if "PASS" in name]
    assert given == ["${POSTGRES_PASSWORD:-}"]
    address = SERVICES["bot"]["environment"]["DATABASE_URL"]
    assert address == "${DATABASE_URL:-postgresql://onetake:${POSTGRES_PASSWORD}@postgres:5432/onetake}"
    assert "env_file" not in SERVICES["postgres"], "the database need not know the provider's key"
    assert not SECRETS.search(COMPOSE_TEXT)


def test_every_setting_that_the_compose_file_sets_exists() -> None:
    for name in OURS:
        assert set(SERVICES[name]["environment"]) <= settings_shown()


def test_only_long_running_services_are_restarted() -> None:
    assert {name: service["restart"] for name, service in SERVICES.items()} == {
        "postgres": "unless-stopped", "migrate": "no", "bot": "unless-stopped", "worker": "unless-stopped",
    }  # fmt: skip


def test_bot_and_workers_start_only_after_the_migration() -> None:
    assert SERVICES["migrate"]["command"] == ["db", "migrate"]
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in ("bot", "worker"):
        assert SERVICES[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}


def test_every_long_running_service_has_a_health_check() -> None:
    for name in ("postgres", "bot", "worker"):
        assert SERVICES[name]["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert SERVICES["worker"]["healthcheck"]["test"][1:] == ["onetake", "db", "status"]
    bots = SERVICES["bot"]["healthcheck"]["test"][1]
    assert f":{SERVICES['bot']['environment']['HTTP_PORT']}/healthz" in bots
    assert bots.index("$$WEBHOOK_URL") < bots.index("/healthz") < bots.index("onetake db status")


def test_bot_health_check_is_valid_shell() -> None:
    script = SERVICES["bot"]["healthcheck"]["test"][1].replace("$$", "$")
    assert subprocess.run(["sh", "-n", "-c", script], check=False, timeout=10).returncode == 0


def test_stop_grace_period_exceeds_the_longest_graceful_stop() -> None:
    for name in OURS:
        assert seconds(SERVICES[name]["stop_grace_period"]) > graceful_stop_seconds()


def test_containers_are_read_only_and_without_capabilities() -> None:
    for name in OURS:
        service = SERVICES[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["volumes"] == ["home:/data"]
        assert "privileged" not in service


# The image.


def instructions() -> list[tuple[str, str]]:
    joined = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in joined.splitlines() if line.strip()]


def all_of(instruction: str) -> list[str]:
    return [rest for name, rest in instructions() if name == instruction]


def test_base_image_is_pinned_to_a_supported_python() -> None:
    (base,) = all_of("ARG")
    version = re.fullmatch(r"PYTHON_IMAGE=python:3\.(\d+)\.\d+-slim-\w+", base)
    assert version, base
    assert 11 <= int(version[1]) <= 14
    assert [rest.split()[0] for rest in all_of("FROM")] == ["${PYTHON_IMAGE}"] * 2
    assert re.fullmatch(r"postgres:\d+\.\d+-\w+", SERVICES["postgres"]["image"])


def test_image_runs_as_an_unprivileged_user_and_has_a_health_check() -> None:
    last_stage = [name for name, _ in instructions()]
    last_stage = last_stage[len(last_stage) - last_stage[::-1].index("FROM") :]
    assert "USER" in last_stage
    assert all(re.fullmatch(r"[1-9]\d+:[1-9]\d+", user) for user in all_of("USER"))
    assert last_stage.index("USER") > last_stage.index("RUN")
    assert all_of("HEALTHCHECK")[0].endswith('CMD ["onetake", "db", "status"]')
    assert all_of("ENTRYPOINT") == ['["onetake"]'], "not through a shell, which would keep SIGTERM to itself"


def test_image_installs_dependencies_with_hashes_and_the_rest_without_an_index() -> None:
    pips = [rest for rest in all_of("RUN") if "pip " in rest]
    assert "--require-hashes" in pips[0]
    assert pips[0].rstrip().endswith("-r requirements-run.lock")
    assert "--only-binary :all:" in pips[0]
    assert len(pips) == 3
    assert all("--no-index" in each for each in pips[1:])


def test_the_image_holds_no_secret_and_no_settings_file() -> None:
    assert not SECRETS.search(DOCKERFILE)
    assert not re.search(r"(?i)^(?:ARG|ENV)\b.*(?:key|token|secret|password)", DOCKERFILE, re.MULTILINE)
    assert all(".env" not in copied and not copied.startswith(". ") for copied in all_of("COPY"))
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert next(rule for rule in rules if rule and not rule.startswith("#")) == "*"
    assert "**/.env" in rules


def test_dockerfile_and_dockerignore_let_in_exactly_what_the_wheel_needs() -> None:
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {
        *wheel["packages"],
        *wheel["force-include"],
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "requirements-run.lock",
    }
    copied = {source for rest in all_of("COPY") if not rest.startswith("--from") for source in rest.split()[:-1]}
    assert copied == needed
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert let_in == {source.partition("/")[0] for source in needed}
    assert all((ROOT / source).exists() for source in copied)


# The units.


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """The units, with a program that is there: the analysis looks for it."""
    program = shutil.which("true")
    assert program
    copies = []
    for name in UNITS:
        text = (DEPLOY / name).read_text(encoding="utf-8").replace("/opt/onetake/current/bin/onetake", program)
        copies.append(tmp_path / name)
        copies[-1].write_text(text, encoding="utf-8")
    return copies


@pytest.mark.neighbour
def test_systemd_accepts_the_units(units: list[Path]) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("this machine has no systemd-analyze")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, units)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    said = [line for line in (done.stdout + done.stderr).splitlines() if "onetake" in line]
    assert said == []
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", UNITS)
def test_unit_has_its_own_user_restarts_and_allows_time_to_stop(name: str) -> None:
    text = (DEPLOY / name).read_text(encoding="utf-8")
    found = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
    assert found["User"] == "onetake"
    assert found["Restart"] == "always"
    assert found["KillSignal"] == "SIGTERM"
    assert float(found["TimeoutStopSec"]) > graceful_stop_seconds()
    assert found["NoNewPrivileges"] == "yes"
    assert not SECRETS.search(text)
    assert found["ExecStart"].endswith("worker" if "@" in name else "bot --no-worker")


# The page.


def code() -> str:
    """What the page shows as code: its blocks and its inline pieces, a line each."""
    return "\n".join([*re.findall(r"^```\w*\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL), *inline()])


def inline() -> list[str]:
    without_blocks = re.sub(r"^```\w*\n.*?^```", "", PAGE, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", without_blocks)


def commands() -> Iterator[list[str]]:
    """The words after `onetake`; in a container those after the service of `run`, or after `exec` and `onetake`."""
    starts = r"^(?:dc exec \S+ )?onetake +(?=[a-z-])|^dc run (?:--\S+ )*(?:worker|bot) +(?=[a-z])"
    for line in code().splitlines():
        if match := re.match(starts, line):
            rest = line[match.end() :].partition(" > ")[0]
            yield shlex.split(re.sub(r"<[^<>]*>", "PLACEHOLDER", rest), comments=True)


def wrong_with(words: list[str]) -> str | None:
    """Why the command would not be taken; None if all its verbs and options are known."""
    found: Any = typer.main.get_command(app)
    words = list(words)
    while words and hasattr(found, "commands") and not words[0].startswith("-"):
        if words[0] not in found.commands:
            return f"no command {words[0]}"
        found = found.commands[words.pop(0)]
    known = {name for option in found.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
    unknown = [word for word in words if word.startswith("--") and word not in known]
    return f"no option {unknown[0]}" if unknown else None


def test_every_command_in_the_deploy_guide_exists() -> None:
    found = list(commands())
    assert len(found) > 30
    assert [(words, why) for words in found if (why := wrong_with(words))] == []


def test_unknown_command_or_option_is_detected() -> None:
    assert wrong_with(["limits", "sett", "rollout", "all"]) == "no command sett"
    assert wrong_with(["audit", "--until", "24h"]) == "no option --until"


def test_every_limit_in_the_deploy_guide_exists() -> None:
    named = {words[2] for words in commands() if words[:2] == ["limits", "set"]}
    tables = MIGRATIONS[0].read_text(encoding="utf-8")
    assert {"rollout", "rollout_percent"} <= named
    assert [key for key in named if f"('{key}'," not in tables] == []


def test_every_setting_in_the_deploy_guide_exists() -> None:
    settings = "\n".join(re.findall(r"^```ini\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
    set_there = set(re.findall(r"^([A-Z_]+)=", settings, re.MULTILINE))
    assert set_there
    assert set_there <= settings_shown()
    of_compose = set(re.findall(r"\$\{([A-Z_]+)", COMPOSE_TEXT)) | {"PYTHON_IMAGE"}
    spoken_of = {name for piece in inline() for name in re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", piece)}
    assert spoken_of - settings_shown() - of_compose == set()


def test_every_file_and_anchor_in_the_deploy_guide_exists() -> None:
    for name in re.findall(r"\b(?:deploy|tests|supabase)/[\w@./-]+\w", code()):
        assert (ROOT / name).exists(), name
    headings = re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([\w-]+)\)", PAGE)) <= anchors


def test_deploy_guide_shows_no_secret_package_index_or_machine_path() -> None:
    for pattern in (SECRETS, INDEX_ADDRESSES, MACHINE_PATHS):
        assert not pattern.search(PAGE)


# What going back rests on.

TAKES_AWAY = re.compile(
    r"\bdrop\s+(?:table|column|schema|type|view)\b|\balter\s+\w+\s+[\w.]+\s+rename\b|\btruncate\b", re.IGNORECASE
)


def without_comments(text: str) -> str:
    return re.sub(r"--[^\n]*", "", text)


@pytest.mark.parametrize("path", MIGRATIONS, ids=lambda path: path.stem)
def test_migration_removes_nothing_that_an_older_version_uses(path: Path) -> None:
    text = without_comments(path.read_text(encoding="utf-8"))
    assert TAKES_AWAY.findall(text) == []
    assert list(no_more_callable(text)) == []


def no_more_callable(text: str) -> Iterator[str]:
    """Functions in `public` that are dropped and do not come back, in the same file, callable as before."""
    text = text.replace("timestamp with time zone", "timestamptz").replace("double precision", "float8")
    for name, types in re.findall(r"\bdrop function (?:if exists )?public\.(\w+)\s*\(([^)]*)\)", text):
        before = [kind.strip().split()[-1] for kind in types.split(",") if kind.strip()]
        again = re.search(rf"\bcreate (?:or replace )?function public\.{name}\s*\(([^)]*)\)", text)
        now = [argument.split() for argument in again[1].split(",") if argument.strip()] if again else []
        kept = [argument[1] for argument in now[: len(before)]] == before
        if again is None or not kept or not all("default" in argument for argument in now[len(before) :]):
            yield name


def test_function_that_lost_its_old_signature_is_detected() -> None:
    drop = "drop function public.f(uuid, text);\n"
    assert list(no_more_callable(drop)) == ["f"]
    assert list(no_more_callable(drop + "create function public.f(p_a uuid, p_b text, p_c integer) ...")) == ["f"]
    assert list(no_more_callable(drop + "create function public.f(p_a uuid, p_b text, p_c int default null)")) == []
    drop = "drop function public.f(uuid,timestamp with time zone,double precision);\n"
    assert list(no_more_callable(drop + "create or replace function public.f(p uuid, p timestamptz, p float8)")) == []
