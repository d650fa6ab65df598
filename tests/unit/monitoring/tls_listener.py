"""Certificates with every fault, and a listener on loopback that serves them."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Signer:
    """A key with its certificate, and those above it but for the root."""

    name: str
    key: PrivateKey
    certificate: x509.Certificate
    above: tuple[x509.Certificate, ...] = ()


def authority(name: str, signed_by: Signer | None = None) -> Signer:
    """Return a root, or an intermediate that `signed_by` signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(name, key, signed_by, days=(-30, 3650), is_authority=True)
    above = () if signed_by is None else (certificate, *signed_by.above)
    return Signer(name, key, certificate, above)


def issue(
    signed_by: Signer,
    path: Path,
    *,
    days: tuple[float, float] = (-1, 30),
    hosts: tuple[str, ...] = (HOST,),
    weak: bool = False,
    with_chain: bool = True,
) -> Path:
    """Write key and certificate (and the intermediates, `with_chain`) to `path`."""
    key: PrivateKey = ec.generate_private_key(ec.SECP256R1())
    if weak:
        key = rsa.generate_private_key(65537, 1024)
    own = _certificate("node", key, signed_by, days=days, hosts=hosts)
    chain = (own, *(signed_by.above if with_chain else ()))
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(pem + b"".join(_pem(one) for one in chain))
    return path


def write_ca(signer: Signer, path: Path) -> Path:
    """Write the certificate of an authority."""
    path.write_bytes(_pem(signer.certificate))
    return path


def _certificate(
    name: str,
    key: PrivateKey,
    signed_by: Signer | None,
    *,
    days: tuple[float, float],
    is_authority: bool = False,
    hosts: tuple[str, ...] = (),
) -> x509.Certificate:
    now = datetime.now(UTC)
    begins, ends = (now + timedelta(days=day) for day in days)
    signing_key = key if signed_by is None else signed_by.key
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(name if signed_by is None else signed_by.name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(_usage(is_authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()),
            critical=False,
        )
    )
    if hosts:
        names = [_general(host) for host in hosts]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(signing_key, hashes.SHA256())


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


@contextlib.contextmanager
def tls_listener(
    identity: Path,
    *,
    wants_client_of: Path | None = None,
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> Iterator[int]:
    """Serve TLS with `identity` from a thread; yields the port.

    asyncio's own server sends no alert when a handshake fails, so this one blocks.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # it serves weak keys too
    context.maximum_version = newest
    context.load_cert_chain(identity)
    if wants_client_of is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(wants_client_of)

    def serve() -> None:
        while True:
            try:
                plain, _ = listening.accept()
            except OSError:
                return
            plain.settimeout(5.0)
            with (
                plain,
                contextlib.suppress(OSError),
                context.wrap_socket(plain, server_side=True) as peer,
            ):
                peer.recv(4)

    with socket.create_server((HOST, 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(10.0)
