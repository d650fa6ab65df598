"""Each guard alone: it passes where it may, refuses with a reason, and says what lifts that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from tests.unit.healing.scenes import AUTO, Scene, combined, split, zookeeper

from kafka_self_healing.healing.assessment import Quorum
from kafka_self_healing.healing.guards import MATRIX, asked, judge
from kafka_self_healing.healing.guards.history import attempts_left
from kafka_self_healing.healing.guards.subject import Question
from kafka_self_healing.healing.healer import LeaseChanged
from kafka_self_healing.healing.view import Reign
from kafka_self_healing.model.control import OperatorCommand, Order
from kafka_self_healing.model.decision import Verdict
from kafka_self_healing.model.evidence import (
    HEALER,
    CertificateFact,
    CheckResult,
    HostFact,
    Kind,
    ListenerCertificate,
    Outcome,
    PeersFact,
    QuorumFact,
)
from kafka_self_healing.model.incident import Condition
from kafka_self_healing.model.node import Cluster
from kafka_self_healing.model.policy import Budget, Mode
from kafka_self_healing.model.recovery import ActClass, RecoveryRequest, RequestState, act_class

START, RESTART = "service:start", "service:restart"


def question(scene: Scene, node: str = "2", action: str = START, **changes: object) -> Question:
    """Ask about an act on a node as the scene stands."""
    assert scene.step is not None
    found = scene.found(node)
    request = RecoveryRequest(
        "asked", "incident-0", node, action,
        found.condition if found else Condition.UNDIAGNOSED, 0, 1,
        RequestState.PROPOSED, scene.now,
    )  # fmt: skip
    ask = Question(request, scene.step.cluster, scene.memory, scene.policy, found)
    return replace(ask, **changes)  # type: ignore[arg-type]


def verdict(ask: Question, guard: str) -> Verdict | None:
    """What one guard says; None: it passes without a word."""
    said = judge(ask, asked(ask.request.act_class, [guard]))
    return said[0] if said else None


def assert_refused(ask: Question, guard: str, reason: str) -> None:
    """The guard refuses, for this reason."""
    said = verdict(ask, guard)
    assert said is not None
    assert (said.allowed, said.reason) == (False, reason)


def quiet() -> Scene:
    """All is well."""
    scene = Scene()
    scene.run(70)
    return scene


def crashed(cluster_of: Callable[[], Scene] = Scene, **service: object) -> Scene:
    """Node 2 has crashed and its START has been decided, but nothing acts."""
    scene = cluster_of()
    scene.policy = replace(scene.policy, mode=Mode.AUTO)
    scene.hands = "idle"
    scene.run(5)
    scene.crash("2", **service)
    scene.run(2)
    return scene


def hung(scene: Scene | None = None) -> Scene:
    """Node 2 hangs, is dropped, and nothing has acted yet."""
    scene = scene or Scene()
    scene.policy = replace(scene.policy, mode=Mode.OBSERVE)
    scene.run(70)
    scene.hang("2")
    scene.run(16)
    scene.policy = replace(scene.policy, mode=Mode.AUTO)
    return scene


@dataclass(frozen=True)
class Case:
    """A guard, an act, how to make it refuse, and what it then says."""

    guard: str
    action: str
    make: Callable[[], Question]
    reason: str
    text: str
    lifted_by: str


def _paused() -> Question:
    scene = crashed()
    scene.say(Order.PAUSE)
    scene.run(1)
    return question(scene)


def _maintenance() -> Question:
    scene = crashed()
    scene.say(Order.MAINTENANCE, "2")
    scene.run(1)
    return question(scene)


def _no_lease() -> Question:
    scene = crashed()
    scene.inbox.append(LeaseChanged(held=False))
    scene.run(1)
    return question(scene)


def _unknown_node() -> Question:
    ask = question(crashed())
    return replace(ask, memory=replace(ask.memory, seen=frozenset({"1", "3"})))


def _observe() -> Question:
    ask = question(crashed())
    return replace(ask, policy=replace(AUTO, mode=Mode.OBSERVE))


def _approve() -> Question:
    ask = question(crashed())
    return replace(ask, policy=replace(AUTO, mode=Mode.APPROVE))


def _cold() -> Question:
    from kafka_self_healing.healing.view import View

    cluster = combined()
    scene = Scene(cluster, view=View.cold(cluster))
    scene.run(5)
    scene.crash("2")
    scene.run(4)
    return question(scene)


def _clock() -> Question:
    scene = crashed()
    scene.now = scene.now._replace(utc_s=scene.now.utc_s + 3600)
    scene.run(1)
    return question(scene)


def _stale() -> Question:
    scene = crashed()
    scene.lens = lambda look: None if look.kind is Kind.SERVICE else look
    scene.run(12)
    return question(scene)


def _stale_restart() -> Question:
    scene = hung()
    scene.lens = lambda look: None if look.kind is Kind.PEERS else look
    scene.run(12)
    return question(scene, action=RESTART)


def _blind() -> Question:
    scene = hung(Scene(combined(5)))
    scene.cut("1", "3", "4")
    scene.run(5)
    return question(scene, action=RESTART)


def _storm() -> Question:
    scene = Scene(combined(5), policy=replace(AUTO, mode=Mode.OBSERVE))
    scene.run(70)
    scene.hang("2", "3")
    scene.run(16)
    return question(scene, action=RESTART)


def _one_family() -> Question:
    scene = hung()
    ask = question(scene, action=RESTART)
    assert ask.diagnosis is not None
    families = frozenset(list(ask.diagnosis.families)[:1])
    return replace(ask, diagnosis=replace(ask.diagnosis, families=families))


def _open_act() -> Question:
    scene = crashed()
    scene.until(lambda: scene.acts)
    return question(scene)


def _slot() -> Question:
    scene = crashed(lambda: Scene(split()))
    scene.until(lambda: scene.acts)
    scene.crash("5")
    scene.run(3)
    return question(scene, "5")


def _spacing() -> Question:
    scene = Scene()
    scene.run(5)
    scene.hang("2")
    scene.until(lambda: scene.closed)
    scene.policy = replace(AUTO, mode=Mode.OBSERVE)
    scene.hang("3")
    scene.run(15)
    return question(scene, "3", RESTART)


def _latched() -> Question:
    ask = question(hung(), action=RESTART)
    return replace(ask, memory=replace(ask.memory, latch="act-9"))


def _job() -> Question:
    return question(crashed(job="start"))


def _debugger() -> Question:
    scene = hung()
    scene.edit("2", tracer_pid=77)
    scene.run(1)
    return question(scene, action=RESTART)


def _moving(look: CheckResult) -> CheckResult:
    fact = look.fact
    if not isinstance(fact, PeersFact) or fact.topics is None:
        return look
    topic = fact.topics[0]
    parts = tuple(replace(p, reassigning=True) for p in topic.partitions or ())
    return replace(look, fact=replace(fact, topics=(replace(topic, partitions=parts),)))


def _reassigning() -> Question:
    scene = quiet()
    scene.lens = _moving
    scene.run(2)
    return question(scene, action=RESTART)


def _not_mounted() -> Question:
    scene = Scene(hands="idle")
    scene.run(5)

    def lens(look: CheckResult) -> CheckResult:
        if not isinstance(look.fact, HostFact) or look.fact.data_dirs is None:
            return look
        where = replace(look.fact.data_dirs[0], same_device=False)
        return replace(look, fact=replace(look.fact, data_dirs=(where,)))

    scene.lens = lens
    scene.crash("2")
    scene.run(3)
    return question(scene)


def _voters_first() -> Question:
    scene = Scene(split(), policy=replace(AUTO, mode=Mode.OBSERVE))
    scene.run(5)
    scene.crash("2", "5")
    scene.run(4)
    ask = question(scene, "5")
    return replace(ask, view=replace(ask.view, ready=frozenset({"2", "5"})))


def _quorum_lost() -> Question:
    scene = Scene(split(), hands="idle")
    scene.run(5)
    scene.crash("1", "2", "5")
    scene.run(6)
    return question(scene, "5")


def _quorum_unknown() -> Question:
    scene = Scene(split())
    scene.run(5)
    scene.lens = lambda look: None if look.kind is Kind.QUORUM else look
    scene.run(15)
    return question(scene, "5", RESTART)


def _quorum_at_risk() -> Question:
    scene = Scene()
    scene.run(70)
    scene.isolate("3")
    scene.run(10)
    return question(scene, "2", RESTART)


def _voters_differ() -> Question:
    scene = quiet()

    def lens(look: CheckResult) -> CheckResult:
        fact = look.fact
        if not isinstance(fact, QuorumFact) or fact.voters is None:
            return look
        return replace(look, fact=replace(fact, voters=fact.voters[:2]))

    scene.lens = lens
    scene.run(1)
    return question(scene, "2", RESTART)


def _last_copy() -> Question:
    scene = Scene(min_isr=3)
    scene.run(70)
    return question(scene, "2", RESTART)


def _others_sick() -> Question:
    scene = Scene(combined(5))
    scene.run(70)
    scene.operator_stop("4")
    scene.run(12)
    return question(scene, "2", RESTART)


def _small_group() -> Question:
    scene = Scene(split(2))
    scene.run(70)
    return question(scene, "4", RESTART)


def _controller_last() -> Question:
    ask = question(quiet(), "1", RESTART)
    return replace(ask, view=replace(ask.view, ready=frozenset({"1", "3"})))


def _anti_flap() -> Question:
    scene = Scene()
    scene.run(5)
    scene.hang("2")
    scene.until(lambda: scene.closed)
    scene.hang("2")
    scene.run(15)
    return question(scene, action=RESTART)


def _backoff() -> Question:
    scene = Scene()
    scene.run(5)
    scene.crash("2")
    scene.until(lambda: scene.acts)
    scene.run(3)
    return question(scene)


def _budget() -> Question:
    scene = Scene()
    scene.run(5)
    scene.crash("2")
    scene.until(lambda: scene.closed)
    ask = question(scene)
    return replace(ask, policy=replace(AUTO, node_budget=Budget(1, 3600.0)))


def _no_attempts() -> Question:
    ask = question(crashed())
    return replace(ask, request=replace(ask.request, rung=1))


def _no_longer() -> Question:
    return question(quiet())


def _look_again() -> Question:
    scene = crashed()
    scene.run(1)
    return replace(question(scene), proposed_at=scene.now.mono_s)


def _registered() -> Question:
    return question(crashed(lambda: Scene(zookeeper())))


def _nobody_to_ask() -> Question:
    scene = crashed(lambda: Scene(zookeeper()))
    scene.crash("1", "3")
    scene.run(2)
    return question(scene)


def _listed_for_ever() -> Question:
    ask = _registered()
    ends = {"2": replace(ask.view.view.ends["2"], since=ask.now - 60.0)}
    reign = Reign("201", 5, ask.now - 60.0)
    view = replace(ask.view.view, ends=ends, reign=reign)
    return replace(ask, view=replace(ask.view, view=view))


def _ensemble_lost(action: str, *, seconds: float = 8) -> Question:
    scene = Scene(zookeeper())
    scene.hands = "idle"
    scene.run(70)
    scene.isolate("201", "202", "203")
    scene.run(seconds)
    return question(scene, "2", action)


def _members_at_risk() -> Question:
    scene = Scene(zookeeper())
    scene.hands = "idle"
    scene.run(70)
    scene.crash("203")
    scene.run(15)
    return question(scene, "202", RESTART)


def _ensemble_differs() -> Question:
    ask = question(_zookeeper(), "202", RESTART)
    return replace(ask, view=replace(ask.view, ensemble=replace(ask.view.ensemble, synced=3)))


def _zookeeper_controller_last() -> Question:
    ask = question(_zookeeper(), "1", RESTART)
    return replace(ask, view=replace(ask.view, ready=frozenset({"1", "3"})))


def _zookeeper() -> Scene:
    scene = Scene(zookeeper())
    scene.run(70)
    return scene


def _members_first() -> Question:
    ask = question(crashed(lambda: Scene(zookeeper())))
    return replace(ask, view=replace(ask.view, ready=frozenset({"2", "203"})))


def _expired() -> Question:
    scene = quiet()
    at = scene.now.mono_s
    fact = CertificateFact((ListenerCertificate("CLIENT", "a:1", days_left=-2.0, problem="old"),))
    scene.turn([CheckResult(HEALER, "2", Kind.CERTIFICATE, Outcome.ANSWERED, at - 0.1, at, fact)])
    return question(scene, action=RESTART)


CASES = [
    Case("not_paused", START, _paused, "paused", "paused by ada: test", "resume"),
    Case("not_in_maintenance", START, _maintenance, "in_maintenance", "2 is in maintenance", "end"),
    Case("has_lease", START, _no_lease, "no_lease", "another daemon", "lease"),
    Case("known_node", START, _unknown_node, "not_commissioned", "never seen alive", "alive"),
    Case("mode_permits", START, _observe, "observe", "would act: service:start", "mode: auto"),
    Case("mode_permits", START, _approve, "needs_approval", "a person's approval", "approve"),
    Case("warmed_up", START, _cold, "warming_up", "3 of 3 rounds, 8 of 15 s", "rounds"),
    Case("clock_is_sane", START, _clock, "clock_stepped", "set by 3600 s", "rounds"),
    Case("view_is_fresh", START, _stale, "stale", "SERVICE", "fresh look"),
    Case("view_is_fresh", RESTART, _stale_restart, "stale", "PEERS", "fresh look"),
    Case("viewpoint_is_sound", RESTART, _blind, "viewpoint_lost", "3 of 5 nodes", "seeing"),
    Case("no_storm", RESTART, _storm, "storm", "2 of 5 nodes", "approval"),
    Case("two_families", RESTART, _one_family, "one_family", "two are needed", "second family"),
    Case("two_families", START, _no_longer, "nothing_wrong", "nothing asks", "condition"),
    Case("no_unresolved_act", START, _open_act, "unresolved_act", "executing", "end"),
    Case("one_at_a_time", START, _slot, "slot_taken", "is executing", "end"),
    Case(
        "restart_spacing", RESTART, _spacing, "restart_spacing", "back from a restart", "approval"
    ),
    Case("no_foreign_work", START, _job, "unit_job", "a job is queued", "end of the job"),
    Case("no_foreign_work", RESTART, _debugger, "debugger", "debugger", "detaching"),
    Case("no_foreign_work", RESTART, _reassigning, "reassignment", "being moved", "approval"),
    Case("data_dirs_present", START, _not_mounted, "storage_missing", "/data is not", "approval"),
    Case(
        "registration_released", START, _registered, "still_registered", "1, 3 still list", "list"
    ),
    Case("registration_released", START, _nobody_to_ask, "release_not_seen", "too few", "time"),
    Case(
        "registration_released", START, _listed_for_ever, "duplicate_id", "another process", "list"
    ),
    Case("start_order", START, _members_first, "voters_first", "members go first: 203", "start"),
    Case("start_order", START, _voters_first, "voters_first", "voters go first: 2", "start"),
    Case("quorum_is_present", START, _quorum_lost, "quorum_lost", "quorum is lost", "leader"),
    Case(
        "quorum_is_present", RESTART, _quorum_unknown, "quorum_unknown", "no controller", "leader"
    ),
    Case(
        "quorum_is_present", START, lambda: _ensemble_lost(START), "quorum_lost",
        "the ensemble's quorum is lost", "ensemble that serves",
    ),
    Case(
        "quorum_is_present", RESTART, lambda: _ensemble_lost(RESTART, seconds=2), "quorum_unknown",
        "no member says", "ensemble that serves",
    ),
    Case(
        "quorum_is_safe", RESTART, _members_at_risk, "quorum_at_risk", "1 of 3 members", "members"
    ),
    Case("quorum_is_safe", RESTART, _ensemble_differs, "voters_differ", "3 followers", "matches"),
    Case("quorum_is_safe", RESTART, _quorum_at_risk, "quorum_at_risk", "1 of 3", "voters"),
    Case("quorum_is_safe", RESTART, _voters_differ, "voters_differ", "not the configured", "match"),
    Case("replicas_are_safe", RESTART, _last_copy, "replicas_at_risk", "orders-0: 2", "approval"),
    Case(
        "certificates_are_valid", RESTART, _expired, "certificate_expired",
        "listener CLIENT expired 2.0 days ago", "approval",
    ),
    Case("others_are_well", RESTART, _others_sick, "others_sick", "not known healthy: 4", "health"),
    Case("others_are_well", RESTART, _small_group, "small_group", "2 members", "approval"),
    Case("not_latched", RESTART, _latched, "latched", "act-9 did not come back", "healthy"),
    Case("controller_last", RESTART, _controller_last, "controller_last", "first 3", "healing"),
    Case(
        "controller_last", RESTART, _zookeeper_controller_last, "controller_last", "first 3",
        "healing",
    ),
    Case("anti_flap", RESTART, _anti_flap, "anti_flap", "restarted for PROCESS_HUNG", "time"),
    Case("backoff_over", START, _backoff, "backoff", "left alone for 19 s", "time"),
    Case("within_budget", START, _budget, "node_budget", "1 of 1 acts", "time"),
    Case("attempts_left", START, _no_attempts, "out_of_rungs", "all attempts", "ack"),
    Case("still_true", START, _no_longer, "not_confirmed", "no longer so", "confirmation"),
    Case("still_true", START, _look_again, "look_again", "SERVICE", "fresh look"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.guard}-{case.reason}")
def test_a_guard_refuses_with_a_reason_and_what_lifts_it(case: Case) -> None:
    """The verdict names its guard, its reason, numbers or names, and a way out."""
    ask = case.make()
    said = verdict(replace(ask, request=replace(ask.request, action=case.action)), case.guard)
    assert said is not None
    assert (said.guard, said.allowed, said.reason) == (case.guard, False, case.reason)
    assert case.text in said.text
    assert case.lifted_by in said.lifted_by


def test_every_guard_has_a_case_that_refuses() -> None:
    """No row of the matrix goes untested."""
    assert {case.guard for case in CASES} == {row.name for row in MATRIX}


def test_every_guard_passes_a_crash_that_may_be_healed() -> None:
    """The plain START: all guards agree, none has anything to report."""
    scene = crashed()
    scene.run(1)
    ask = replace(question(scene), memory=replace(scene.memory, requests={}))
    assert judge(ask, asked(ActClass.START)) == []


def test_every_guard_passes_a_hang_that_may_be_healed() -> None:
    """The plain RESTART of a dropped, silent node in a healthy cluster."""
    assert judge(question(hung(), action=RESTART), asked(ActClass.RESTART)) == []


@pytest.mark.parametrize(
    ("case", "lifted"),
    [
        (next(c for c in CASES if c.reason == reason), lifted)
        for reason, lifted in {
            "storm": True, "restart_spacing": True, "latched": True, "anti_flap": True,
            "replicas_at_risk": True, "others_sick": True, "backoff": True, "node_budget": True,
            "out_of_rungs": True, "storage_missing": True, "reassignment": True, "observe": True,
            "paused": False, "in_maintenance": False, "no_lease": False, "warming_up": False,
            "stale": False, "viewpoint_lost": False, "one_family": False, "debugger": False,
            "unresolved_act": False, "slot_taken": False, "quorum_lost": False,
            "quorum_at_risk": False, "look_again": False, "clock_stepped": False,
            "not_commissioned": False, "unit_job": False,
        }.items()
    ],
    ids=lambda value: value.reason if isinstance(value, Case) else "",
)  # fmt: skip
def test_an_approval_lifts_what_the_matrix_says_and_nothing_else(case: Case, lifted: bool) -> None:
    """A lifted refusal is still reported; what no approval lifts stays."""
    ask = case.make()
    approval = OperatorCommand(Order.APPROVE, "ada", target="asked")
    memory = replace(ask.memory, approvals={"asked": approval})
    request = replace(ask.request, action=case.action)
    said = verdict(replace(ask, memory=memory, request=request), case.guard)
    assert said is not None
    assert said.allowed is lifted
    assert said.reported is lifted


@pytest.mark.parametrize("error", [ValueError, KeyError, RuntimeError, ZeroDivisionError])
def test_a_guard_that_raises_refuses(error: type[Exception]) -> None:
    """Guards fail closed, whatever goes wrong inside."""

    def broken(ask: Question) -> Verdict:
        raise error("oops")

    row = replace(MATRIX[0], ask=broken)
    said = judge(question(crashed()), [row])
    assert [(v.allowed, v.reason) for v in said] == [(False, "guard_failed")]
    assert "oops" in said[0].text


def test_exempt_topics_permit_and_are_reported() -> None:
    """Named in replicas.exempt_topics: the RESTART passes, and the permit names the partitions."""
    scene = Scene(min_isr=3, policy=replace(AUTO, exempt_topics=frozenset({"orders"})))
    scene.run(70)
    said = verdict(question(scene, "2", RESTART), "replicas_are_safe")
    assert said is not None
    assert (said.allowed, said.reported, said.reason) == (True, True, "exempt_topics")
    assert "orders-0" in said.text


def test_a_dropped_and_silent_node_takes_nothing_away() -> None:
    """It is out of every ISR: passes although min ISR would forbid a healthy node's restart."""
    scene = hung(Scene(min_isr=3))
    assert verdict(question(scene, "2", RESTART), "replicas_are_safe") is None


def test_who_is_dropped_and_yet_shown_in_sync_beside_others_may_be_missed() -> None:
    """The controller takes whom it fences out of every ISR at once: so one of the two is wrong."""
    scene = hung(Scene(min_isr=3))

    def whole(look: CheckResult) -> CheckResult:
        if not isinstance(look.fact, PeersFact) or look.fact.topics is None:
            return look
        topics = tuple(
            replace(topic, partitions=tuple(replace(p, isr=p.replicas) for p in topic.partitions))
            for topic in look.fact.topics
            if topic.partitions is not None
        )
        return replace(look, fact=replace(look.fact, topics=topics))

    scene.lens = whole
    scene.run(1)
    assert_refused(question(scene, "2", RESTART), "replicas_are_safe", "replicas_at_risk")


def test_a_bystander_whose_process_is_stopped_is_not_well() -> None:
    """Its last answer is seconds old, but its state says that it can give no other."""
    scene = hung(Scene(combined(5)))
    assert verdict(question(scene, "2", RESTART), "others_are_well") is None
    scene.edit("4", process_state="T")
    scene.run(1)
    assert_refused(question(scene, "2", RESTART), "others_are_well", "others_sick")


def test_members_in_maintenance_or_acknowledged_are_excused() -> None:
    """A bystander that waits for a disk for a week: the others are still healed."""
    scene = Scene(combined(5))
    scene.run(70)
    scene.operator_stop("4")
    scene.run(12)
    scene.say(Order.ACK, scene.incident("4").id)
    scene.run(1)
    assert verdict(question(scene, "2", RESTART), "others_are_well") is None


def test_a_second_start_needs_a_life_of_a_minute() -> None:
    """Rung and attempts are there, but the last start died young."""
    scene = Scene(hands="die", life_s=3.0)
    scene.run(5)
    scene.crash("2")
    scene.run(20)
    ask = question(scene)
    said = attempts_left(replace(ask, request=replace(ask.request, attempt=2)))
    assert said.reason == "died_young"
    assert act_class(ask.request.action) is ActClass.START


@pytest.mark.parametrize(
    ("cluster", "silent", "said"),
    [(split, (), None), (lambda: combined(5), ("3",), "slot_taken")],
)
def test_the_next_dead_voter_is_started_sooner_only_if_the_loss_is_proven(
    cluster: Callable[[], Cluster], silent: tuple[str, ...], said: str | None
) -> None:
    """Two of three are gone or not back: proven. Two of five, and one is silent: it may be well."""
    scene = Scene(cluster(), hands="idle")
    scene.run(70)
    scene.crash("1", "2")
    scene.hang(*silent)
    scene.run(6)
    ask = question(scene, "2")
    assert ask.view.quorum is Quorum.LOST
    begun = replace(
        ask.request, id="begun", node="1", state=RequestState.VERIFYING, ended=scene.now
    )
    later = scene.now.after(scene.policy.slot_quorum_lost_s)
    memory = replace(ask.memory, requests={"begun": begun})
    found = verdict(replace(ask, memory=memory, view=replace(ask.view, now=later)), "one_at_a_time")
    assert (found and found.reason) == said
