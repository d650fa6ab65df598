"""When to look again: the interval of each kind of evidence, and its jitter, which is a hash."""

from __future__ import annotations

import hashlib
from typing import Final

from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.model.policy import Policy

KNOCKING: Final = frozenset({Kind.LISTENER, Kind.PROTOCOL, Kind.JVM, Kind.QUORUM, Kind.CANARY})
"""Kinds that connect to the node itself: each such look takes a place in a frozen one's backlog."""

JITTER: Final = 0.1
"""An interval is made longer or shorter by up to this part of it."""

LEAST_PAUSE_S: Final = 0.1


def interval_s(policy: Policy, kind: Kind, *, suspected: bool, silent: bool) -> float:
    """Return the seconds from one look to the next.

    `suspected`: the node, or any node if the kind speaks of the cluster; `silent`: the node asked.
    """
    if silent and kind in KNOCKING:
        return policy.silent_interval_s
    return policy.suspect_interval_s if suspected else policy.interval_s


def timeout_s(policy: Policy, *, suspected: bool) -> float:
    """Return the seconds that a look may take."""
    return policy.suspect_timeout_s if suspected else policy.timeout_s


def jittered(interval: float, seed: int, key: str, number: int) -> float:
    """Return the `number`-th interval of the looks called `key`: always the same for the same.

    The first one is anywhere between nothing and the whole: all kinds begin together, and from
    then on they are spread, so that whatever happens is soon noticed by one of them.
    """
    chance = _fraction(f"{seed}/{key}/{number}")
    return interval * (chance if number == 0 else 1.0 + JITTER * (2.0 * chance - 1.0))


def _fraction(text: str) -> float:
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64
