"""Topics that stand in the way of a restart, or would not survive one: by a witness's metadata."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kafka_self_healing.doctor.finding import Finding, note
from kafka_self_healing.model.evidence import TopicFact

SHOWN = 10


def findings_of(
    cluster: str, topics: Sequence[TopicFact], exempt: frozenset[str]
) -> Iterator[Finding]:
    """Yield the topics whose brokers can never be restarted without a person, and the others.

    `exempt`: those that the configuration names already.
    """
    alone = _names(topics, lambda topic: _replicas(topic) == 1)
    tight = _names(topics, lambda topic: 1 < _replicas(topic) <= (topic.min_isr or 0))
    for names, what in (
        (alone, "have one replica: a restart of its broker takes them away"),
        (tight, "have no more replicas than min.insync.replicas: any restart stops their writes"),
    ):
        left = [name for name in names if name not in exempt]
        if left:
            yield note(
                cluster,
                f"{len(left)} topics {what}, so RESTART is refused: {_shown(left)}",
                f"more replicas, or replicas.exempt_topics: [{', '.join(left)}]",
            )
    unclean = _names(topics, lambda topic: topic.unclean_election is True)
    if unclean:
        yield note(
            cluster,
            f"{len(unclean)} topics permit an unclean leader election: {_shown(unclean)}",
            "unclean.leader.election.enable=false",
        )
    moving = _names(topics, lambda topic: any(p.reassigning for p in topic.partitions or ()))
    if moving:
        yield note(cluster, f"replicas of {_shown(moving)} are being moved: no RESTART meanwhile")


def _replicas(topic: TopicFact) -> int:
    """Return the fewest replicas of any partition; 0: not known."""
    known = [len(part.replicas) for part in topic.partitions or () if part.replicas is not None]
    return min(known, default=0)


def _names(topics: Sequence[TopicFact], wanted: object) -> list[str]:
    assert callable(wanted)
    return sorted(topic.name for topic in topics if wanted(topic))


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
