"""The exact readings of the safety rules: what each guard counts, of whom, and since when."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.healing.scenes import AUTO, BOTH, KINDS, Scene, combined, split
from tests.unit.healing.test_guards_alone import RESTART, START, hung, question, quiet, verdict

from kafka_self_healing.healing import guards
from kafka_self_healing.healing.guards import MATRIX, asked, judge
from kafka_self_healing.healing.guards.subject import Question
from kafka_self_healing.healing.memory import STEP_STOP, Memory, fold, ladder_key
from kafka_self_healing.healing.planning import draft, next_try
from kafka_self_healing.healing.turn import Turn
from kafka_self_healing.healing.view import Recovery
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.control import OperatorCommand, Order
from kafka_self_healing.model.event import RequestChanged
from kafka_self_healing.model.evidence import (
    CheckResult,
    Family,
    Kind,
    PartitionFact,
    PeersFact,
    QuorumFact,
    TopicFact,
)
from kafka_self_healing.model.incident import Condition, Diagnosis
from kafka_self_healing.model.node import Cluster, NodeConfig, Role
from kafka_self_healing.model.policy import Budget, Policy, Rung
from kafka_self_healing.model.recovery import (
    ActClass,
    Disruption,
    RecoveryRequest,
    RequestState,
    RetryPolicy,
    StopStyle,
)

SCRIPT = "script:mend"


def act(ask: Question, node: str, action: str, state: RequestState, **more: object) -> Question:
    """The same question after one more act of the cluster."""
    began = ask.view.now.after(-30.0)
    done = RecoveryRequest(
        "act-9", "incident-9", node, action, ask.request.condition, 0, 1, state, began,
        began=began, ended=ask.view.now.after(-20.0),
    )  # fmt: skip
    done = replace(done, **more)  # type: ignore[arg-type]
    ended = state in {RequestState.HEALED, RequestState.FAILED, RequestState.ABORTED}
    requests = {} if ended else {done.id: done}
    memory = replace(ask.memory, requests=requests, acts=(done,))
    return replace(ask, memory=memory)


# --- scripts, by what they declare ------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "column"),
    [
        (Disruption.START, ActClass.START),
        (Disruption.RESTART, ActClass.RESTART),
        (Disruption.NONE, ActClass.OTHER),
        (None, ActClass.RESTART),
    ],
)
def test_a_script_is_judged_in_the_column_that_it_declares(
    declared: Disruption | None, column: ActClass
) -> None:
    """What is not declared counts as a RESTART; nobody can declare a built-in act harmless."""
    request = question(quiet(), action=SCRIPT).request

    assert replace(request, disruptive=declared).act_class is column
    assert replace(request, action=RESTART, disruptive=declared).act_class is ActClass.RESTART


def test_an_act_that_disturbs_nothing_is_asked_a_few_rows() -> None:
    """From not_paused to view_is_fresh, and of its own past."""
    names = [row.name for row in asked(ActClass.OTHER)]

    first = [row.name for row in MATRIX][: len(names) - 4]
    last = ["no_unresolved_act", "within_budget", "attempts_left", "still_true"]
    assert names == first + last
    assert first[-1] == "view_is_fresh"


def test_what_disturbs_nothing_spends_the_restarts_budget_and_holds_nobody_up() -> None:
    """It is counted with the RESTARTs, and an act of another node need not wait for it."""
    scene = Scene(hands="idle", policy=replace(AUTO, restart_budget=Budget(1, 3600.0)))
    scene.run(5)
    scene.hang("2")
    scene.run(16)
    other = {"disruptive": Disruption.NONE}

    ask = act(question(scene, action=RESTART), "3", SCRIPT, RequestState.EXECUTING, **other)
    assert verdict(ask, "one_at_a_time") is None
    said = verdict(ask, "within_budget")
    assert said is not None
    assert said.reason == "cluster_budget"


def test_what_disturbs_nothing_uses_the_families_that_show_the_trouble() -> None:
    """Of each of them a look that began after the proposal; a family without one is stale."""
    ask = question(quiet(), action=SCRIPT)
    found = Diagnosis(
        Condition.UNDIAGNOSED, ("2",), (), confirmed=True, families=frozenset({Family.MACHINE})
    )
    request = replace(ask.request, disruptive=Disruption.NONE)
    ask = replace(ask, request=request, diagnosis=found)

    assert verdict(ask, "view_is_fresh") is None
    assert verdict(replace(ask, proposed_at=ask.now - 0.5), "still_true") is None
    late = verdict(replace(ask, proposed_at=ask.now), "still_true")
    assert late is not None
    assert late.reason == "look_again"
    blind = replace(ask, view=replace(ask.view, now=ask.view.now.after(300.0)))
    stale = verdict(blind, "view_is_fresh")
    assert stale is not None
    assert "MACHINE" in stale.text


# --- one at a time, spacing, windows ----------------------------------------------------------


def test_a_restart_of_unknown_end_is_not_verified() -> None:
    """There are never two RESTARTs unverified, however long ago the first one may have ended."""
    scene = hung()
    ask = act(question(scene, action=RESTART), "3", RESTART, RequestState.UNKNOWN,
              ended=scene.now.after(-500.0))  # fmt: skip

    said = verdict(ask, "one_at_a_time")

    assert said is not None
    assert (said.reason, said.until) == ("verifying", None)
    assert "has no known end" in said.text


def test_an_acknowledgement_lets_the_others_start_too() -> None:
    """A start that died stops those of the same cause until somebody acknowledges it."""
    scene = Scene(split(), hands="die", life_s=3.0)
    scene.run(20)
    scene.crash("5", "6")
    scene.run(60)
    assert scene.acted() == [("service:start", "5")]
    assert "first_one_died" in scene.reasons("6")

    scene.hands = "work"
    scene.say(Order.ACK, scene.incident("5").id)
    scene.run(60)

    assert {node for _, node in scene.acted()} == {"5", "6"}


def test_a_recovery_shows_life_once_it_falls() -> None:
    """That it recovers logs is no progress yet; that there are fewer left is."""
    scene = Scene(split(), hands="idle")
    scene.run(5)
    scene.crash("5", "6")
    scene.run(4)
    ask = act(question(scene, "6"), "5", START, RequestState.VERIFYING)

    def recovering(fell_at: float) -> Question:
        recovery = {"5": Recovery(first_at=100.0, first_left=9, fell_at=fell_at, left=9)}
        view = replace(ask.view, view=replace(ask.view.view, recoveries=recovery))
        return replace(ask, view=view)

    stands, falls = verdict(recovering(100.0), "one_at_a_time"), recovering(101.0)
    assert stands is not None
    assert stands.reason == "first_one_first"
    assert verdict(falls, "one_at_a_time") is None


def test_restarts_are_spaced_from_the_return_of_the_replicas() -> None:
    """Not from the end of the act: log recovery may have taken an hour since. Of any node."""
    scene = hung()
    ended, back = scene.now.after(-4000.0), scene.now.after(-100.0)
    for node in ("3", "2"):
        ask = act(question(scene, action=RESTART), node, RESTART, RequestState.HEALED,
                  ended=ended, well_since=back)  # fmt: skip
        said = verdict(ask, "restart_spacing")
        assert said is not None
        assert said.until == pytest.approx(scene.now.mono_s + 200.0)


@pytest.mark.parametrize(
    ("before", "now", "refused"),
    [
        (Condition.SERVING_NOT_COUNTED, Condition.PROCESS_HUNG, False),
        (Condition.SESSION_LOST, Condition.SERVING_NOT_COUNTED, True),
        (Condition.PROCESS_HUNG, Condition.PROCESS_HUNG, True),
        (Condition.HEAP_EXHAUSTED, Condition.PROCESS_HUNG, False),
        (Condition.COUNTED_NOT_SERVING, Condition.HEAP_EXHAUSTED, True),
    ],
)
def test_flapping_is_of_one_class_of_problem(
    before: Condition, now: Condition, refused: bool
) -> None:
    """A lesser problem blocks no greater one; one problem by two names is still the same."""
    ask = question(quiet(), action=RESTART)
    ask = replace(ask, request=replace(ask.request, condition=now))

    ask = act(ask, "2", RESTART, RequestState.HEALED, condition=before)

    assert (verdict(ask, "anti_flap") is not None) is refused


def test_a_heap_that_fills_again_is_not_hidden_by_restarts() -> None:
    """Its window is a day: the second time a person is called."""
    ask = question(quiet(), action=RESTART)
    ask = replace(ask, request=replace(ask.request, condition=Condition.HEAP_EXHAUSTED))

    ask = act(ask, "2", RESTART, RequestState.HEALED, ended=ask.view.now.after(-5 * 3600.0))

    assert verdict(ask, "anti_flap") is not None


def test_attempts_of_a_lesser_problem_are_not_those_of_a_greater() -> None:
    """After the one restart of a lost session a hang still has its own."""
    node, now = NodeConfig("2", BOTH), Instant(1000.0, 1000.0)
    request = RecoveryRequest(
        "act-1", "incident-1", "2", RESTART, Condition.SESSION_LOST, 0, 1,
        RequestState.EXECUTING, now, began=now,
    )  # fmt: skip
    memory = fold(Memory(), [RequestChanged(now, request)])

    assert next_try(memory, AUTO, node, Condition.SESSION_LOST, now) == (1, 1)
    assert next_try(memory, AUTO, node, Condition.PROCESS_HUNG, now) == (0, 1)


def test_a_ladder_with_two_sorts_of_acts_is_climbed_once() -> None:
    """A script first, then the restart: the rung is remembered across both."""
    rungs = (Rung(SCRIPT, disruptive=Disruption.NONE), Rung(RESTART))
    policy = replace(AUTO, ladders={Condition.PROCESS_HUNG: rungs})
    node, now, memory = NodeConfig("2", BOTH), Instant(1000.0, 1000.0), Memory()
    tried = []
    for number in range(3):
        rung, attempt = next_try(memory, policy, node, Condition.PROCESS_HUNG, now)
        tried.append(rung)
        step = rungs[min(rung, 1)]
        request = RecoveryRequest(
            f"act-{number}", "incident-1", "2", step.action, Condition.PROCESS_HUNG, rung, attempt,
            RequestState.EXECUTING, now, began=now, disruptive=step.disruptive,
        )  # fmt: skip
        memory = fold(memory, [RequestChanged(now, request)])

    assert tried == [0, 1, 2]


def test_pauses_grow_to_a_cap_and_differ_by_node_alone() -> None:
    """The same seed, node and attempt give the same pause; other nodes another one."""
    retry = RetryPolicy(attempts=9, base_s=10.0, cap_s=300.0, jitter=0.5)

    pauses = [retry.backoff_s(done, seed=7, node="2") for done in range(9)]

    assert pauses == [retry.backoff_s(done, seed=7, node="2") for done in range(9)]
    assert pauses[0] == 0.0
    for done, pause in enumerate(pauses[1:6]):
        assert 10.0 * 2**done <= pause <= 15.0 * 2**done
    assert pauses[-1] == 300.0
    assert len({retry.backoff_s(1, seed=7, node=str(node)) for node in range(20)}) == 20
    assert retry.backoff_s(1, seed=8, node="2") != pauses[1]


@pytest.mark.parametrize(("told", "limit"), [(60.0, 60.0), (None, 10.0)])
def test_a_start_waits_until_the_manager_takes_starts_again(
    told: float | None, limit: float
) -> None:
    """StartLimitIntervalUSec from the end on, or systemd's default."""
    scene = Scene(hands="idle")
    scene.run(5)
    scene.crash("2", start_limit_s=told)
    scene.run(2)
    ask = question(scene)
    ask = replace(ask, request=replace(ask.request, condition=Condition.START_LIMIT_HIT))

    said = verdict(ask, "backoff_over")

    assert said is not None
    assert said.until == pytest.approx(scene.now.mono_s + limit - 1.0, abs=1.0)


# --- the others -------------------------------------------------------------------------------


def _isr(scene: Scene, by: dict[str, tuple[str, ...]]) -> None:
    """Each witness tells of the one topic as it knows it; min ISR is 2."""

    def lens(look: CheckResult) -> CheckResult:
        if look.kind is not Kind.PEERS or not isinstance(look.fact, PeersFact):
            return look
        part = PartitionFact(0, ("1", "2", "3"), by[look.observer], "1", reassigning=False)
        topic = TopicFact("orders", 2, unclean_election=False, partitions=(part,))
        return replace(look, fact=replace(look.fact, topics=(topic,)))

    scene.lens = lens
    scene.run(2)


def test_nobody_is_a_witness_of_himself() -> None:
    """That the target sees all in sync counts for nothing; whoever sees danger is believed."""
    scene, whole = quiet(), ("1", "2", "3")

    _isr(scene, {"1": whole, "2": whole, "3": whole})
    assert verdict(question(scene, action=RESTART), "replicas_are_safe") is None
    _isr(scene, {"1": whole, "2": whole, "3": ("1", "2")})
    assert verdict(question(scene, action=RESTART), "replicas_are_safe") is not None
    _isr(scene, {"1": whole, "2": ("1", "2"), "3": whole})
    assert verdict(question(scene, action=RESTART), "replicas_are_safe") is None


def test_one_word_is_not_enough_where_two_could_be_heard() -> None:
    """Two brokers live beside the target; only one of them has told of its partitions."""
    scene = quiet()
    scene.lens = lambda x: None if x.kind is Kind.PEERS and x.observer in {"2", "3"} else x
    scene.run(15)

    said = verdict(question(scene, action=RESTART), "replicas_are_safe")

    assert said is not None
    assert "1 other brokers told" in said.text


def test_whether_replicas_are_moved_has_to_be_known() -> None:
    """For a process that lives: one that is out takes nothing away."""
    scene = quiet()
    scene.lens = lambda look: None if look.kind is Kind.PEERS else look
    scene.run(15)

    said = verdict(question(scene, action=RESTART), "no_foreign_work")

    assert said is not None
    assert said.reason == "work_unreadable"
    assert verdict(question(hung(), action=RESTART), "no_foreign_work") is None


def test_a_quorum_that_nobody_can_ask_is_unknown_for_a_restart() -> None:
    """An inventory without controllers: no RESTART of a broker, but its START."""
    nodes = {i: NodeConfig(i, frozenset({Role.BROKER}), kinds=KINDS) for i in ("1", "2", "3")}
    scene = Scene(split())
    scene.run(5)
    assert scene.step is not None
    ask = question(scene, "5", RESTART)
    bare = replace(ask.view.view, cluster=Cluster("test", nodes=nodes))
    ask = replace(ask, view=replace(ask.view, view=bare, quorum=ask.view.quorum.UNKNOWN))

    said = verdict(ask, "quorum_is_present")

    assert said is not None
    assert said.reason == "quorum_unknown"
    start = replace(ask, request=replace(ask.request, action=START))
    assert verdict(start, "quorum_is_present") is None


def test_a_voter_that_is_out_needs_others_that_hold_the_quorum() -> None:
    """They fetch from the leader, though one of them has yet to catch up."""

    def behind(look: CheckResult) -> CheckResult:
        fact = look.fact
        if not isinstance(fact, QuorumFact) or fact.voters is None or fact.now_ms is None:
            return look
        voters = tuple(
            replace(voter, last_caught_up_ms=fact.now_ms - 60_000) if voter.id == "3" else voter
            for voter in fact.voters
        )
        return replace(look, fact=replace(fact, voters=voters))

    well = quiet()
    well.lens = behind
    well.run(2)
    said = verdict(question(well, action=RESTART), "quorum_is_safe")
    assert said is not None
    assert said.reason == "quorum_at_risk"

    out = hung()
    out.lens = behind
    out.run(2)
    assert verdict(question(out, action=RESTART), "quorum_is_safe") is None


def test_each_of_its_groups_has_to_be_large_enough() -> None:
    """Two brokers, of whom both are voters, beside a third voter: a group of two."""
    nodes = {i: NodeConfig(i, BOTH, kinds=KINDS) for i in ("1", "2")}
    nodes["3"] = NodeConfig("3", frozenset({Role.CONTROLLER}), kinds=KINDS)
    scene = Scene(Cluster("test", nodes=nodes), min_isr=1)
    scene.run(70)

    said = verdict(question(scene, "2", RESTART), "others_are_well")

    assert said is not None
    assert (said.reason, said.text) == ("small_group", "its group has 2 members")


def test_a_bystander_with_an_incident_that_asks_for_no_act_is_well() -> None:
    """Whoever serves and is counted in is healthy; only what asks for an act says otherwise."""
    scene = Scene(combined(5))
    scene.run(70)
    ask = question(scene, "2", RESTART)
    assert verdict(ask, "others_are_well") is None
    scene.crash("4")
    scene.run(3)
    incident = scene.incident("4")

    for condition, sick in ((Condition.PROCESS_GONE, True), (Condition.FLAPPING, False)):
        known = {incident.id: replace(incident, condition=condition)}
        said = verdict(replace(ask, memory=replace(ask.memory, incidents=known)), "others_are_well")
        assert (said is not None) is sick


def test_the_controller_waits_only_for_those_that_could_be_acted_on_now() -> None:
    """A node that waits for its disk for a week does not keep the controller from being healed."""
    scene = Scene()
    scene.run(70)
    scene.crash("2")
    scene.say(Order.MAINTENANCE, "2")
    scene.run(5)
    ask = question(scene, "1", RESTART)

    assert verdict(ask, "controller_last") is None


# --- approvals, limits, latches ---------------------------------------------------------------


def test_no_approval_lifts_the_refusal_of_a_guard_that_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody can approve what could not even be asked."""

    def others_are_well(_: Question) -> object:
        raise ValueError("a bug")

    row = next(row for row in MATRIX if row.name == "others_are_well")
    broken = replace(row, ask=others_are_well)  # type: ignore[arg-type]
    monkeypatch.setitem(guards.GUARDS, "others_are_well", broken)
    ask = question(quiet(), action=RESTART)
    given = {ask.request.incident: OperatorCommand(Order.APPROVE, "ada")}
    ask = replace(ask, memory=replace(ask.memory, approvals=given))

    (said,) = judge(ask, [broken])

    assert (said.allowed, said.reason) == (False, "guard_failed")


@pytest.mark.parametrize(
    ("style", "told", "limit"),
    [(StopStyle.GRACEFUL, 300.0, 360.0), (StopStyle.GRACEFUL, None, 180.0),
     (StopStyle.GRACEFUL, 30.0, 180.0), (StopStyle.KILL, 300.0, 180.0)],
)  # fmt: skip
def test_an_orderly_stop_has_the_time_of_its_unit_and_a_minute(
    style: StopStyle, told: float | None, limit: float
) -> None:
    """Cut off in the middle it would end as unknown, with the node on its way down."""
    scene = hung() if style is StopStyle.KILL else quiet()
    scene.edit("2", stop_timeout_s=told)
    scene.run(1)
    assert scene.step is not None
    assert scene.view is not None
    found = Diagnosis(Condition.PROCESS_HUNG, ("2",), (), confirmed=True)
    ask = question(hung(), action=RESTART)
    incident = next(iter(ask.memory.incidents.values()))
    turn = Turn(scene.memory, scene.view, scene.policy, scene.now)

    request = draft(turn, scene.step.cluster.nodes["2"], found, incident)

    assert (request.stop_style, request.limit_s) == (style, limit)


@pytest.mark.parametrize(("begun", "latched"), [((STEP_STOP,), True), ((), False)])
def test_only_what_was_stopped_can_fail_to_come_back(begun: tuple[str, ...], latched: bool) -> None:
    """A restart that its host refused latches nothing: nothing was done."""
    now = Instant(1000.0, 1000.0)
    request = RecoveryRequest(
        "act-1", "incident-1", "2", RESTART, Condition.PROCESS_HUNG, 0, 1,
        RequestState.FAILED, now, began=now, ended=now, begun_steps=begun,
    )  # fmt: skip

    memory = fold(Memory(), [RequestChanged(now, request)])

    assert bool(memory.latch) is latched


def test_the_budgets_forget_nothing_that_they_count() -> None:
    """Every default window is within the time for which acts are remembered."""
    policy = Policy()
    windows = [policy.node_budget, policy.start_budget, policy.restart_budget, policy.fleet_budget]

    assert all(budget.window_s <= 24 * 3600.0 for budget in windows)
    assert ladder_key("2", Condition.TERMINATED) == ladder_key("2", Condition.PROCESS_GONE)
