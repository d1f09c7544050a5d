"""Ports for servers that the tools and tests start on this machine."""

import random
import socket

# Linux deals out 32768 to 60999 to outgoing connections and to servers that ask for port 0 (ip_local_port_range), so a
# port of that range may be taken between the moment it is found free and the moment the server listens.
LOWEST, HIGHEST = 12_000, 32_000

# A port that was given out may not be in use yet.
_given = set()


def free_port():
    """Returns a free port, another one with each call."""
    for port in random.sample(range(LOWEST, HIGHEST), 100):
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            _given.add(port)
            return port
    raise SystemExit(f"error: no free port between {LOWEST} and {HIGHEST}")
