"""Certificates that the simulated listeners show: signed once, by a key of the simulation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "node.sim")])


@lru_cache(1)
def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@lru_cache(1024)
def certificate_until(utc_s: int) -> bytes:
    """Return the DER of a certificate that is valid until then (UTC seconds)."""
    end = datetime.fromtimestamp(utc_s, UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(_NAME)
        .issuer_name(_NAME)
        .public_key(_key().public_key())
        .serial_number(1)
        .not_valid_before(end - timedelta(days=825))
        .not_valid_after(end)
        .sign(_key(), hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.DER)
