"""TCP access to a server that listens only on a Unix socket, for programs that speak only TCP.

In       a connection string with the socket's folder, as the test servers' are
Out      the same database as a URL at 127.0.0.1, without a password: the server sees a local socket connection
Effects  a listening port and a thread for each connection, until closed
"""

import select
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import quote

import psycopg

CHUNK_BYTES = 65_536


@contextmanager
def over_tcp(dsn: str) -> Iterator[str]:
    """Yields the URL."""
    parts = psycopg.conninfo.conninfo_to_dict(dsn)
    path = f"{parts['host']}/.s.PGSQL.{parts.get('port') or 5432}"

    class Carry(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as far, suppress(OSError):
                far.connect(path)
                _carry(self.request, far)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True  # a connection left open does not block the test

    with Server(("127.0.0.1", 0), Carry) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            user, name = quote(str(parts["user"])), quote(str(parts["dbname"]))
            yield f"postgresql://{user}:unused@127.0.0.1:{server.server_address[1]}/{name}?sslmode=disable"
        finally:
            server.shutdown()


def _carry(near: socket.socket, far: socket.socket) -> None:
    """Copy both ways until one side closes."""
    other = {near: far, far: near}
    while True:
        for ready in select.select([near, far], [], [])[0]:
            data = ready.recv(CHUNK_BYTES)
            if not data:
                return
            other[ready].sendall(data)
