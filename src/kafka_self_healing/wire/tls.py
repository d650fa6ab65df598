"""TLS for every protocol: contexts of files that may be exchanged, and errors in words."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kafka_self_healing.secret import Secret

TlsContext = Callable[[], ssl.SSLContext]
"""What the clients are given: called for each new connection, so that new files are used."""


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """PEM files of a client. `ca_file` None: the system's; `strict`: see `tls_reason`."""

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    key_password: Secret | None = None
    verify: bool = True
    strict: bool = True


class TlsFiles:
    """Makes a context of `settings`, and a new one when any of its files was exchanged.

    Call it for a context: it is a `TlsContext`. Raises OSError or ssl.SSLError, whose text
    `tls_reason` turns into what to do.
    """

    def __init__(self, settings: TlsSettings) -> None:
        self._settings = settings
        self._made_of: tuple[tuple[int, int, int], ...] | None = None
        self._context: ssl.SSLContext | None = None

    def __call__(self) -> ssl.SSLContext:
        """Return the context of the files as they are now."""
        made_of = tuple(_stamp(path) for path in self._paths())
        if self._context is None or made_of != self._made_of:
            self._context = _context(self._settings)
            self._made_of = made_of
        return self._context

    def _paths(self) -> list[str]:
        wanted = (self._settings.ca_file, self._settings.cert_file, self._settings.key_file)
        return [path for path in wanted if path is not None]


def _stamp(path: str) -> tuple[int, int, int]:
    found = Path(path).stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def _context(settings: TlsSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ca_file)
    if not settings.strict:
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.cert_file is not None:
        password = settings.key_password
        context.load_cert_chain(
            settings.cert_file,
            settings.key_file,
            # A callable, since without one OpenSSL would ask at the terminal.
            password=lambda: password.reveal() if password is not None else "",
        )
    return context


def tls_reason(error: Exception) -> str:
    """Return in words what a failed handshake or an alert means, and what to do about it."""
    return str(error) or type(error).__name__
