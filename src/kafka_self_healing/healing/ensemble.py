"""A ZooKeeper ensemble by its members' own words: who leads, who follows, who is counted in.

`ruok` proves nothing; a mode does. The leader says only how many followers it counts as synced, so
who they are is found by elimination.
"""

from __future__ import annotations

from dataclasses import dataclass

from kafka_self_healing.healing.standing import Quorum
from kafka_self_healing.healing.view import View
from kafka_self_healing.model.evidence import CheckResult, Outcome, ProtocolFact, QuorumFact
from kafka_self_healing.model.health import Track
from kafka_self_healing.model.node import ClusterMode, NodeId

LEADER, FOLLOWER, STANDALONE = "leader", "follower", "standalone"
MODES = frozenset({LEADER, FOLLOWER, STANDALONE, "observer"})
"""What a member calls itself while it serves."""

SAME_ROUND_S = 2.0
"""Words begun within so many seconds of each other are of one round of looks."""


@dataclass(frozen=True, slots=True)
class Ensemble:
    """What the fresh words of the members come to.

    `followers`: who says that it follows, in the round of the leader's word. `synced`: how many
    the leader counts; `epoch`: of its reign. `serving`: everybody that says that it serves.
    """

    size: int = 0
    leader: NodeId | None = None
    synced: int | None = None
    followers: frozenset[NodeId] = frozenset()
    serving: frozenset[NodeId] = frozenset()
    epoch: int | None = None

    @property
    def majority(self) -> int:
        """How many members make a quorum; observers do not count."""
        return self.size // 2 + 1

    @property
    def led(self) -> bool:
        """Whether it serves: a leader whose followers make a majority, or a majority of them."""
        if self.leader is not None and self.size == 1:
            return True
        counted = max(len(self.followers), self.synced or 0) + 1
        return (self.leader is not None and counted >= self.majority) or (
            len(self.followers) >= self.majority
        )


NOBODY = Ensemble()


def ensemble_of(view: View, horizon: float) -> tuple[Ensemble, CheckResult | None]:
    """Return what the members say, by looks not older than `horizon`, and the leader's own look."""
    members = view.cluster.members
    if not members:
        return NOBODY, None
    words: dict[NodeId, tuple[str, CheckResult, QuorumFact]] = {}
    for id_ in members:
        track = view.quorum.get(id_)
        look = track.result if track is not None else None
        if look is None or look.outcome is not Outcome.ANSWERED or look.ended < horizon:
            continue
        fact = look.fact
        if isinstance(fact, QuorumFact) and fact.mode in MODES:
            words[id_] = (fact.mode, look, fact)
    # Of two that call themselves leader, the later word counts: one of them is a memory.
    leads = [
        (look.ended, id_)
        for id_, (mode, look, _) in words.items()
        if mode == LEADER or (mode == STANDALONE and len(members) == 1)
    ]
    leader = max(leads)[1] if leads else None
    since = words[leader][1].started - SAME_ROUND_S if leader is not None else horizon
    followers = frozenset(
        id_
        for id_, (mode, look, _) in words.items()
        if mode == FOLLOWER and look.started >= since and id_ != leader
    )
    everybody = frozenset(words)
    if leader is None:
        return Ensemble(len(members), None, None, followers, everybody), None
    _, look, fact = words[leader]
    return Ensemble(len(members), leader, fact.synced, followers, everybody, fact.epoch), look


def member_counted(id_: NodeId, ensemble: Ensemble) -> bool | None:
    """Whether the other members count one in; None: not known.

    A leader is counted in by its followers, and another member by the leader: all of them are
    synced, or those who say that they follow already make up its number.
    """
    if ensemble.leader is None:
        return None
    if ensemble.leader == id_:
        enough = ensemble.size == 1 or len(ensemble.followers) + 1 >= ensemble.majority
        return True if enough else None
    if ensemble.synced is None or not ensemble.led:
        return None
    follows, others = len(ensemble.followers), ensemble.size - 1
    if id_ in ensemble.followers:
        return True if follows <= ensemble.synced else None
    if ensemble.synced >= others:
        return True
    return False if follows >= ensemble.synced else None


def own_word(protocol: Track | None) -> tuple[bool | None, bool | None] | None:
    """Return (answers, serves) by a member's own answer; None: it did not answer."""
    if protocol is None or protocol.result.outcome is not Outcome.ANSWERED:
        return None
    fact = protocol.result.fact
    if not isinstance(fact, ProtocolFact):
        return None, None
    if fact.serving is False:
        return True, False
    if fact.serving is True or fact.mode in MODES:
        return True, True
    return None, None


def quorum_words(mode: ClusterMode) -> str:
    """Say what keeps a cluster's metadata."""
    return "the controller quorum" if mode is ClusterMode.KRAFT else "the ensemble's quorum"


def quorum_state(ensemble: Ensemble, down: int, proven: int) -> Quorum:
    """Return what is known of it. `down`: members that do not serve; `proven`: surely so."""
    if ensemble.led:
        return Quorum.LED
    if ensemble.size and proven and ensemble.size - down < ensemble.majority:
        return Quorum.LOST
    return Quorum.UNKNOWN
