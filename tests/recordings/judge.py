"""Judges a replayed recording by the `expect` of its header."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.recordings.adapter import Row, node_of

Act = tuple[str, str]
"""An action and the node that it was for."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was not reached, what was not done, and what was done and must not be."""

    unreached: tuple[tuple[str, ...], ...]
    missing: tuple[Any, ...]
    forbidden: tuple[Act, ...]


def judge(header: Row, said: list[Row]) -> Verdict:
    """Compare what the mind said of a recording with what was right.

    Of a required act with a list of hosts one is needed and each may be acted on once.
    """
    until = header["judge_until"]
    judged = [line for line in said if until is None or line.get("at", 0.0) <= until]
    seen = {line["diagnosis"]["condition"] for line in judged if "diagnosis" in line}
    decided = [line["decision"] for line in judged if "decision" in line]
    acts = [(one["action"], str(one["node"])) for one in decided if one["verdict"] == "act"]
    expect = header["expect"]
    missing = []
    left = list(acts)
    for required in expect["required"]:
        hits = [act for act in left if act in _choices(header, required)]
        if not hits:
            missing.append(required)
        for act in dict.fromkeys(hits):
            left.remove(act)
    for allowed in expect["allowed"]:
        for act in _choices(header, allowed):
            if act in left:
                left.remove(act)
    unreached = [tuple(names) for names in expect["conditions"] if not seen & set(names)]
    return Verdict(tuple(unreached), tuple(missing), tuple(left))


def _choices(header: Row, expected: list[Any]) -> list[Act]:
    action, unit, hosts = expected
    hosts = hosts if isinstance(hosts, list) else [hosts]
    return [(action, node_of(header["mode"], str(host), unit)) for host in hosts]
