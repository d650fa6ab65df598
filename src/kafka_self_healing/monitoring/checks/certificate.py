"""CertificateMonitoringPlugin: the certificates that a node serves, by handshakes of our own."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, rsa

from kafka_self_healing.errors import CheckError
from kafka_self_healing.model.access import TlsConfig
from kafka_self_healing.model.evidence import (
    CertificateFact,
    CheckResult,
    Kind,
    ListenerCertificate,
    Outcome,
)
from kafka_self_healing.model.node import NodeConfig
from kafka_self_healing.monitoring.access import Access
from kafka_self_healing.monitoring.checks.handshake import Handshake
from kafka_self_healing.monitoring.checks.look import look
from kafka_self_healing.plugins import CheckContext, MonitoringPlugin
from kafka_self_healing.wire.tls import TlsFileError, is_from_peer, tls_reason

INTERVAL_S: Final = 3600.0
TIMEOUT_S: Final = 10.0
_DAY_S: Final = 86_400.0
_MOST_FILE_BYTES: Final = 1 << 20
_MARGIN: Final = 0.9
_LEAST_RSA_BITS: Final = 2048
_WEAK_DIGESTS: Final = frozenset({"md5", "sha1"})
_NO_ISSUER: Final = 20  # X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY


@dataclass(frozen=True, slots=True)
class _Listener:
    """One listener that is configured with TLS."""

    name: str
    host: str
    port: int
    tls: TlsConfig

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class _Reading:
    """What one listener showed, or why it showed nothing."""

    shown: ListenerCertificate
    outcome: Outcome = Outcome.ANSWERED
    error: str = ""


class CertificateMonitoringPlugin(MonitoringPlugin):
    """CERTIFICATE. A listener that hangs is timed out, never "bad TLS"; nothing is sent in TLS.

    A certificate that we would refuse is read by a second handshake that trusts anybody.
    """

    def __init__(self, access: Access | None = None) -> None:
        self._access = access or Access()

    @property
    def kinds(self) -> frozenset[Kind]:
        """CERTIFICATE."""
        return frozenset({Kind.CERTIFICATE})

    def can_ask(self, target: NodeConfig, kind: Kind) -> bool:  # noqa: ARG002 - one kind
        """Return whether any listener is configured with TLS."""
        return any(True for _ in _listeners(target))

    def interval_s(self, target: NodeConfig, kind: Kind) -> float | None:  # noqa: ARG002
        """Once an hour: a certificate lasts for days, and each look is a line in a log."""
        return INTERVAL_S

    def timeout_s(self, target: NodeConfig, kind: Kind) -> float | None:  # noqa: ARG002
        """Two handshakes in a row on a busy machine."""
        return TIMEOUT_S

    async def check(self, target: NodeConfig, context: CheckContext) -> Sequence[CheckResult]:
        """Shake hands with every TLS listener of the node at the same time."""
        listeners = tuple(_listeners(target))
        missing: list[str] = []
        (result,) = await look(context, target.id, self._read(listeners, context, missing))
        return [result if result.error else replace(result, error="; ".join(missing))]

    async def _read(
        self, listeners: Sequence[_Listener], context: CheckContext, missing: list[str]
    ) -> CertificateFact:
        now_s = context.clock.now().utc_s
        limit_s = context.timeout_s * _MARGIN
        readings = await asyncio.gather(*(self._one(one, limit_s, now_s) for one in listeners))
        unread = [reading for reading in readings if reading.outcome is not Outcome.ANSWERED]
        if readings and len(unread) == len(readings):
            raise CheckError(unread[0].outcome, "; ".join(reading.error for reading in unread))
        missing += [reading.error for reading in unread]
        return CertificateFact(
            listeners=tuple(reading.shown for reading in readings),
            own=await asyncio.to_thread(_own, listeners, now_s) if _shows_own(listeners) else (),
        )

    async def _one(self, listener: _Listener, limit_s: float, now_s: float) -> _Reading:
        """Return what `listener` serves. The first handshake says whether we would accept it."""
        try:
            async with asyncio.timeout(limit_s):
                first = await self._shake(listener, listener.tls, limit_s)
                refused = isinstance(first.error, ssl.SSLCertVerificationError)
                der = first.certificate
                if refused and der is None:
                    trusting = await self._shake(
                        listener, replace(listener.tls, verify=False), limit_s
                    )
                    der = trusting.certificate
        except TimeoutError:
            said = f"no TLS handshake within {limit_s:g} s; the process may hang"
            return _unread(listener, Outcome.TIMED_OUT, said)
        except TlsFileError as wrong:
            return _unread(listener, Outcome.PROTOCOL, f"not asked: {wrong}")
        except OSError as wrong:
            return _unread(listener, _outcome(wrong), wrong.strerror or str(wrong))
        except ValueError as wrong:
            return _unread(listener, Outcome.PROTOCOL, f"not asked: {wrong}; set tls.server_name")
        # Whoever ends the handshake after its certificate has shown one that we accept: it is our
        # own certificate that it does not like.
        problem = _reason(first.error) if first.error is not None and refused else ""
        if der is not None:
            shown = ListenerCertificate(listener.name, listener.address)
            return _Reading(described(shown, der, problem, now_s))
        assert first.error is not None, "a handshake that succeeds shows a certificate"
        return _unread(listener, _tls_outcome(first.error), tls_reason(first.error))

    async def _shake(self, listener: _Listener, tls: TlsConfig, limit_s: float) -> Handshake:
        """Connect and shake hands once. Raises OSError when there is no connection."""
        context = self._access.tls_context(tls)
        assert context is not None
        return await self._access.wire.shake_hands(
            listener.host,
            listener.port,
            tls=context,
            server_name=tls.server_name or listener.host,
            timeout_s=limit_s,
        )


def _listeners(node: NodeConfig) -> Iterator[_Listener]:
    """Yield the listeners of `node` that are configured with TLS."""
    registry = node.jmx_port if node.jmx.registry_tls else node.jmx.rmi_port
    doors = (
        ("kafka", node.is_broker, node.kafka_port, node.kafka.tls),
        ("controller", node.is_voter, node.controller_port, node.controller.tls),
        ("zookeeper", node.is_member, node.zookeeper_port, node.zookeeper.tls),
        ("admin", node.is_member, node.zookeeper.admin_port, node.zookeeper.admin_tls),
        ("jmx", node.jmx_port is not None, registry, node.jmx.tls),
    )
    for name, has, port, tls in doors:
        if has and port is not None and tls is not None:
            yield _Listener(name, node.host, port, tls)


def described(
    shown: ListenerCertificate, der: bytes, problem: str, now_s: float
) -> ListenerCertificate:
    """Return `shown` with what its certificate says. `problem`: why a client refuses it."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        return _with(shown, certificate, problem, now_s)
    except (ValueError, TypeError, UnsupportedAlgorithm) as wrong:
        return replace(shown, problem=problem or f"its certificate cannot be read: {wrong}")


def _with(
    shown: ListenerCertificate, certificate: x509.Certificate, problem: str, now_s: float
) -> ListenerCertificate:
    begins = certificate.not_valid_before_utc.timestamp()
    ends = certificate.not_valid_after_utc.timestamp()
    days_left = (ends - now_s) / _DAY_S
    if ends <= now_s and "expired" not in problem:
        problem = "; ".join(filter(None, (problem, f"it expired {-days_left:.1f} days ago")))
    elif begins > now_s and "not valid yet" not in problem:
        problem = "; ".join(filter(None, (problem, "it is not valid yet")))
    return replace(
        shown,
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        not_after=ends,
        days_left=days_left,
        problem=problem or _weakness(certificate),
    )


def _weakness(certificate: x509.Certificate) -> str:
    """Say what strict clients refuse, where ours was told to trust anybody; "": nothing."""
    key, digest = certificate.public_key(), certificate.signature_hash_algorithm
    if isinstance(key, rsa.RSAPublicKey | dsa.DSAPublicKey) and key.key_size < _LEAST_RSA_BITS:
        return f"its key is weak ({key.key_size} bits); issue one of {_LEAST_RSA_BITS} or more"
    if digest is not None and digest.name in _WEAK_DIGESTS:
        return f"it is signed with the weak digest {digest.name}; issue it with SHA-256"
    return ""


def _reason(error: OSError | EOFError) -> str:
    code = error.verify_code if isinstance(error, ssl.SSLCertVerificationError) else 0
    before = "incomplete chain, or an unknown authority: " if code == _NO_ISSUER else ""
    return before + tls_reason(error)


def _shows_own(listeners: Sequence[_Listener]) -> bool:
    return any(listener.tls.cert_file is not None for listener in listeners)


def _own(listeners: Sequence[_Listener], now_s: float) -> tuple[ListenerCertificate, ...]:
    """Read the client certificates that we show to these listeners."""
    shown: dict[str, list[str]] = {}
    for listener in listeners:
        if listener.tls.cert_file is not None:
            shown.setdefault(listener.tls.cert_file, []).append(listener.name)
    found = []
    for path, names in shown.items():
        one = ListenerCertificate(f"ours for {', '.join(names)}", path)
        try:
            with Path(path).open("rb") as file:
                pem = file.read(_MOST_FILE_BYTES)
            found.append(_with(one, x509.load_pem_x509_certificate(pem), "", now_s))
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as wrong:
            found.append(replace(one, problem=f"it cannot be read: {wrong}"))
    return tuple(found)


def _unread(listener: _Listener, outcome: Outcome, said: str) -> _Reading:
    shown = ListenerCertificate(listener.name, listener.address)
    return _Reading(shown, outcome, f"{listener.name} {listener.address}: {said}")


def _outcome(wrong: OSError) -> Outcome:
    if isinstance(wrong, ConnectionRefusedError):
        return Outcome.REFUSED
    return Outcome.RESET if isinstance(wrong, ConnectionError) else Outcome.UNREACHABLE


def _tls_outcome(wrong: OSError | EOFError) -> Outcome:
    if is_from_peer(wrong):
        return Outcome.TLS
    if isinstance(wrong, ConnectionError):
        return Outcome.RESET
    closed = isinstance(wrong, EOFError | ssl.SSLError)
    return Outcome.CLOSED if closed else Outcome.PROTOCOL
