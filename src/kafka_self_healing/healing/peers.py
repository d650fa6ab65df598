"""What the others say of a node: witnesses' metadata and the quorum leader's account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from kafka_self_healing.healing.ensemble import NOBODY, Ensemble, member_counted
from kafka_self_healing.healing.replicas import Digest
from kafka_self_healing.healing.standing import Process, Standing
from kafka_self_healing.healing.view import View
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.evidence import CheckResult, Kind, Outcome, QuorumFact
from kafka_self_healing.model.node import Cluster, NodeId

RUNNING_STATE = 3
STALE_VOTER_FETCHES = 3
ENOUGH = 2
"""So many witnesses are enough, and so many are needed where so many others live."""


@dataclass(frozen=True, slots=True)
class Peers:
    """What all standings need of the others' word."""

    fact: QuorumFact | None
    reign_s: float
    digests: tuple[tuple[NodeId, Digest], ...]
    best: Digest
    answering: frozenset[NodeId]
    living: int
    fetch_timeout_s: float
    ensemble: Ensemble = NOBODY

    def news_for(self, before: Peers, cluster: Cluster) -> set[NodeId]:
        """Return the nodes of whom it may say something else than `before` did. By identity.

        A leader's reign only matters to voters that never fetched from it; a newer account of the
        leader, which comes at each look, takes its length into account.
        """
        news: set[NodeId] = set()
        if self.fact is not before.fact:
            news.update(cluster.voters)
        if self.ensemble is not before.ensemble and self.ensemble != before.ensemble:
            news.update(cluster.members)
        if self.best is not before.best or self._voices != before._voices:
            news.update(cluster.brokers)
            return news
        if self.digests != before.digests:
            # Nobody is asked about itself, so only those who spoke hear other voices now.
            news.update(who for who, _ in (*self.digests, *before.digests))
        if self.answering != before.answering:
            news.update(self.best.out_of_sync)
        return news & cluster.nodes.keys()

    @property
    def _voices(self) -> tuple[frozenset[int], int, int]:
        """What a broker that does not speak itself hears: which readings, of enough witnesses?"""
        readings = frozenset(id(read) for _, read in self.digests)
        return readings, min(ENOUGH, len(self.digests)), min(ENOUGH + 1, self.living)


def reign_s(view: View, fact: QuorumFact | None, now: Instant) -> float:
    reign = view.reign
    if reign is None or fact is None or (reign.leader, reign.epoch) != (fact.leader, fact.epoch):
        return 0.0
    return now.mono_s - reign.since


def witnesses(
    view: View, nodes: Mapping[NodeId, Standing], horizon: float
) -> tuple[tuple[CheckResult, ...], tuple[tuple[NodeId, Digest], ...]]:
    """Return the fresh metadata looks of living nodes, and what each of them reads.

    What one sees that the others do not count in may be a memory: it is no witness.
    """
    looks: list[CheckResult] = []
    digests: list[tuple[NodeId, Digest]] = []
    for who, witness in view.witnesses.items():
        look, standing = witness.track.result, nodes.get(who)
        if look.outcome is not Outcome.ANSWERED or look.ended < horizon:
            continue
        if standing is None or standing.answers is not True or not witness.digest.readable:
            continue
        if who in view.outcasts:
            continue
        looks.append(look)
        digests.append((who, witness.digest))
    return tuple(looks), tuple(digests)


def freshest(view: View, digests: tuple[tuple[NodeId, Digest], ...]) -> Digest:
    """Return the reading of the newest witness; the leader's own node goes first."""
    best: tuple[tuple[bool, float], Digest] | None = None
    for who, read in digests:
        leads = view.reign is not None and view.reign.leader == who
        rank = (leads, view.witnesses[who].track.result.ended)
        if best is None or rank > best[0]:
            best = (rank, read)
    return best[1] if best else Digest()


def _counted_in(target: Standing, peers: Peers) -> bool | None:
    """Whether the witnesses count a broker in; never asked of itself, None if they disagree."""
    voices = [target.id in read.counted for who, read in peers.digests if who != target.id]
    living = peers.living - (target.answers is True)
    if not voices or len(voices) < min(ENOUGH, living) or len(set(voices)) > 1:
        return None
    return voices[0]


def _in_sync(target: Standing, best: Digest, nodes: Mapping[NodeId, Standing]) -> bool | None:
    """Whether it is in the ISR wherever a leader lives that is not sick itself."""
    if not best.readable or best.blind or best.unreadable:
        return None
    return not any(
        (leader := nodes.get(id_)) is not None and leader.answers is True
        for id_ in best.out_of_sync.get(target.id, ())
        if id_ != target.id
    )


def among_peers(standing: Standing, peers: Peers, nodes: Mapping[NodeId, Standing]) -> Standing:
    """Add what the others say of a node; the same object again if nothing has changed."""
    broker, voter = standing.config.is_broker, standing.config.is_voter
    member = not broker and not voter
    counted = _counted_in(standing, peers) if broker else None
    if member:
        counted = member_counted(standing.id, peers.ensemble)
    fresh, stale = None, None
    if voter:
        fresh, stale = voter_state(standing, peers.fact, peers.reign_s, peers.fetch_timeout_s)
    in_sync = _in_sync(standing, peers.best, nodes) if broker else None
    ok = all_known(
        _runs(standing),
        standing.answers,
        counted if broker or member else True,
        fresh if voter else True,
        standing.serves if member else True,
    )
    well = all_known(ok, _broker_state_ok(standing), in_sync if broker else True)
    said = (counted, fresh, stale, in_sync, ok, well)
    if said == (standing.counted, standing.voter_fresh, standing.voter_stale,
                standing.in_sync, standing.ok, standing.well):  # fmt: skip
        return standing
    return replace(
        standing, counted=counted, voter_fresh=fresh, voter_stale=stale, in_sync=in_sync,
        ok=ok, well=well,
    )  # fmt: skip


def all_known(*parts: bool | None) -> bool | None:
    """Return the three-valued AND: False if any is False, else None if any is unknown."""
    if False in parts:
        return False
    return None if None in parts else True


def _runs(standing: Standing) -> bool | None:
    if Kind.SERVICE not in standing.config.kinds:
        return True
    if standing.process is Process.UNKNOWN:
        return None
    return standing.process is Process.RUNNING and not _is_held(standing)


def _is_held(standing: Standing) -> bool:
    """Whether its process is stopped by a signal or a debugger: its last answer is a memory."""
    return standing.service is not None and standing.service.process_state in {"T", "t"}


def _broker_state_ok(standing: Standing) -> bool | None:
    if Kind.JVM not in standing.config.kinds or not standing.config.is_broker:
        return True
    if standing.jvm is None or standing.jvm.broker_state is None:
        return None
    return standing.jvm.broker_state == RUNNING_STATE


def voter_state(
    standing: Standing, fact: QuorumFact | None, reign_s: float, fetch_timeout_s: float
) -> tuple[bool | None, bool | None]:
    """Return (known healthy, stale) of a voter by the leader's account; None = not known.

    `reign_s`: how long this leader is known to lead; a voter that has never fetched from it
    (a stamp below 0) is stale once that is longer than the limit. A missing stamp says nothing.
    """
    if fact is None:
        return None, None
    fetch_ms = fact.fetch_timeout_ms or int(fetch_timeout_s * 1000)
    if fact.leader == standing.id:
        return (True if standing.answers is True else None), False
    entry = next((voter for voter in fact.voters or () if voter.id == standing.id), None)
    if entry is None or fact.now_ms is None:
        return None, None
    caught = _age_ms(entry.last_caught_up_ms, fact.now_ms)
    fetched = _age_ms(entry.last_fetch_ms, fact.now_ms)
    follows = standing.jvm is None or standing.jvm.raft_state in {None, "leader", "follower"}
    fresh = None
    if caught is not None and standing.answers is not None:
        fresh = caught <= fetch_ms and follows and standing.answers
    limit_ms = STALE_VOTER_FETCHES * fetch_ms
    if fetched is not None:
        return fresh, fetched > limit_ms
    never = entry.last_fetch_ms is not None and entry.last_fetch_ms < 0
    return fresh, (True if never and reign_s * 1000 > limit_ms else None)


def _age_ms(stamp: int | None, now_ms: int) -> int | None:
    if stamp is None or stamp < 0 or stamp > now_ms:
        return None
    return now_ms - stamp
