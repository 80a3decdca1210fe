"""Ports that nobody listens on."""

import socket


def free_port() -> int:
    """Free a moment ago; who starts a server takes it at once."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
