"""What is kept from turn to turn changes no answer: against a mind that reads everything anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

import pytest
from hypothesis import given, settings, strategies as st
from tests.unit.healing.scenes import (
    AUTO,
    KILLED,
    RUNNING,
    ZERO,
    combined,
    said_by,
    split,
    zookeeper,
)

from kafka_self_healing.healing.healer import Input, Step, step
from kafka_self_healing.healing.memory import Memory
from kafka_self_healing.healing.view import View
from kafka_self_healing.model.control import OperatorCommand, Order
from kafka_self_healing.model.evidence import (
    CLUSTER_KINDS,
    HEALER,
    CheckResult,
    Fact,
    HostFact,
    JvmFact,
    Kind,
    Outcome,
    PartitionFact,
    PeersFact,
    ProtocolFact,
    QuorumFact,
    TopicFact,
    VoterFact,
)
from kafka_self_healing.model.node import Cluster, ClusterMode
from kafka_self_healing.model.policy import Policy
from kafka_self_healing.model.recovery import ActOutcome, RecoveryResult, RequestState, StepReport

T = TypeVar("T")


class Draw(Protocol):
    """Draws an example from a strategy."""

    def __call__(self, strategy: st.SearchStrategy[T], /) -> T:
        """Return an example."""


SHORT = replace(AUTO, flap_changes=2, flap_window_s=20.0, confirm_s=6.0, stable_floor_s=12.0)
"""Short windows, so that a short run reaches the ends of them."""

CLUSTERS = (combined(3), combined(5), split(4), zookeeper(3))
LOST = (Outcome.TIMED_OUT, Outcome.REFUSED, Outcome.TLS, Outcome.RESET, Outcome.UNREACHABLE)
SERVICES = (
    RUNNING, KILLED, replace(RUNNING, active="deactivating"), replace(RUNNING, active="activating"),
    replace(KILLED, stop_requested=True), replace(RUNNING, pid=8, invocation="b"),
    replace(RUNNING, pid=7, invocation="a", process_state="D"), replace(KILLED, invocation="a"),
)  # fmt: skip
JVMS = (JvmFact(broker_state=3), JvmFact(broker_state=2, remaining_logs=4), JvmFact(broker_state=6))


def peers_fact(draw: Draw, ids: Sequence[str]) -> PeersFact:
    """Metadata in which anybody may be missing, fenced or out of sync."""
    some = st.lists(st.sampled_from(ids), unique=True)
    listed, out = draw(some), set(draw(some)) if draw(st.booleans()) else set()
    isr = tuple(id_ for id_ in ids if id_ not in out)
    leader = draw(st.sampled_from((*isr, "-1")))
    part = PartitionFact(id=0, replicas=tuple(ids), isr=isr, leader=leader, reassigning=False)
    topic = TopicFact("t", 2, unclean_election=draw(st.booleans()), partitions=(part,))
    whole = draw(st.booleans())
    return PeersFact(tuple(ids if whole else listed), (), ids[0], (topic,))


def quorum_fact(draw: Draw, cluster: Cluster, who: str, at: float) -> QuorumFact:
    """The word of one who leads, follows, or knows nothing."""
    keepers = cluster.keepers
    if cluster.mode is ClusterMode.ZOOKEEPER:
        mode = draw(st.sampled_from(("leader", "follower", None)))
        leads = mode == "leader"
        return QuorumFact(who if leads else None, 1, mode=mode, synced=2 if leads else None)
    if draw(st.booleans()):
        return QuorumFact()
    now = int(at * 1000)
    voters = tuple(
        VoterFact(
            id_, now - draw(st.sampled_from((0, 9000))), now - draw(st.sampled_from((0, 9000)))
        )
        for id_ in keepers
    )
    leader = draw(st.sampled_from(keepers))
    return QuorumFact(leader, draw(st.integers(1, 2)), 2000, now, voters, ())


def look(draw: Draw, cluster: Cluster, at: float) -> CheckResult:
    """Any look: of any kind, at anybody, with any end; most are good."""
    node = draw(st.sampled_from(tuple(cluster.nodes)))
    kind = draw(st.sampled_from((*Kind,)))
    good = draw(st.integers(0, 3)) > 0
    outcome = Outcome.ANSWERED if good else draw(st.sampled_from(LOST))
    fact: Fact | None = None
    if kind in CLUSTER_KINDS:
        asked = cluster.brokers if kind is Kind.PEERS else cluster.keepers
        node = draw(st.sampled_from(asked))
        if good and kind is Kind.PEERS:
            fact = peers_fact(draw, cluster.brokers)
        elif good:
            fact = quorum_fact(draw, cluster, node, at)
        return CheckResult(node, cluster.name, kind, outcome, at - 0.1, at, fact)
    if good and kind is Kind.SERVICE:
        fact = draw(st.sampled_from(SERVICES))
    elif good and kind is Kind.JVM:
        fact = draw(st.sampled_from(JVMS))
    elif good and kind is Kind.HOST:
        fact = HostFact(reachable=draw(st.booleans()))
    elif good and kind is Kind.PROTOCOL and cluster.nodes[node].is_member:
        fact = ProtocolFact(mode="follower", serving=draw(st.booleans()))
    return CheckResult(HEALER, node, kind, outcome, at - 0.1, at, fact)


def well(cluster: Cluster, at: float) -> list[CheckResult]:
    """One round of looks at a cluster that is well."""
    found: list[CheckResult] = []
    now = int(at * 1000)
    voters = tuple(VoterFact(id_, now, now) for id_ in cluster.voters)
    part = PartitionFact(0, cluster.brokers, cluster.brokers, cluster.brokers[0], reassigning=False)
    topic = TopicFact("t", 2, unclean_election=False, partitions=(part,))
    for id_, node in cluster.nodes.items():
        facts: dict[Kind, Fact | None] = {
            Kind.SERVICE: replace(RUNNING, pid=7, invocation="a"), Kind.LISTENER: None,
            Kind.PROTOCOL: ProtocolFact(mode="follower", serving=True) if node.is_member else None,
            Kind.JVM: JvmFact(broker_state=3), Kind.HOST: HostFact(reachable=True),
        }  # fmt: skip
        for kind, fact in facts.items():
            if kind in node.kinds:
                found.append(CheckResult(HEALER, id_, kind, Outcome.ANSWERED, at - 0.1, at, fact))
        spoken: list[tuple[Kind, Fact]] = []
        if node.is_broker:
            spoken.append((Kind.PEERS, PeersFact(cluster.brokers, (), None, (topic,))))
        if id_ == (cluster.voters or ("",))[0]:
            spoken.append((Kind.QUORUM, QuorumFact(id_, 1, 2000, now, voters, ())))
        if node.is_member:
            leads = id_ == cluster.members[0]
            mode, synced = ("leader", len(cluster.members) - 1) if leads else ("follower", None)
            who = id_ if leads else None
            spoken.append((Kind.QUORUM, QuorumFact(who, 1, mode=mode, synced=synced)))
        for kind, fact in spoken:
            word = CheckResult(id_, cluster.name, kind, Outcome.ANSWERED, at - 0.1, at, fact)
            found.append(word)
    return found


def other(draw: Draw, cluster: Cluster, memory: Memory, utc_s: float) -> list[Input]:
    """What is heard beside looks: an operator, or the end of an act that is open."""
    found: list[Input] = []
    for request in memory.requests.values():
        if request.state is RequestState.EXECUTING and draw(st.booleans()):
            found += [StepReport(request.id, "start", ended=ended) for ended in (False, True)]
            outcome = draw(st.sampled_from((*ActOutcome,)))
            found.append(RecoveryResult(request.id, request.node, request.action, outcome))
    if draw(st.integers(0, 9)) == 0:
        order = draw(st.sampled_from((*Order,)))
        targets = ("", *cluster.nodes, *memory.incidents, *memory.requests)
        target = draw(st.sampled_from(targets))
        found.append(OperatorCommand(order, "ada", target=target, until=utc_s + 5))
    return found


def names(done: Step) -> list[tuple[str, str, bool]]:
    """What was found, without how old its facts are."""
    return [(id_, one.condition, one.confirmed) for id_, one in done.diagnoses]


@pytest.mark.parametrize("policy", [AUTO, SHORT], ids=["defaults", "short"])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_what_is_kept_changes_no_answer(policy: Policy, data: st.DataObject) -> None:
    """Same events, decisions, diagnoses, looks and wake-up as of a mind that keeps nothing.

    Where looks are only heard, that mind makes a whole turn, and comes to nothing by it.
    """
    draw = data.draw
    cluster = draw(st.sampled_from(CLUSTERS))
    view = View.warm(cluster) if draw(st.booleans()) else View.cold(cluster)
    memory, now = Memory(), ZERO
    bare = view
    before: Step | None = None
    for _ in range(draw(st.integers(1, 25))):
        now = now.after(draw(st.sampled_from((0.05, 0.5, 2.0, 5.0, 11.0, 40.0))))
        heard: list[Input] = []
        if draw(st.integers(0, 2)) == 0:
            heard += well(cluster, now.mono_s - 0.01)
        elif draw(st.booleans()):
            own = [one for one in well(cluster, now.mono_s - 0.01) if one.observer == HEALER]
            heard += own[draw(st.integers(0, 4)) :: 5]
        for _ in range(draw(st.integers(0, 6)) if draw(st.booleans()) else 0):
            heard.append(look(draw, cluster, now.mono_s - draw(st.sampled_from((0.0, 1.0)))))
        heard += other(draw, cluster, memory, now.utc_s)
        done = step(memory, view, heard, policy, now)
        whole = step(memory, replace(bare, kept=None, last=None), heard, policy, now)
        assert (done.events, done.decisions, done.looks, done.memory) == (
            whole.events, whole.decisions, whole.looks, whole.memory
        )  # fmt: skip
        if before is not None and done.view.last is before.view.last:
            assert (done.events, done.decisions, done.looks) == ((), (), ())
            assert now.mono_s < done.wake_s <= whole.wake_s
            assert names(done) == names(whole)
        else:
            assert said_by(whole) == said_by(done)
        memory, view, bare, before = done.memory, done.view, whole.view, done


def test_a_look_that_brings_nothing_new_is_only_heard() -> None:
    """It makes no turn: not at a node that is well. The first bad one does."""
    cluster, now = combined(3), ZERO
    memory, view = Memory(), View.warm(cluster)
    for _ in range(3):
        now = now.after(1.0)
        done = step(memory, view, well(cluster, now.mono_s), AUTO, now)
        memory, view = done.memory, done.view
    look = next(one for one in well(cluster, now.mono_s + 0.5) if one.kind is Kind.SERVICE)
    quiet = step(memory, view, [look], AUTO, now.after(0.5))
    assert quiet.view.last is done.view.last
    assert quiet.cluster.now == now.after(0.5)
    assert quiet.view.track(look.subject, Kind.SERVICE) != view.track(look.subject, Kind.SERVICE)
    ended = replace(look, fact=KILLED)
    assert step(memory, view, [ended], AUTO, now.after(0.5)).view.last is not done.view.last
    assert step(memory, view, [look], AUTO, now.after(6.0)).view.last is not done.view.last
