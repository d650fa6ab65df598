"""TLS files that are exchanged, and what each error of TLS is said to mean."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.integration.clusters.pki import KEY_PASSWORD, Pki, make_pki

from kafka_self_healing.secret import Secret
from kafka_self_healing.wire import tls
from kafka_self_healing.wire.tls import (
    TlsFileError,
    TlsFiles,
    TlsSettings,
    is_from_peer,
    tls_reason,
    wants_tls,
)

HOST = "127.0.0.1"
LONG_AGO = (1_000_000_000, 1_000_000_000)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Certificates of all kinds."""
    return make_pki(tmp_path_factory.mktemp("pki") / "pki")


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """Serve `answer` to whoever says something, then close; yields the port."""
    server = socket.create_server((HOST, 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = server.accept()
                with peer:
                    peer.recv(4096)
                    peer.sendall(answer)
                    peer.shutdown(socket.SHUT_WR)
                    peer.recv(4096)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


@contextmanager
def serving(certificate: Path) -> Iterator[int]:
    """Serve TLS with a certificate; yields the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = socket.create_server((HOST, 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = server.accept()
                with contextlib.suppress(OSError), context.wrap_socket(peer, server_side=True):
                    pass

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def shake_hands(port: int, settings: TlsSettings, name: str = HOST) -> None:
    """Do one handshake; raises what TLS raises."""
    context = TlsFiles(settings)()
    with socket.create_connection((HOST, port)) as plain:
        context.wrap_socket(plain, server_hostname=name).close()


def failure(port: int, settings: TlsSettings, name: str = HOST) -> OSError:
    """Return what a handshake fails with."""
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the tests look at it
        shake_hands(port, settings, name)
    return caught.value


def home_made(folder: Path) -> Path:
    """Make an authority without keyUsage, as `openssl req -x509` did, and a server of its."""
    now, day = datetime.now(UTC), timedelta(days=1)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in ("ca", "node")]

    def certificate(place: int) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(names[place])
            .issuer_name(names[0])
            .public_key(keys[place].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - day)
            .not_valid_after(now + day)
            .add_extension(x509.BasicConstraints(place == 0, None), critical=True)
        )
        if place:
            host = x509.DNSName("node.test")
            builder = builder.add_extension(x509.SubjectAlternativeName([host]), critical=False)
        return builder.sign(keys[0], hashes.SHA256())

    authority, node = (
        certificate(place).public_bytes(serialization.Encoding.PEM) for place in (0, 1)
    )
    key = keys[1].private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "ca.pem").write_bytes(authority)
    (folder / "node.pem").write_bytes(key + node)
    return folder


def test_a_context_is_kept_until_a_file_is_exchanged(pki: Pki, tmp_path: Path) -> None:
    """The same files give the same context; a new file gives a new one with its certificate."""
    ca = tmp_path / "ca.pem"
    ca.write_bytes(pki.foreign_ca.read_bytes())
    files = TlsFiles(TlsSettings(ca_file=str(ca)))
    before = files()
    assert files() is before
    fresh = tmp_path / "fresh.pem"
    fresh.write_bytes(pki.ca.read_bytes())
    fresh.rename(ca)
    after = files()
    assert after is not before
    (loaded,) = after.get_ca_certs()
    assert "test authority" in str(loaded["subject"])


def test_an_exchange_under_way_does_not_blind_us(pki: Pki, tmp_path: Path) -> None:
    """Of a pair the first file is new: the old context serves for a minute, then it is an error."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(pki.healer.read_bytes())
    key.write_bytes(pki.healer.read_bytes())
    files = TlsFiles(TlsSettings(cert_file=str(cert), key_file=str(key), verify=False))
    before = files()
    cert.write_bytes(pki.broker.read_bytes())
    assert files() is before
    for path in (cert, key):
        os.utime(path, LONG_AGO)
    with pytest.raises(TlsFileError, match="does not belong to the certificate"):
        files()
    key.write_bytes(pki.broker.read_bytes())
    assert files() is not before


def test_a_removed_file_is_told_with_its_name(tmp_path: Path) -> None:
    """Which option, which path, and why."""
    gone = str(tmp_path / "gone.pem")
    for option in ("ca_file", "cert_file"):
        with pytest.raises(TlsFileError, match=rf"tls\.{option} {gone} cannot be read: No such"):
            TlsFiles(TlsSettings(**{option: gone}))()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ca_file": "key"}, "tls.ca_file {folder}/key holds no certificate"),
        ({"ca_file": "empty"}, "holds no certificate"),
        ({"ca_file": "folder"}, "cannot be read: Is a directory"),
        ({"cert_file": "key"}, "tls.cert_file {folder}/key holds no certificate"),
        ({"cert_file": "cert"}, "tls.cert_file {folder}/cert holds no private key"),
        ({"cert_file": "cert", "key_file": "cert"}, "tls.key_file {folder}/cert holds no private"),
        ({"cert_file": "cert", "key_file": "other"}, "does not belong to the certificate"),
        ({"cert_file": "cert", "key_file": "locked"}, "is encrypted; set tls.key_password"),
        (
            {"cert_file": "cert", "key_file": "locked", "key_password": Secret("wrong-S3cret")},
            "tls.key_password does not open the key",
        ),
        ({"cert_file": "cert", "key_file": "broken"}, "is it whole, and PEM"),
    ],
)
def test_a_file_that_cannot_be_used_is_told(
    settings: dict[str, str | Secret], words: str, pki: Pki, tmp_path: Path
) -> None:
    """Wrong files are named with what to do; nothing of them and no password is in the text."""
    text = pki.healer.read_text()
    key, _, rest = text.partition("-----BEGIN CERTIFICATE-----")
    (tmp_path / "folder").mkdir()
    for name, content in {
        "key": key,
        "cert": "-----BEGIN CERTIFICATE-----" + rest,
        "other": pki.broker.read_text(),
        "locked": pki.locked_key.read_text(),
        "empty": "",
        "broken": key.replace("\n", "\nA", 1),
    }.items():
        (tmp_path / name).write_text(content)
    given = {
        option: str(tmp_path / value) if isinstance(value, str) else value
        for option, value in settings.items()
    }
    with pytest.raises(TlsFileError) as caught:
        TlsFiles(TlsSettings(**given))()  # type: ignore[arg-type]
    said = tls_reason(caught.value)
    assert words.format(folder=tmp_path) in said
    assert "wrong-S3cret" not in said
    assert not is_from_peer(caught.value)


def test_an_encrypted_key_is_opened_by_its_password(pki: Pki) -> None:
    """The pair of a certificate and a locked key makes a context."""
    settings = TlsSettings(
        ca_file=str(pki.ca),
        cert_file=str(pki.healer),
        key_file=str(pki.locked_key),
        key_password=Secret(KEY_PASSWORD),
    )
    assert TlsFiles(settings)().verify_mode is ssl.CERT_REQUIRED


async def test_loading_does_not_hold_up_the_loop(pki: Pki) -> None:
    """A slow disk is waited for in a thread: other tasks go on meanwhile."""
    begun, go_on = threading.Event(), threading.Event()
    files = TlsFiles(TlsSettings(ca_file=str(pki.ca)))

    def slow() -> ssl.SSLContext:
        begun.set()
        assert go_on.wait(10)
        return files()

    loading = asyncio.create_task(tls.load(slow, HOST))
    while not begun.is_set():
        await asyncio.sleep(0)
    go_on.set()
    assert await loading is files()


@pytest.mark.parametrize("name", ["", ".dot", "a" * 64 + ".test", "nul\0.test"])
async def test_a_name_that_no_certificate_bears_is_told(pki: Pki, name: str) -> None:
    """A name on which TLS cannot even begin is an error of the setting, not an endless wait."""
    files = TlsFiles(TlsSettings(ca_file=str(pki.ca)))
    with pytest.raises(TlsFileError, match=r"no certificate bears the name .*tls\.server_name"):
        await tls.load(files, name)


ALERTS = {
    10: "right port",
    40: "tls.cert_file",
    42: "client certificate",
    43: "clientAuth",
    44: "revoked",
    45: "our certificate has expired",
    46: "does not accept our certificate",
    48: "does not trust the authority",
    49: "refuses our certificate",
    51: "could not check our signature",
    70: "no TLS version in common",
    71: "stronger ciphers",
    80: "failed inside",
    112: "tls.server_name",
    116: "wants a client certificate, and got none",
}


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_is_told(alert: int) -> None:
    """Whatever alert a node ends the handshake with: what it means, and that the node spoke."""
    with answering(b"\x15\x03\x03\0\2\2" + bytes((alert,))) as port:
        error = failure(port, TlsSettings())
    said = tls_reason(error)
    assert said.startswith("it ended TLS with the alert")
    assert ALERTS[alert] in said
    assert is_from_peer(error)


@pytest.mark.parametrize(
    ("answer", "words", "spoke"),
    [
        (b"\0\0\0\4abcd", "plaintext port", True),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "plaintext port", True),
        (b"220 mail.test ESMTP\r\n", "plaintext port", True),
        (b"", "closed without an answer in TLS", False),
        (b"\x16\x03\x03\0\x40cut", "closed without an answer in TLS", False),
    ],
)
def test_an_answer_without_tls_is_told(answer: bytes, words: str, spoke: bool) -> None:
    """Other bytes prove that somebody speaks; a closed connection proves nothing."""
    with answering(answer) as port:
        error = failure(port, TlsSettings())
    assert words in tls_reason(error)
    assert is_from_peer(error) is spoke


def test_a_cut_is_told() -> None:
    """A reset and an end during the handshake say so, and prove nothing."""
    for error in (ConnectionResetError(104, "Connection reset by peer"), EOFError()):
        assert "a process that ends" in tls_reason(error)
        assert not is_from_peer(error)


@pytest.mark.parametrize(
    ("which", "words"),
    [
        ("expired", "has expired; renew it"),
        ("future", "not valid yet; compare the clocks"),
        ("foreign", "authority that signed its certificate is not in tls.ca_file"),
        ("other_host", f"not made out for '{HOST}'; set tls.server_name"),
    ],
)
def test_each_wrong_certificate_is_told(which: str, words: str, pki: Pki) -> None:
    """Expired, of tomorrow, of an unknown authority, of another host."""
    with serving(getattr(pki, which)) as port:
        error = failure(port, TlsSettings(ca_file=str(pki.ca)))
    assert words in tls_reason(error)
    assert is_from_peer(error)


def test_a_name_that_does_not_match_is_told(pki: Pki) -> None:
    """A host name, unlike an address, is told as a name."""
    with serving(pki.broker) as port:
        error = failure(port, TlsSettings(ca_file=str(pki.ca)), "else.test")
    assert "not made out for 'else.test'; set tls.server_name" in tls_reason(error)


def test_a_self_signed_certificate_is_told_and_can_be_trusted(tmp_path: Path) -> None:
    """A certificate that signed itself is unknown until it is itself in the file."""
    folder = home_made(tmp_path)
    with serving(folder / "node.pem") as port:
        error = failure(port, TlsSettings(strict=False), "node.test")
        assert "authority" in tls_reason(error)
        shake_hands(port, TlsSettings(ca_file=str(folder / "ca.pem"), strict=False), "node.test")


def test_a_home_made_authority_is_told_how_to_be_let_in(tmp_path: Path) -> None:
    """RFC 5280 to the letter refuses an authority without keyUsage, whatever Python's version."""
    folder = home_made(tmp_path)
    with serving(folder / "node.pem") as port:
        error = failure(port, TlsSettings(ca_file=str(folder / "ca.pem")), "node.test")
    said = tls_reason(error)
    assert "RFC 5280" in said
    assert "tls.strict: false" in said


async def test_a_warm_connection_holds_a_small_buffer(pki: Pki) -> None:
    """What asyncio reserves for each TLS connection is bounded by us, and enough for a record."""
    context = TlsFiles(TlsSettings(ca_file=str(pki.ca)))()
    with serving(pki.broker) as port:
        transport, _ = await asyncio.get_running_loop().create_connection(
            asyncio.Protocol, HOST, port, ssl=context, server_hostname=HOST
        )
        buffer = transport._ssl_protocol._ssl_buffer  # type: ignore[attr-defined]
        transport.abort()
    assert len(buffer) == tls.BUFFER_BYTES >= 2 * 16_384


def test_a_tls_alert_in_plain_text_is_known() -> None:
    """The first byte of an alert tells a plain client that TLS is wanted."""
    assert wants_tls(b"\x15\x03\x03\0\2\2\x50")
    assert not wants_tls(b"\0\0\0\x15")
    assert not wants_tls(b"")
