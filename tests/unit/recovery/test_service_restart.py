"""service:start and service:restart on a manager in memory: what is done, in which order."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.notification.virtual_clock import VirtualClock
from tests.unit.recovery.fake_service import FakeServiceManager, ended_as, exited
from tests.unit.recovery.hands import BEGUN, ENDED, Hands, node, request

from kafka_self_healing.hosts import CommandOutcome
from kafka_self_healing.model.access import CommandService
from kafka_self_healing.model.recovery import ActOutcome, RecoveryResult, StopStyle
from kafka_self_healing.recovery import ServiceRestartPlugin
from kafka_self_healing.recovery.actions.service_restart import PROOF_S

STOPPED = [("stop", BEGUN), ("stop", ENDED)]
STARTED = [("start", BEGUN), ("start", ENDED)]
SERVICE = CommandService(("start",), ("stop",), ("kill",), ("status",), stop_timeout_s=30.0)


async def test_a_start_is_one_step() -> None:
    """A start of a node that is down is begun, given and ended, and is done."""
    manager = FakeServiceManager(running=False)
    hands = Hands(manager)
    result = await hands.engine.execute(request(), node())
    assert result.outcome is ActOutcome.DONE
    assert hands.steps == STARTED
    assert manager.calls == ["start", "(runs)"]


async def start_for(hands: Hands, clock: VirtualClock, **more: object) -> RecoveryResult:
    """Carry out a start while the virtual time passes, and return what came of it."""
    task = asyncio.create_task(hands.engine.execute(request(**more), node()))  # type: ignore[arg-type]
    await clock.advance(PROOF_S + 1.0)
    assert task.done(), "it has not ended in this time"
    return await task


@pytest.mark.parametrize(
    ("manager", "said"),
    [
        (FakeServiceManager(running=False), "started nothing"),
        (FakeServiceManager(), "did nothing: process 101 is the old one"),
    ],
    ids=["still down", "still the old process"],
)
async def test_a_start_that_starts_nothing_failed(manager: FakeServiceManager, said: str) -> None:
    """Exit code 0 proves nothing: the same run, or the same process, is a failure."""
    manager.answers["start"] = exited("start", 0)
    clock = VirtualClock()
    hands = Hands(manager, clock=clock)
    result = await start_for(hands, clock, pid_before=101, invocation_before="run-101")
    assert result.outcome is ActOutcome.FAILED
    assert result.message == f"start returned 0 and {said}"
    assert hands.steps == [("start", BEGUN)]


async def test_a_start_of_which_nothing_can_be_seen_is_done_and_says_so() -> None:
    """Where the manager's word fails after it, the looks that follow have to tell."""
    manager, clock = FakeServiceManager(running=False, blind=True), VirtualClock()
    result = await start_for(Hands(manager, clock=clock), clock)
    assert result.outcome is ActOutcome.DONE
    assert "could not be asked" in result.message


async def test_a_process_that_has_ended_again_was_started() -> None:
    """Another run that is over already is a start that was carried out."""
    manager = FakeServiceManager(running=False, pid=102, answers={"start": exited("start", 0)})
    result = await Hands(manager).engine.execute(
        request(pid_before=101, invocation_before="run-101"), node()
    )
    assert (result.outcome, result.message) == (ActOutcome.DONE, "")


async def test_a_start_that_is_refused_failed_and_is_still_owed() -> None:
    """Exit code 1 is `failed`, told with what was said; the step has no end, so a start is owed."""
    manager = FakeServiceManager(running=False, answers={"start": exited("start", 1, "no disk")})
    hands = Hands(manager)
    result = await hands.engine.execute(request(), node())
    assert (result.outcome, result.exit_code) == (ActOutcome.FAILED, 1)
    assert result.message == "start ended with exit code 1: no disk"
    assert hands.steps == [("start", BEGUN)]


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (CommandOutcome.NOT_STARTED, ActOutcome.FAILED),
        (CommandOutcome.SIGNALLED, ActOutcome.FAILED),
        (CommandOutcome.TIMED_OUT, ActOutcome.UNKNOWN),
        (CommandOutcome.UNKNOWN, ActOutcome.UNKNOWN),
    ],
)
async def test_a_start_without_an_exit_code(outcome: CommandOutcome, expected: ActOutcome) -> None:
    """A start whose end nobody saw is unknown; one that ended without success failed."""
    manager = FakeServiceManager(running=False, answers={"start": ended_as("start", outcome)})
    hands = Hands(manager)
    result = await hands.engine.execute(request(), node())
    assert result.outcome is expected
    assert hands.steps == [("start", BEGUN)]


async def test_without_a_service_manager_nothing_can_be_done() -> None:
    """A node without a service manager is refused before any step."""
    hands = Hands(None)
    result = await hands.engine.execute(request(), node())
    assert result.outcome is ActOutcome.FAILED
    assert "no service manager" in result.message
    assert hands.steps == []


@pytest.mark.parametrize(
    ("style", "verb"), [(StopStyle.KILL, "kill"), (StopStyle.GRACEFUL, "stop")]
)
async def test_a_restart_waits_for_the_end_before_it_starts(style: StopStyle, verb: str) -> None:
    """No start is begun while the old process still runs, whatever the stop's exit code says."""
    manager, clock = FakeServiceManager(lingers=3), VirtualClock()
    hands = Hands(manager, clock=clock)
    act = hands.engine.execute(request("service:restart", stop_style=style), node())
    task = asyncio.create_task(act)
    await clock.advance(0.3)
    assert hands.steps == [("stop", BEGUN)]
    await clock.advance(2.0)
    result = await task
    assert result.outcome is ActOutcome.DONE
    assert hands.steps == STOPPED + STARTED
    assert manager.calls == [verb, "start", "(runs)"]
    assert manager.pid == 102


async def restarted(manager: FakeServiceManager, **more: object) -> tuple[Hands, RecoveryResult]:
    """Restart by KILL on a manager with a restart of its own."""
    clock = VirtualClock()
    hands = Hands(manager, clock=clock)
    wanted = request("service:restart", stop_style=StopStyle.KILL, pid_before=101, **more)  # type: ignore[arg-type]
    task = asyncio.create_task(hands.engine.execute(wanted, node()))
    await clock.advance(PROOF_S + 1.0)
    assert task.done(), "it has not ended in this time"
    return hands, await task


@pytest.mark.parametrize("noticed", [True, False])
async def test_after_a_kill_the_manager_restarts(*, noticed: bool) -> None:
    """A killed unit may still count as running: it is restarted, never started, in two steps."""
    manager = FakeServiceManager(restarts=True, lingers=0 if noticed else 10**6)
    hands, result = await restarted(manager)
    assert result.outcome is ActOutcome.DONE
    assert manager.calls == ["kill", "restart", "(runs)"]
    assert hands.steps == STOPPED + STARTED


async def test_a_status_that_falls_silent_does_not_hold_up_the_restart() -> None:
    """What was killed must not stay down because nobody can be asked."""
    manager, clock = FakeServiceManager(restarts=True), VirtualClock()
    hands = Hands(manager, clock=clock)
    hands.on_report = lambda _report: setattr(manager, "blind", True)
    wanted = request("service:restart", stop_style=StopStyle.KILL, pid_before=101)
    task = asyncio.create_task(hands.engine.execute(wanted, node()))
    await clock.advance(PROOF_S + 1.0)
    assert (await task).outcome is ActOutcome.DONE
    assert manager.calls == ["kill", "restart", "(runs)"]


async def test_a_restart_that_leaves_the_process_failed() -> None:
    """Exit code 0 with the same pid is `failed`, and the start is still owed."""
    manager = FakeServiceManager(
        restarts=True, lingers=10**6, answers={"restart": exited("restart", 0)}
    )
    hands, result = await restarted(manager)
    assert result.outcome is ActOutcome.FAILED
    assert "process 101 is the old one" in result.message
    assert hands.steps == [*STOPPED, ("start", BEGUN)]


async def test_a_unit_that_restarts_itself_is_not_restarted_again() -> None:
    """Restart=always has put another process there: a restart would end that one."""
    manager = FakeServiceManager(restarts=True, respawns=True)
    hands, result = await restarted(manager)
    assert result.outcome is ActOutcome.DONE
    assert manager.calls == ["kill", "(runs)"]
    assert hands.steps == STOPPED + STARTED


async def test_a_kill_of_which_the_end_is_unknown_is_watched() -> None:
    """A connection that is cut after the kill: the end is looked for, and then it is restarted."""
    unknown = ended_as("kill", CommandOutcome.UNKNOWN)
    manager = FakeServiceManager(restarts=True, answers={"kill": unknown})
    hands = Hands(manager)
    hands.on_report = lambda _report: setattr(manager, "running", False)
    wanted = request("service:restart", stop_style=StopStyle.KILL, pid_before=101)
    result = await hands.engine.execute(wanted, node())
    assert result.outcome is ActOutcome.DONE
    assert manager.calls == ["kill", "restart", "(runs)"]


async def test_the_limit_of_a_stop_is_the_units_own() -> None:
    """TimeoutStopUSec and a minute, as the manager's status says it."""
    manager, clock = FakeServiceManager(lingers=10**6, stop_timeout_s=45.0), VirtualClock()
    hands = Hands(manager, clock=clock)
    outcome = await run_for(hands, clock, 45.0 + 60.0 + 1.0, stop_style=StopStyle.GRACEFUL)
    assert outcome is ActOutcome.UNKNOWN
    assert manager.limits == [("stop", 105.0)]


@pytest.mark.parametrize("spawns", [True, False])
async def test_only_a_manager_that_starts_our_descendants_is_unsafe(*, spawns: bool) -> None:
    """What systemd, docker or another machine starts does not end with the healer's unit."""
    manager = FakeServiceManager(running=False, spawns=spawns)
    actions = ServiceRestartPlugin("KillMode is wrong").actions()
    result = await Hands(manager, actions=actions).engine.execute(request(), node())
    assert result.outcome is (ActOutcome.FAILED if spawns else ActOutcome.DONE)
    assert ("KillMode" in result.message) is spawns


async def run_for(hands: Hands, clock: VirtualClock, seconds: float, **more: object) -> ActOutcome:
    """Carry out a restart while the virtual time passes, and return its outcome."""
    wanted = request("service:restart", limit_s=180.0, **more)  # type: ignore[arg-type]
    task = asyncio.create_task(hands.engine.execute(wanted, node(SERVICE)))
    await clock.advance(seconds)
    assert task.done(), "it has not ended in this time"
    return (await task).outcome


@pytest.mark.parametrize(
    ("style", "limit_s"), [(StopStyle.GRACEFUL, 30.0 + 60.0), (StopStyle.KILL, 180.0)]
)
async def test_a_process_that_does_not_end_is_not_started(style: StopStyle, limit_s: float) -> None:
    """After the stop's limit the end is unknown, and no start is begun beside the old process."""
    manager, clock = FakeServiceManager(lingers=10**6), VirtualClock()
    hands = Hands(manager, clock=clock)
    outcome = await run_for(hands, clock, limit_s + 1.0, stop_style=style)
    assert outcome is ActOutcome.UNKNOWN
    assert hands.steps == [("stop", BEGUN)]
    assert manager.limits == [("kill" if style is StopStyle.KILL else "stop", limit_s)]


async def test_a_stop_that_is_refused_failed() -> None:
    """A stop with exit code 1 of a process that still runs is `failed`; nothing is started."""
    manager = FakeServiceManager(answers={"stop": exited("stop", 1, "denied")})
    hands = Hands(manager)
    result = await hands.engine.execute(request("service:restart"), node())
    assert result.outcome is ActOutcome.FAILED
    assert result.message == "stop ended with exit code 1: denied; the process still runs"
    assert hands.steps == [("stop", BEGUN)]
    assert manager.calls == ["stop"]


async def test_an_unreadable_status_before_the_stop_leaves_all_as_it_is() -> None:
    """Where no end could be seen, nothing is stopped: failed, and not one step begun."""
    manager = FakeServiceManager(blind=True)
    hands = Hands(manager)
    result = await hands.engine.execute(request("service:restart"), node())
    assert result.outcome is ActOutcome.FAILED
    assert (hands.steps, manager.calls) == ([], [])


async def test_a_status_that_falls_silent_after_the_stop_is_asked_to_the_limit() -> None:
    """An end that cannot be seen is unknown, and a start is not begun on a guess."""
    manager, clock = FakeServiceManager(), VirtualClock()
    hands = Hands(manager, clock=clock)
    hands.on_report = lambda _report: setattr(manager, "blind", True)
    outcome = await run_for(hands, clock, 91.0)
    assert outcome is ActOutcome.UNKNOWN
    assert manager.calls == ["stop"]


@pytest.mark.parametrize(
    ("manager", "judged"),
    [
        (FakeServiceManager(running=False), {"pid_before": 101}),
        (FakeServiceManager(pid=102), {"pid_before": 101}),
        (FakeServiceManager(), {"pid_before": 101, "invocation_before": "run-100"}),
    ],
    ids=["ended", "another pid", "another run"],
)
async def test_another_process_than_was_judged_is_not_touched(
    manager: FakeServiceManager, judged: dict[str, object]
) -> None:
    """Whoever has ended or replaced the process meanwhile is not answered with a restart."""
    hands = Hands(manager)
    wanted = request("service:restart", **judged)  # type: ignore[arg-type]
    result = await hands.engine.execute(wanted, node())
    assert result.outcome is ActOutcome.FAILED
    assert "nothing was done" in result.message
    assert (hands.steps, manager.calls) == ([], [])


async def test_a_process_that_its_manager_replaced_is_not_started_again() -> None:
    """A manager that starts a killed process by itself has done the start: none is given."""
    manager = FakeServiceManager(respawns=True)
    hands = Hands(manager)
    wanted = request("service:restart", stop_style=StopStyle.KILL, pid_before=101)
    result = await hands.engine.execute(wanted, node())
    assert result.outcome is ActOutcome.DONE
    assert "by itself (pid 102)" in result.message
    assert manager.calls == ["kill", "(runs)"]
    assert hands.steps == STOPPED + STARTED


async def test_a_start_that_fails_after_the_stop_failed() -> None:
    """The stop is written down as ended, the start as begun only: it is still owed."""
    manager = FakeServiceManager(answers={"start": exited("start", 1)})
    hands = Hands(manager)
    result = await hands.engine.execute(request("service:restart"), node())
    assert result.outcome is ActOutcome.FAILED
    assert hands.steps == [*STOPPED, ("start", BEGUN)]
