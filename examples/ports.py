"""Ports for programs that have to be told one."""

import random
import socket

NOT_CLIENTS = range(20_000, 32_000)  # below those that systems give to clients, so nobody dials from one meanwhile


def free_port() -> int:
    """One that nobody listens on."""
    while True:
        port = random.choice(NOT_CLIENTS)  # no secret
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
