"""A certificate authority of the tests' own, and a certificate for every wrong setting."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

KEY_PASSWORD: Final = "key-Passw0rd"
"""Opens `Pki.locked_key` and the PKCS12 files."""

HERE: Final = ("127.0.0.1", "localhost")
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Issued:
    """A key and its certificate, with that of the authority that signed it."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    authority: x509.Certificate

    def pem(self) -> bytes:
        """Return key, certificate and authority in one PEM text, as Kafka and Python take it."""
        return self.key_pem() + _pem(self.certificate) + _pem(self.authority)

    def key_pem(self, password: str | None = None) -> bytes:
        """Return the key alone, encrypted if `password` is given."""
        guard: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password is not None:
            guard = serialization.BestAvailableEncryption(password.encode())
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, guard
        )

    def pkcs12(self, password: str) -> bytes:
        """Return a keystore that Java reads."""
        guard = serialization.BestAvailableEncryption(password.encode())
        return pkcs12.serialize_key_and_certificates(
            b"server", self.key, self.certificate, [self.authority], guard
        )


class Authority:
    """Signs certificates. Two of the same name are still two: their keys differ."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        self.certificate = (
            _builder(name, name, self._key.public_key(), now - 30 * _DAY, now + 3650 * _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(_key_id(self._key), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self._name = name

    def issue(
        self,
        name: str,
        *,
        hosts: Sequence[str] = HERE,
        days: tuple[float, float] = (-1.0, 825.0),
    ) -> Issued:
        """Return a certificate of `name` for `hosts`, valid between `days` from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        begins, ends = (now + day * _DAY for day in days)
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = (
            _builder(name, self._name, key.public_key(), begins, ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(both), critical=False)
            .add_extension(x509.SubjectAlternativeName(_names(hosts)), critical=False)
            .add_extension(_key_id(key), critical=False)
            .add_extension(signer, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return Issued(key, certificate, self.certificate)


@dataclass(frozen=True, slots=True)
class Pki:
    """The files. Each `.pem` but `ca` and `foreign_ca` holds a key and its certificate.

    `expired`, `future`, `other_host` and `foreign` serve as a broker's and as a client's.
    """

    folder: Path

    @property
    def ca(self) -> Path:
        """The authority that everybody trusts."""
        return self.folder / "ca.pem"

    @property
    def foreign_ca(self) -> Path:
        """An authority that nobody trusts."""
        return self.folder / "foreign-ca.pem"

    @property
    def broker(self) -> Path:
        """What the brokers serve: CN=broker, 127.0.0.1 and localhost."""
        return self.folder / "broker.pem"

    @property
    def keystore(self) -> Path:
        """The same as PKCS12, for JMX and ZooKeeper."""
        return self.folder / "broker.p12"

    @property
    def expired_keystore(self) -> Path:
        """One that ended yesterday as PKCS12."""
        return self.folder / "expired.p12"

    @property
    def healer(self) -> Path:
        """A good client certificate, CN=healer."""
        return self.folder / "healer.pem"

    @property
    def stranger(self) -> Path:
        """A good client certificate of somebody without rights, CN=stranger."""
        return self.folder / "stranger.pem"

    @property
    def locked_key(self) -> Path:
        """The healer's key, encrypted with `KEY_PASSWORD`."""
        return self.folder / "healer-locked.key"

    @property
    def expired(self) -> Path:
        """Ended yesterday."""
        return self.folder / "expired.pem"

    @property
    def future(self) -> Path:
        """Begins tomorrow."""
        return self.folder / "future.pem"

    @property
    def other_host(self) -> Path:
        """For another host."""
        return self.folder / "other-host.pem"

    @property
    def foreign(self) -> Path:
        """Signed by `foreign_ca`."""
        return self.folder / "foreign.pem"

    def context(self, identity: Path | None = None) -> ssl.SSLContext:
        """Return a client's context that trusts `ca`, with a certificate if `identity` is given."""
        made = ssl.create_default_context(cafile=str(self.ca))
        if identity is not None:
            made.load_cert_chain(identity)
        return made

    def server_context(self) -> ssl.SSLContext:
        """Return the context of a server that shows the brokers' certificate."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(self.broker)
        return made


def make_pki(folder: Path) -> Pki:
    """Make all files in `folder`, private keys readable by the owner only."""
    folder.mkdir(parents=True)
    pki = Pki(folder)
    ours, foreign = Authority("test authority"), Authority("foreign authority")
    broker, healer = ours.issue("broker"), ours.issue("healer")
    files = {
        pki.ca: _pem(ours.certificate),
        pki.foreign_ca: _pem(foreign.certificate),
        pki.broker: broker.pem(),
        pki.keystore: broker.pkcs12(KEY_PASSWORD),
        pki.expired_keystore: ours.issue("broker", days=(-30, -1)).pkcs12(KEY_PASSWORD),
        pki.healer: healer.pem(),
        pki.stranger: ours.issue("stranger").pem(),
        pki.locked_key: healer.key_pem(KEY_PASSWORD),
        pki.expired: ours.issue("healer", days=(-30, -1)).pem(),
        pki.future: ours.issue("healer", days=(1, 30)).pem(),
        pki.other_host: ours.issue("healer", hosts=("elsewhere.test",)).pem(),
        pki.foreign: foreign.issue("healer").pem(),
    }
    for path, content in files.items():
        path.touch(mode=0o600)
        path.write_bytes(content)
    return pki


def _builder(
    name: str, issuer: str, key: ec.EllipticCurvePublicKey, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _names(hosts: Sequence[str]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return names


def _key_id(key: ec.EllipticCurvePrivateKey) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key())


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
