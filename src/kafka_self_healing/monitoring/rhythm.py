"""When to look again: the interval of each kind of evidence, its beat, and chance, a hash."""

from __future__ import annotations

import hashlib
import math
from typing import Final

from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.model.policy import Policy

KNOCKING: Final = frozenset({Kind.LISTENER, Kind.PROTOCOL, Kind.JVM, Kind.QUORUM, Kind.CANARY})
"""Kinds that connect to the node itself: each such look takes a place in a frozen one's backlog."""

JITTER: Final = 0.05
"""A look begins later than its beat by up to this part of the interval.

A verdict comes at most half a second after the interval then, at the default one, with room for
the look itself.
"""

SAME_BEAT: Final = 0.02
"""A look that begins shortly before a beat, in parts of the interval, is the one of that beat."""

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


def next_beat(began: float, interval: float, phase: float, chance: float) -> float:
    """Return when the next look is due after one that began at `began`.

    The beats are `interval` apart, and `phase` (a part of it) says where they lie: a look that
    somebody asked for between two of them does not move them. `chance` is between 0 and 1.
    """
    first = interval * phase
    beat = math.floor((began - first) / interval + SAME_BEAT) + 1
    return first + interval * (beat + JITTER * chance)


def chance_of(*parts: object) -> float:
    """Return a number from 0 to 1 (excluded) that is always the same for the same parts."""
    text = "/".join(map(str, parts))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64
