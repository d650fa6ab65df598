"""Rebuilds partitions from the counts of a recording, where they are all or nothing."""

from __future__ import annotations

from typing import Any

BROKERS = ("1", "2", "3")
REPLICATED = 12
"""Partitions of the topic rf3: RF 3, min.insync.replicas 2."""

NOBODY = "-1"


def topics_of(meta: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the two topics as a broker's Metadata counted them; an ISR that is not known: null."""
    missing: dict[str, int] = meta["not_in_isr"]
    offline: int = meta["offline"]
    known = all(count in {REPLICATED, REPLICATED + _singles(meta)} for count in missing.values())
    isr = [broker for broker in BROKERS if broker not in missing]
    leaders = _leaders(meta)
    replicated = [
        {
            "id": number,
            "replicas": list(BROKERS),
            "isr": isr if known else None,
            "leader": leaders[number] if offline <= len(BROKERS) or known else None,
            "reassigning": False,
        }
        for number in range(REPLICATED)
    ]
    single = [_single(number, broker, meta) for number, broker in enumerate(BROKERS)]
    settings = {"unclean_election": False}
    return [
        {"name": "rf3", "min_isr": 2, "partitions": replicated, **settings},
        {"name": "rf1", "min_isr": 1, "partitions": single, **settings},
    ]


def _singles(meta: dict[str, Any]) -> int:
    """Return how many partitions of one replica a missing broker takes with it."""
    return max(1, int(meta["offline"]) // max(1, len(meta["not_in_isr"])))


def _single(number: int, broker: str, meta: dict[str, Any]) -> dict[str, Any]:
    """Return the partition that one broker holds alone."""
    offline = meta["offline"] > 0 and (
        broker in meta["not_in_isr"] or int(broker) not in meta["brokers"]
    )
    in_isr = meta["not_in_isr"].get(broker, 0) <= REPLICATED
    return {
        "id": number,
        "replicas": [broker],
        "isr": [broker] if in_isr else [],
        "leader": NOBODY if offline else broker,
        "reassigning": False,
    }


def _leaders(meta: dict[str, Any]) -> list[str]:
    """Deal the leaders of rf3 by their counts, each broker's own single partition taken off."""
    counts = {broker: int(meta["leaders"].get(broker, 0)) for broker in BROKERS}
    dealt = [broker for broker in BROKERS for _ in range(max(0, counts[broker] - 1))]
    return [*dealt, *[NOBODY] * REPLICATED][:REPLICATED]
