"""Files that a configuration names must be there, be readable, and hold what they should.

They are looked at when the configuration is read, so that a wrong one is told then and there, not
by each look at each node.
"""

from __future__ import annotations

import ssl
import stat
from collections.abc import Iterator
from pathlib import Path

from kafka_self_healing.config.document import Document, Place
from kafka_self_healing.config.parts import Parts
from kafka_self_healing.config.rules.places import said_at
from kafka_self_healing.config.schema_access import SaslSection, SshSection, TlsSection
from kafka_self_healing.config.section import sections
from kafka_self_healing.errors import Problem

MAX_BYTES = 4_194_304
"""A bundle of all public authorities has about 250 kB."""

_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_KEY = b"PRIVATE KEY-----"
_CONVERT = (
    "it holds no certificate in PEM form; a Java keystore is converted by "
    "`keytool -importkeystore … -deststoretype PKCS12` and `openssl pkcs12 -in … -out … -nodes`"
)


def usable(document: Document, parts: Parts) -> Iterator[Problem]:
    """Each file of TLS, tokens and ssh can be used as it is meant."""
    for place, section in parts.written:
        for where, tls in sections(TlsSection, section, place):
            yield from _tls(document, tls, where)
        for where, sasl in sections(SaslSection, section, place):
            yield from _readable(document, (*where, "token_file"), sasl.token_file)
        for where, ssh in sections(SshSection, section, place):
            for key in ("identity_file", "config_file", "known_hosts_file"):
                yield from _readable(document, (*where, key), getattr(ssh, key))


def _tls(document: Document, tls: TlsSection, place: Place) -> Iterator[Problem]:
    found = False
    for key in ("ca_file", "cert_file", "key_file"):
        for problem in _readable(document, (*place, key), getattr(tls, key)):
            found = True
            yield problem
    if tls.key_file is not None and tls.cert_file is None:
        message = "belongs to a cert_file; add that, or remove this"
        yield document.problem((*place, "key_file"), message, at_key=True)
    elif tls.key_password is not None and tls.cert_file is None:
        message = "belongs to a cert_file with a key; add that, or remove this"
        yield document.problem((*place, "key_password"), message, at_key=True)
    if found:
        return
    if tls.ca_file is not None and _CERTIFICATE not in _content(document.folder / tls.ca_file):
        yield document.problem((*place, "ca_file"), _CONVERT)
    if tls.cert_file is not None:
        yield from _pair(document, tls, place)


def _pair(document: Document, tls: TlsSection, place: Place) -> Iterator[Problem]:
    """Certificate and key are there and belong together, and the password opens the key."""
    assert tls.cert_file is not None
    cert = document.folder / tls.cert_file
    key = cert if tls.key_file is None else document.folder / tls.key_file
    if _CERTIFICATE not in _content(cert):
        yield document.problem((*place, "cert_file"), _CONVERT)
    elif _KEY not in _content(key):
        if tls.key_file is None:
            yield document.problem((*place, "cert_file"), "it holds no key; add key_file")
        else:
            yield document.problem((*place, "key_file"), "it holds no private key in PEM form")
    else:
        why = _refused(cert, key, tls)
        if why:
            yield document.problem((*place, "key_file" if tls.key_file else "cert_file"), why)


def _refused(cert: Path, key: Path, tls: TlsSection) -> str:
    password = tls.key_password
    asked = False

    def tell() -> str:
        nonlocal asked
        asked = True
        return password.reveal() if password is not None else ""

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key, tell)
    except ssl.SSLError as error:
        if asked and password is None:
            return "the key is encrypted; add key_password"
        if asked:
            return "the key cannot be opened; is key_password right?"
        if error.reason == "KEY_VALUES_MISMATCH":
            return "the key is not that of the certificate in cert_file"
        return f"certificate and key cannot be used: {error.reason or 'not understood'}"
    except (OSError, ValueError) as error:
        return f"certificate and key cannot be used: {type(error).__name__}"
    return ""


def _readable(document: Document, place: Place, path: Path | None) -> Iterator[Problem]:
    if path is None:
        return
    try:
        mode = (document.folder / path).stat().st_mode
        if not stat.S_ISREG(mode):
            yield document.problem(place, f"{said_at(document, place, path)} is no ordinary file")
            return
        with (document.folder / path).open("rb"):
            return
    except (OSError, ValueError) as error:
        why = (getattr(error, "strerror", None) or type(error).__name__).lower()
        shown = said_at(document, place, path)
        message = f"{shown} cannot be read: {why}; check the path and its permissions"
        yield document.problem(place, message)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES)
    except OSError:  # it vanished since it was found readable: told as one that holds nothing
        return b""
