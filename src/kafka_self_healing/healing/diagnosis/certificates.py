"""Rules about certificates: expiring, told once at each of a few steps, and expired."""

from __future__ import annotations

from collections.abc import Iterable

from kafka_self_healing.healing.assessment import ClusterView, Standing
from kafka_self_healing.healing.diagnosis.rule import Row
from kafka_self_healing.model.evidence import (
    CertificateFact,
    CheckResult,
    Kind,
    ListenerCertificate,
)
from kafka_self_healing.model.incident import Condition, Diagnosis, beside
from kafka_self_healing.model.policy import Policy

DAY_S = 86_400.0

ROWS = (
    Row(
        Condition.CERTIFICATE_EXPIRING,
        needs=frozenset({Kind.CERTIFICATE}),
        seen="a certificate that a listener of the node serves, or one of our own that we show to"
        " it (told once for the whole cluster), ends within 30, 14, 7 or 1 days",
        contradicted_by="a later look that reads a renewed one",
        holds="one look: a certificate is read or it is not",
        done="told once at each of these steps, and not repeated between them",
        you="renew it. A running broker takes a new keystore by `kafka-configs --alter` with the"
        " same path; others need a restart, which works only while the old one is still valid",
    ),
    Row(
        Condition.CERTIFICATE_EXPIRED,
        needs=frozenset({Kind.CERTIFICATE}),
        seen="a certificate that a listener of the node serves, or one of our own that we show to"
        " it (told once for the whole cluster), has ended",
        contradicted_by="a later look that reads a renewed one",
        holds="one look",
        done="nothing: the running process may be fine, a new one would exit at once. RESTARTs of"
        " the node are refused ([`certificates_are_valid`](guards.md))",
        you="renew it at once: at the next restart, whoever makes it, the node would not come back."
        " Of one of our own: the healer is blind on that listener until it is renewed",
    ),
)


def certificates(node: Standing, view: ClusterView, policy: Policy) -> list[tuple[str, Diagnosis]]:
    """Return what is to be told of the certificates that a node serves."""
    look = view.view.certificates.get(node.id)
    fact = look.fact if look is not None else None
    if look is None or not isinstance(fact, CertificateFact):
        return []
    return _told(node.id, (node.id,), _ends(fact.listeners or (), look, view), policy)


def own_certificates(view: ClusterView, policy: Policy) -> list[tuple[str, Diagnosis]]:
    """Return what is to be told of our own certificates; many nodes are shown the same ones."""
    ends: list[tuple[float, str]] = []
    for file, look in view.view.own_certificates.items():
        shown = look.fact.own if isinstance(look.fact, CertificateFact) else None
        ends += _ends((one for one in shown or () if one.address == file), look, view)
    return _told(view.view.cluster.name, (), ends, policy)


def _ends(
    shown: Iterable[ListenerCertificate], look: CheckResult, view: ClusterView
) -> list[tuple[float, str]]:
    """Return the days left of each certificate, and its name."""
    found = []
    for one in shown:
        left = []
        if one.days_left is not None:
            left.append(one.days_left - (view.now.mono_s - look.ended) / DAY_S)
        if one.not_after is not None:
            left.append((one.not_after - view.now.utc_s) / DAY_S)
        if left:
            found.append((min(left), f"{one.listener} {one.address}".strip()))
    return found


def _told(
    subject: str, nodes: tuple[str, ...], ends: list[tuple[float, str]], policy: Policy
) -> list[tuple[str, Diagnosis]]:
    found = []
    over = [f"{name}: expired {-days:.1f} days ago" for days, name in ends if days <= 0]
    if over:
        expired = Condition.CERTIFICATE_EXPIRED
        one = Diagnosis(expired, nodes, tuple(over), confirmed=True)
        found.append((beside(subject, expired), one))
    steps = sorted(policy.signs.certificate_days)
    near = [(days, name) for days, name in ends if 0 < days <= max(steps, default=0)]
    if near:
        expiring = Condition.CERTIFICATE_EXPIRING
        step = next(step for step in steps if min(near)[0] <= step)
        words = tuple(f"{name}: {days:.1f} days left" for days, name in sorted(near))
        one = Diagnosis(expiring, nodes, words, confirmed=True)
        found.append((f"{beside(subject, expiring)}/{step}", one))
    return found
