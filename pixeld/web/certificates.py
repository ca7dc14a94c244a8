"""A listener's TLS, whose certificate can be renewed while it listens."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import NoReturn

from pixeld.errors import SettingsError
from pixeld.settings import Settings

log = logging.getLogger(__name__)


class Certificate:
    """A certificate chain and its key, in two files. `context` is what a listener takes; each handshake on it has the pair
    that was read last.

    SettingsError when they cannot be used; `name` is what their two settings begin with.
    """

    __slots__ = ("_cert", "_key", "_name", "_newest", "context")

    def __init__(self, name: str, cert: Path, key: Path) -> None:
        self._name, self._cert, self._key = name, cert, key
        self.context = self._newest = self._read()
        # A whole context is put in the place of the one before it. To load a pair into one that is in use takes two steps, and
        # a file that is replaced between them would leave it with neither.
        self.context.sni_callback = self._hand_out

    @classmethod
    def of(cls, settings: Settings, name: str) -> Certificate | None:
        """That of the settings `{name}_cert` and `{name}_key`, None when they aren't given; as the class."""
        cert, key = getattr(settings, f"{name}_cert"), getattr(settings, f"{name}_key")
        return cls(name, cert, key) if cert is not None else None

    def renew(self) -> None:
        """Read both files anew, for handshakes from now on; connections go on. A pair that cannot be used changes nothing, and
        the log says why.
        """
        try:
            self._newest = self._read()
        except SettingsError as error:
            log.error("a certificate is not renewed, and the one before it stays in use", extra={"reason": str(error)})
        else:
            log.info("a certificate is renewed", extra={"setting": f"{self._name}_cert", "file": str(self._cert)})

    def _hand_out(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        connection.context = self._newest  # called whether or not the peer names a server

    def _read(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            for file in (self._cert, self._key):
                file.open("rb").close()  # OpenSSL doesn't say which of the two it can't read
            context.load_cert_chain(self._cert, self._key, self._no_passphrase)
        except OSError as error:  # ssl.SSLError is one
            files = f"{self._name}_cert {self._cert} and {self._name}_key {self._key}"
            raise SettingsError(f"{files} cannot be used: {error}") from error
        return context

    def _no_passphrase(self) -> NoReturn:
        # Without this OpenSSL would ask for it on the terminal, and wait.
        raise SettingsError(
            f"{self._name}_key {self._key} cannot be used: it needs a passphrase, which nobody can type when a server starts "
            "again by itself; write it without one (`openssl pkey -in KEY -out PLAIN`), readable by this user only"
        )
