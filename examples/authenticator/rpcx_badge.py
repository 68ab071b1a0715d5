"""A third party's authenticator: badges, each a name and a key that its holder and the host know, and nobody else."""

import hmac
import secrets
from collections.abc import Mapping

from rpcx.abc import Binding, Proved
from rpcx.errors import AuthenticationFailed


class Badge:
    """``rpcx.Host(authenticators=[Badge(known)])``, ``rpcx.connect(url, authenticators=[Badge({"ann": key})])``."""

    name = "badge"
    shows_secret = False  # what is sent is good for this connection only

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self.keys = keys  # a client has one

    def client(self, binding: Binding) -> "Bearer":
        return Bearer(self.keys, binding)

    def server(self, binding: Binding) -> "Reader":
        return Reader(self.keys, binding)


class Bearer:
    """The client's end."""

    def __init__(self, keys: Mapping[str, bytes], binding: Binding) -> None:
        ((self.holder, self.key),) = keys.items()
        self.binding = binding

    def step(self, message: bytes) -> bytes:
        return shown(self.key, self.holder.encode(), self.binding) + self.holder.encode()

    def admitted(self, message: bytes) -> None:
        """The server has nothing to prove."""


class Reader:
    """The server's end."""

    def __init__(self, keys: Mapping[str, bytes], binding: Binding) -> None:
        self.keys = keys
        self.binding = binding

    def step(self, message: bytes) -> tuple[bytes, Proved | None]:
        holder = message[32:].decode("ascii")
        key = self.keys.get(holder)
        expected = shown(key or secrets.token_bytes(32), message[32:], self.binding)  # as much work for a stranger
        if not hmac.compare_digest(message[:32], expected) or key is None:
            raise AuthenticationFailed("no such badge, or not its key")
        return b"", Proved(holder)


def shown(key: bytes, holder: bytes, binding: Binding) -> bytes:
    return hmac.digest(key, binding.text("client", holder), "sha256")
