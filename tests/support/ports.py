"""Free ports."""

import socket


def free_port() -> int:
    """A port that was free a moment ago; bind it at once."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
