"""Reading a witness's metadata once: who is listed, which partitions are not whole, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kafka_self_healing.model.evidence import PartitionFact, PeersFact, TopicFact

NOBODY = "-1"


@dataclass(frozen=True, slots=True)
class Digest:
    """What the rules need of one metadata answer.

    `counted`: ids listed and not fenced. `out_of_sync`: for each replica the leaders of the
    partitions in whose ISR it is missing; `missing`: how many partitions those are. `not_whole`:
    the ISR of partitions that lack replicas, or who else may lead them without loss (ELR).
    `unclean`, `reassigning`: so, or not readable; `moving`: surely so. `blind`: it showed no
    topics and no error, so we may not read them. `controller`: the active one, which only
    ZooKeeper mode's metadata tells.
    """

    readable: bool = False
    counted: frozenset[str] = frozenset()
    listed: frozenset[str] = frozenset()
    seen: frozenset[str] = frozenset()
    out_of_sync: Mapping[str, frozenset[str]] = field(default_factory=dict)
    missing: Mapping[str, int] = field(default_factory=dict)
    not_whole: Mapping[tuple[str, int], tuple[str, ...]] = field(default_factory=dict)
    unclean: frozenset[str] = frozenset()
    offline: tuple[tuple[str, int], ...] = ()
    unreadable: tuple[str, ...] = ()
    reassigning: tuple[str, ...] = ()
    moving: tuple[str, ...] = ()
    topics: tuple[TopicFact, ...] | None = None
    blind: bool = False
    controller: str | None = None


def digest(fact: PeersFact | None) -> Digest:
    """Read a metadata answer; None or an answer without a list of brokers is unreadable."""
    if fact is None or fact.listed is None:
        return Digest()
    out_of_sync: dict[str, set[str]] = {}
    missed: dict[str, int] = {}
    not_whole: dict[tuple[str, int], tuple[str, ...]] = {}
    offline: list[tuple[str, int]] = []
    unreadable: list[str] = []
    reassigning: list[str] = []
    moving: list[str] = []
    seen = set(fact.listed) | set(fact.fenced or ())
    unreadable += [topic.name for topic in fact.topics or () if topic.partitions is None]
    for topic, part in _partitions(fact):
        name = f"{topic.name}-{part.id}"
        if part.replicas is None or part.isr is None or part.leader is None:
            unreadable.append(name)
            continue
        seen.update(part.replicas)
        if part.reassigning is not False:
            reassigning.append(name)
            if part.reassigning:
                moving.append(name)
        if part.leader == NOBODY:
            offline.append((topic.name, part.id))
        missing = [replica for replica in part.replicas if replica not in part.isr]
        if missing or part.leader == NOBODY:
            not_whole[topic.name, part.id] = part.isr or part.elr or ()
        for replica in missing:
            missed[replica] = missed.get(replica, 0) + 1
        if part.leader != NOBODY:
            for replica in missing:
                out_of_sync.setdefault(replica, set()).add(part.leader)
    return Digest(
        readable=True,
        counted=frozenset(fact.listed) - frozenset(fact.fenced or ()),
        listed=frozenset(fact.listed),
        seen=frozenset(seen),
        out_of_sync={broker: frozenset(leaders) for broker, leaders in out_of_sync.items()},
        missing=missed,
        not_whole=not_whole,
        unclean=frozenset(t.name for t in fact.topics or () if t.unclean_election is not False),
        offline=tuple(offline),
        unreadable=tuple(unreadable),
        reassigning=tuple(reassigning),
        moving=tuple(moving),
        topics=fact.topics,
        blind=fact.topics is not None and not fact.topics,
        controller=None if fact.controller == NOBODY else fact.controller,
    )


def _partitions(fact: PeersFact) -> list[tuple[TopicFact, PartitionFact]]:
    return [(topic, part) for topic in fact.topics or () for part in topic.partitions or ()]


@dataclass(frozen=True, slots=True)
class Loss:
    """What stopping one broker would do to one partition, in words."""

    partition: str
    topic: str
    text: str
    exemptable: bool


def losses(witness: Digest, target: str, doubtful: frozenset[str]) -> list[Loss]:
    """Return the partitions that would suffer if `target` stopped now.

    `doubtful` are the brokers known dead or unknown: they do not count as in sync.
    """
    if not witness.readable:
        return [Loss("", "", "the witnesses' metadata cannot be read", exemptable=False)]
    if witness.topics is None or witness.blind:
        text = "the witnesses show no topics: the healer lacks DESCRIBE on topics, or is blind"
        return [Loss("", "", text, exemptable=False)]
    found: list[Loss] = []
    for topic in witness.topics:
        if topic.partitions is None:
            text = f"the partitions of {topic.name} cannot be read"
            found.append(Loss(topic.name, topic.name, text, exemptable=False))
            continue
        for part in topic.partitions:
            loss = _loss(topic, part, target, doubtful)
            if loss is not None:
                found.append(loss)
    return found


def _loss(
    topic: TopicFact, part: PartitionFact, target: str, doubtful: frozenset[str]
) -> Loss | None:
    name = f"{topic.name}-{part.id}"
    if part.replicas is None or part.isr is None or part.leader is None:
        return Loss(name, topic.name, f"{name} cannot be read", exemptable=False)
    if target not in part.replicas and target not in part.isr and target != part.leader:
        return None
    if topic.min_isr is None:
        return Loss(name, topic.name, f"{name}: min.insync.replicas is unknown", exemptable=False)
    if part.reassigning or part.reassigning is None:
        return Loss(name, topic.name, f"{name}: its replicas are being moved", exemptable=False)
    if not set(part.isr) <= set(part.replicas):
        return Loss(name, topic.name, f"{name}: its ISR names a non-replica", exemptable=False)
    now = set(part.isr) & set(part.replicas) - doubtful
    need = max(1, topic.min_isr)
    left = now - {target}
    if len(left) >= need:
        return None
    if target not in part.isr and target != part.leader and len(now) >= need:
        return None
    exemptable = len(part.replicas) == 1 or len(part.replicas) <= topic.min_isr
    text = (
        f"{name}: {len(left)} in sync without {target}, {need} needed"
        f" (ISR {', '.join(part.isr) or 'empty'})"
    )
    return Loss(name, topic.name, text, exemptable=exemptable)
