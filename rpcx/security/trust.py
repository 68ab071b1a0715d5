"""Whose keys are known: ``authorized/NAME.pem`` for peers, ``known_servers`` for pins."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from rpcx.security.identity import fingerprint_of, own_identity

LOOK_SECONDS: Final = 0.5  # between two looks at the files


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who is trusted."""

    name: str
    fingerprint: str
    roles: frozenset[str]


class TrustStore:
    """The keys that are trusted, as the files say now."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._own = own_identity(directory)
        self._seen: object = None  # what the files looked like
        self._looked = 0.0  # when
        self._generation = 0
        self._by_fingerprint: dict[str, tuple[Principal, bytes]] = {}

    @property
    def generation(self) -> int:
        """Changes when the files did."""
        now = time.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            files = sorted((self._directory / "authorized").glob("*.pem"))
            seen = [(file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files]
            if seen != self._seen:
                self._seen = seen
                self._generation += 1
                self._load(files)
        return self._generation

    def principal_of(self, certificate_der: bytes) -> Principal | None:
        """Who has this key; None: nobody known."""
        assert self.generation
        known = self._by_fingerprint.get(fingerprint_of(certificate_der))
        return known[0] if known else None

    def certificates(self) -> list[bytes]:
        """The trusted certificates, DER."""
        assert self.generation
        return [der for _, der in self._by_fingerprint.values()]

    def pin_of(self, server: str) -> str | None:
        """The fingerprint that ``server`` had the first time."""
        return dict(self._pins()).get(server)

    def pin(self, server: str, fingerprint: str) -> None:
        """Remember it."""
        pins = {**dict(self._pins()), server: fingerprint}
        (self._directory / "known_servers").write_text("".join(f"{name} {pin}\n" for name, pin in pins.items()))

    def _pins(self) -> list[tuple[str, str]]:
        try:
            lines = (self._directory / "known_servers").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [(line.split()[0], line.split()[1]) for line in lines if line.strip()]

    def _load(self, files: list[Path]) -> None:
        own = Principal("owner", self._own.fingerprint, frozenset({"owner"}))
        self._by_fingerprint = {own.fingerprint: (own, self._own.certificate)}
        for file in files:
            der = x509.load_pem_x509_certificate(file.read_bytes()).public_bytes(Encoding.DER)
            fingerprint = fingerprint_of(der)
            self._by_fingerprint.setdefault(fingerprint, (Principal(file.stem, fingerprint, frozenset()), der))
