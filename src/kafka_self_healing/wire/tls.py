"""TLS for every protocol: contexts of files that may be exchanged, and what TLS's errors mean."""

from __future__ import annotations

import asyncio
import ssl
import threading
from asyncio import sslproto
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kafka_self_healing.clock import utc_seconds
from kafka_self_healing.secret import Secret

TlsContext = Callable[[], ssl.SSLContext]
"""What the clients are given: called for each new connection, so that new files are used."""

BUFFER_BYTES: Final = 32 * 1024
"""What asyncio holds to read into, for each TLS connection of this process.

Its own choice is 256 KiB, which are 290 KiB a connection in all instead of 70: too much for
thousands of warm connections that carry small messages.
"""
sslproto.SSLProtocol.max_size = BUFFER_BYTES

EXCHANGE_S: Final = 60.0
"""How long files that do not fit each other are taken for an exchange that is under way."""

_READERS = ThreadPoolExecutor(2, thread_name_prefix="tls-files")
"""Threads of their own: names that do not resolve must not hold up who has an address."""


class TlsFileError(OSError):
    """A file of our own cannot be used, so nothing was asked. The text says which, and what to do.

    It says nothing about the peer.
    """


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """PEM files of a client. `ca_file` None: the system's. `key_file` None: in `cert_file`.

    `strict`: RFC 5280 to the letter, as Python does since 3.13, on every version of Python.
    """

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    key_password: Secret | None = None
    verify: bool = True
    strict: bool = True


class TlsFiles:
    """Makes a context of `settings`, and a new one when any of its files was exchanged.

    Call it for a context: it is a `TlsContext`, and may be called from any thread. It reads files;
    in an event loop use `load`. Raises TlsFileError. Files that cannot be used keep the context
    before them in force for EXCHANGE_S: a certificate and its key are never exchanged as one.
    """

    def __init__(self, settings: TlsSettings) -> None:
        self._settings = settings
        self._turn = threading.Lock()
        self._made_of: tuple[tuple[int, int, int], ...] | None = None
        self._context: ssl.SSLContext | None = None

    def __call__(self) -> ssl.SSLContext:
        """Return the context of the files as they are now."""
        with self._turn:
            try:
                made_of = tuple(_stamp(path, option) for option, path in self._files())
                if self._context is None or made_of != self._made_of:
                    self._context = _context(self._settings)
                    self._made_of = made_of
            except TlsFileError:
                if self._context is None or not self._is_being_exchanged():
                    raise
            return self._context

    def _files(self) -> list[tuple[str, str]]:
        wanted = (
            ("ca_file", self._settings.ca_file),
            ("cert_file", self._settings.cert_file),
            ("key_file", self._settings.key_file),
        )
        return [(option, path) for option, path in wanted if path is not None]

    def _is_being_exchanged(self) -> bool:
        stamps = []
        for option, path in self._files():
            try:
                stamps.append(_stamp(path, option)[1] / 1e9)
            except TlsFileError:
                continue  # removed, and its successor is not there yet
        return bool(stamps) and utc_seconds() - max(stamps) <= EXCHANGE_S


async def load(tls: TlsContext, name: str | None = None) -> ssl.SSLContext:
    """Call `tls` in a thread, so that a slow disk does not hold up the event loop.

    `name`: what the peer's certificate is to bear. Raises TlsFileError for a name that none can
    bear (asyncio would never come back from it), and what `tls` raises.
    """
    context = await asyncio.get_running_loop().run_in_executor(_READERS, tls)
    try:
        if name is not None:
            context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=name)
    except (ValueError, TypeError) as exc:  # TypeError: a NUL in it
        raise TlsFileError(
            f"no certificate bears the name {name!r}: {exc}; set tls.server_name"
        ) from None
    return context


def _stamp(path: str, option: str) -> tuple[int, int, int]:
    try:
        found = Path(path).stat()
    except OSError as exc:
        raise _unusable(option, path, exc) from None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _unusable(option: str, path: str, exc: OSError) -> TlsFileError:
    said = exc.strerror or str(exc)
    return TlsFileError(f"tls.{option} {path} cannot be read: {said}; correct path and rights")


def _context(settings: TlsSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_TRUSTED_FIRST | ssl.VERIFY_X509_PARTIAL_CHAIN
    if settings.strict:
        context.verify_flags |= ssl.VERIFY_X509_STRICT
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    _load_authorities(context, settings.ca_file)
    if settings.cert_file is not None:
        _load_own(context, settings.cert_file, settings)
    return context


def _load_authorities(context: ssl.SSLContext, ca_file: str | None) -> None:
    if ca_file is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return
    try:
        context.load_verify_locations(ca_file)
    except ssl.SSLError:
        raise TlsFileError(
            f"tls.ca_file {ca_file} holds no certificate in PEM; "
            "it must begin with -----BEGIN CERTIFICATE-----"
        ) from None
    except OSError as exc:
        raise _unusable("ca_file", ca_file, exc) from None


def _load_own(context: ssl.SSLContext, cert_file: str, settings: TlsSettings) -> None:
    option = "cert_file" if settings.key_file is None else "key_file"
    key_file = settings.key_file or cert_file
    certificate, key = _text("cert_file", cert_file), _text(option, key_file)
    for needed, text, where in (
        ("CERTIFICATE-----", certificate, f"tls.cert_file {cert_file}"),
        ("PRIVATE KEY-----", key, f"tls.{option} {key_file}"),
    ):
        if needed not in text:
            said = needed.removesuffix("-----").lower()
            raise TlsFileError(f"{where} holds no {said} in PEM; correct the file")
    password = settings.key_password
    try:
        context.load_cert_chain(
            cert_file,
            settings.key_file,
            # A callable, since without one OpenSSL would ask at the terminal.
            password=lambda: password.reveal() if password is not None else "",
        )
    except ssl.SSLError as exc:
        raise TlsFileError(_key_trouble(exc, key, option, key_file, settings)) from None
    except (OSError, ValueError) as exc:  # ValueError: a password that is too long for OpenSSL
        said = (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
        raise TlsFileError(f"tls.{option} {key_file} cannot be used: {said}") from None


def _text(option: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace")
    except OSError as exc:
        raise _unusable(option, path, exc) from None


def _key_trouble(
    exc: ssl.SSLError, key: str, option: str, key_file: str, settings: TlsSettings
) -> str:
    if exc.reason == "KEY_VALUES_MISMATCH":
        return (
            f"the key in tls.{option} {key_file} does not belong to the certificate in "
            f"{settings.cert_file}; give the pair that was made together"
        )
    if "ENCRYPTED" in key:
        if settings.key_password is None:
            return f"the key in tls.{option} {key_file} is encrypted; set tls.key_password"
        return f"tls.key_password does not open the key in tls.{option} {key_file}; correct it"
    return f"tls.{option} {key_file} cannot be used: {exc.reason or exc}; is it whole, and PEM?"


# Codes of X509_verify_cert (openssl/x509_vfy.h).
_STRICT_CODES: Final = frozenset(range(80, 95))  # what only VERIFY_X509_STRICT objects to
_CERTIFICATE: Final = {
    9: "its certificate is not valid yet; compare the clocks of both machines",
    10: "its certificate has expired; renew it, before anybody restarts the node",
    18: "its certificate is self-signed and not in tls.ca_file; add it there",
    19: "the authority that signed its certificate is not in tls.ca_file; add that authority",
    20: "the authority that signed its certificate is not in tls.ca_file; "
    "add it, or have the node send the certificates between",
    21: "its certificate's signature cannot be checked with tls.ca_file; add the authority",
    23: "its certificate is revoked; renew it",
    26: "its certificate is not made for servers (extendedKeyUsage); issue it with serverAuth",
    66: "its key is too short to be trusted; issue a certificate with a longer key",
    67: "its authority's key is too short to be trusted; use a longer key",
    68: "its certificate is signed with a digest too weak to be trusted; use SHA-256",
}
_NAME_CODES: Final = frozenset({62, 64})
_BORDER = "its side of TLS is not usable for us: compare versions and ciphers on both sides"
_NO_CLIENT = (
    "it wants a client certificate, and {}; set tls.cert_file and tls.key_file, signed by an "
    "authority that the node trusts"
)
_ALERTS: Final = {
    "UNEXPECTED_MESSAGE": "it did not expect TLS here; is this the right port?",
    "HANDSHAKE_FAILURE": "no cipher or signature in common, or it wants a client certificate; "
    "set tls.cert_file and tls.key_file if it does, else compare ciphers",
    "BAD_CERTIFICATE": _NO_CLIENT.format("did not get one that it accepts"),
    "NO_CERTIFICATE": _NO_CLIENT.format("got none"),
    "CERTIFICATE_REQUIRED": _NO_CLIENT.format("got none"),
    "UNSUPPORTED_CERTIFICATE": "our certificate is not made for clients; issue it with clientAuth",
    "CERTIFICATE_REVOKED": "our certificate is revoked; renew tls.cert_file",
    "CERTIFICATE_EXPIRED": "our certificate has expired; renew tls.cert_file",
    "CERTIFICATE_UNKNOWN": "it does not accept our certificate: expired, or of an authority "
    "that it does not trust; look at tls.cert_file",
    "UNKNOWN_CA": "it does not trust the authority of our certificate; look at tls.cert_file",
    "ACCESS_DENIED": "it refuses our certificate; look at the rights that it gives to its name",
    "DECRYPT_ERROR": "it could not check our signature; is tls.key_file the certificate's own?",
    "PROTOCOL_VERSION": "it speaks no TLS version in common with us (we: 1.2 and 1.3); "
    "enable one of them there (ssl.enabled.protocols)",
    "INSUFFICIENT_SECURITY": "it wants stronger ciphers than ours; compare ciphers",
    "INTERNAL_ERROR": "it failed inside, often for want of a usable certificate; read its log",
    "UNRECOGNIZED_NAME": "it has no certificate for this name; set tls.server_name",
}
_OURS: Final = {
    "WRONG_VERSION_NUMBER": "it answered, but not in TLS: this is a plaintext port; "
    "remove tls, or correct the port",
    "RECORD_LAYER_FAILURE": "it answered, but not in TLS: this is a plaintext port; "
    "remove tls, or correct the port",
    "HTTP_REQUEST": "it answered in HTTP without TLS; correct the port",
    "UNSUPPORTED_PROTOCOL": "it offers old TLS versions only; enable 1.2 or 1.3 there",
    "NO_PROTOCOLS_AVAILABLE": "no TLS version is left to offer; look at this machine's OpenSSL",
    "DH_KEY_TOO_SMALL": _BORDER,
    "EE_KEY_TOO_SMALL": "our certificate's key is too short; renew tls.cert_file",
    "UNSAFE_LEGACY_RENEGOTIATION_DISABLED": _BORDER,
    "NO_SHARED_CIPHER": _BORDER,
    "UNEXPECTED_EOF_WHILE_READING": "it closed without an answer in TLS: a plaintext port does "
    "that, and so does a process that ends",
}


_NOT_SAID: Final = frozenset(
    {"UNEXPECTED_EOF_WHILE_READING", "NO_PROTOCOLS_AVAILABLE", "NO_CIPHERS_AVAILABLE"}
)


def tls_reason(error: Exception) -> str:
    """Return in words what a failed handshake or an alert means, and what to do about it.

    For TlsFileError, ssl.SSLError and the OSError or EOFError of a connection that was cut while
    TLS was spoken.
    """
    if isinstance(error, TlsFileError):
        return str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate_reason(error)
    if isinstance(error, (ssl.SSLEOFError, EOFError)):
        return _OURS["UNEXPECTED_EOF_WHILE_READING"]
    if isinstance(error, ssl.SSLError):
        return _protocol_reason(error)
    if isinstance(error, ConnectionError):
        said = error.strerror or type(error).__name__
        return (
            f"cut while TLS was spoken ({said}): a plaintext port does that, "
            "and so does a process that ends"
        )
    return str(error) or type(error).__name__


def wants_tls(head: bytes) -> bool:
    """Return whether the first bytes of an answer to plain text are an alert of TLS."""
    return head[:1] == b"\x15"


def is_from_peer(error: Exception) -> bool:
    """Return whether `error` proves that the peer spoke: an alert, a certificate, other bytes.

    Whoever speaks lives. A connection that is merely cut proves nothing.
    """
    return isinstance(error, ssl.SSLError) and not (
        isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError))
        or error.reason in _NOT_SAID
    )


def _certificate_reason(error: ssl.SSLCertVerificationError) -> str:
    said = error.verify_message
    if error.verify_code in _NAME_CODES:
        wanted = said.removesuffix(".").partition("certificate is not valid for ")[2]
        name = f" for {wanted}" if wanted else ""
        return f"its certificate is not made out{name}; set tls.server_name to a name that it bears"
    if error.verify_code in _STRICT_CODES:
        return (
            f"its certificate breaks a rule of RFC 5280 ({said}); issue it anew, "
            "or set tls.strict: false"
        )
    known = _CERTIFICATE.get(error.verify_code)
    return known or f"its certificate cannot be trusted ({said}); look at tls.ca_file"


def _protocol_reason(error: ssl.SSLError) -> str:
    reason = error.reason or ""
    _, alert, name = reason.partition("_ALERT_")
    if alert or reason == "TLSV1_UNRECOGNIZED_NAME":
        name = name or "UNRECOGNIZED_NAME"
        words = name.replace("_", " ").lower()
        meaning = _ALERTS.get(name, "read its log, and compare TLS settings on both sides")
        return f"it ended TLS with the alert `{words}`: {meaning}"
    said = reason.replace("_", " ").lower() or str(error)
    return _OURS.get(reason, f"TLS failed ({said}); compare TLS settings on both sides")
