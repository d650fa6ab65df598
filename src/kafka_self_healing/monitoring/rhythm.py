"""When to look again: the interval of each kind of evidence, and its jitter, which is a hash."""

from __future__ import annotations

import hashlib
from typing import Final

from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.model.policy import Policy

KNOCKING: Final = frozenset({Kind.LISTENER, Kind.PROTOCOL, Kind.JVM, Kind.QUORUM, Kind.CANARY})
"""Kinds that connect to the node itself: each such look takes a place in a frozen one's backlog."""

JITTER: Final = 0.05
"""An interval is made longer or shorter by up to this part of it.

A verdict comes at most half a second after the interval then, at the default one, with room for
the look itself.
"""

LEAST_PAUSE_S: Final = 0.1
"""However long a look took, the next one begins so much later, unless somebody asks for it."""

CALM_AFTER_S: Final = 600.0
"""A node whose trouble has not changed for so long is looked at in the usual rhythm again.

What a closer look waits for comes within seconds: the end of a session (18 s at most), a start.
Ten minutes later a person is at work, or nobody can do anything; whatever changes is seen within
the usual interval, and makes the looks close again. Facts stay fresh: their bound is twice the
usual interval.
"""


def interval_s(
    policy: Policy, kind: Kind, *, suspected: bool, silent: bool, own_s: float | None = None
) -> float:
    """Return the seconds from one look to the next.

    `suspected`: the node, or any node if the kind speaks of the cluster; `silent`: the node asked;
    `own_s`: the plugin's own interval, which no suspicion shortens.
    """
    usual = policy.suspect_interval_s if suspected else policy.interval_s
    if own_s is not None:
        usual = max(own_s, LEAST_PAUSE_S)
    if silent and kind in KNOCKING:
        return policy.silent_interval_s if own_s is None else max(own_s, policy.silent_interval_s)
    return usual


def timeout_s(policy: Policy, *, suspected: bool, own_s: float | None = None) -> float:
    """Return the seconds that a look may take; `own_s`: the plugin's own limit."""
    if own_s is not None:
        return own_s
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
