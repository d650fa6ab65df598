"""RecoveryEngine: what is written down before what, hard limits, ends, and the safe point."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from tests.unit.recovery.fake_service import FakeServiceManager
from tests.unit.recovery.hands import BEGUN, ENDED, Hands, node, pool, request

from kafka_self_healing.clock import SystemClock
from kafka_self_healing.errors import (
    ActionRefused,
    ActionTimeout,
    CheckError,
    RecoveryError,
    StorageError,
)
from kafka_self_healing.model.access import SshAccess
from kafka_self_healing.model.evidence import Outcome
from kafka_self_healing.model.node import Cluster
from kafka_self_healing.model.recovery import (
    ActOutcome,
    RecoveryRequest,
    RecoveryResult,
    StepReport,
)
from kafka_self_healing.plugins import ActionContext, RecoveryAction

NODE = node().id

Work = Callable[[RecoveryRequest, ActionContext], Awaitable[RecoveryResult]]


class Scripted(RecoveryAction):
    """An action that does what a test says."""

    def __init__(self, work: Work) -> None:
        self._work = work

    @property
    def name(self) -> str:
        """script:test."""
        return "script:test"

    @property
    def disruptive(self) -> bool:
        """It may do anything."""
        return True

    async def execute(self, request: RecoveryRequest, context: ActionContext) -> RecoveryResult:
        """Do it."""
        return await self._work(request, context)


def scripted(work: Work, manager: FakeServiceManager | None = None) -> Hands:
    """Return hands that offer only `work`, as script:test."""
    return Hands(manager or FakeServiceManager(), actions={"script:test": Scripted(work)})


def raising(error: BaseException, *, after_a_command: bool) -> Work:
    """Return the work of an action that raises, before or after a command."""

    async def work(request: RecoveryRequest, context: ActionContext) -> RecoveryResult:
        async with context.step("run"):
            if after_a_command:
                await context.run(["true"], timeout_s=5.0)
            raise error

    return work


def done(request: RecoveryRequest, **more: str) -> RecoveryResult:
    """Return what an action returns that thinks it is done."""
    return RecoveryResult(request.id, request.node, request.action, ActOutcome.DONE, **more)  # type: ignore[arg-type]


async def test_each_step_is_written_down_before_its_command() -> None:
    """Begin, command, end; and the second step only after the end of the first."""
    hands = Hands(FakeServiceManager())
    await hands.engine.execute(request("service:restart"), node())
    command = ["dispatch:before", "dispatch:after"]
    assert hands.diary == [
        "stop begun", *command, "stop ended", "start begun", *command, "start ended",
    ]  # fmt: skip


async def test_what_cannot_be_written_down_is_not_begun() -> None:
    """If the beginning of a step is not journalled, its command is not given: failed, unchanged."""
    manager = FakeServiceManager()
    hands = Hands(manager)

    def full(_report: StepReport) -> None:
        raise StorageError("disk full")

    hands.on_report = full
    result = await hands.engine.execute(request("service:restart"), node())
    assert result.outcome is ActOutcome.FAILED
    assert result.message.endswith("the beginning of step stop could not be journalled: disk full")
    assert (manager.calls, hands.diary) == ([], [])


@pytest.mark.parametrize("fails_at", [("stop", ENDED), ("start", BEGUN)])
async def test_a_journal_that_fails_between_stop_and_start(fails_at: tuple[str, bool]) -> None:
    """The start is not begun, and the node that was stopped makes the end unknown, not failed."""
    manager = FakeServiceManager()
    hands = Hands(manager)

    def fail(report: StepReport) -> None:
        if (report.step, report.ended) == fails_at:
            raise StorageError("disk full")

    hands.on_report = fail
    result = await hands.engine.execute(request("service:restart"), node())
    assert result.outcome is ActOutcome.UNKNOWN
    assert manager.calls == ["stop"]


@pytest.mark.parametrize(
    ("error", "before", "after"),
    [
        (ActionRefused("no"), ActOutcome.FAILED, ActOutcome.UNKNOWN),
        (CheckError(Outcome.TIMED_OUT, "no"), ActOutcome.FAILED, ActOutcome.UNKNOWN),
        (OSError("no"), ActOutcome.FAILED, ActOutcome.UNKNOWN),
        (RecoveryError("no"), ActOutcome.FAILED, ActOutcome.FAILED),
        (ActionTimeout("no"), ActOutcome.UNKNOWN, ActOutcome.UNKNOWN),
        (ValueError("no"), ActOutcome.UNKNOWN, ActOutcome.UNKNOWN),
        (asyncio.CancelledError("no"), ActOutcome.UNKNOWN, ActOutcome.UNKNOWN),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
async def test_whatever_an_action_raises_becomes_a_result(
    error: BaseException, before: ActOutcome, after: ActOutcome
) -> None:
    """`failed` is said only where it is known; before the first command nothing was changed."""
    early = scripted(raising(error, after_a_command=False))
    late = scripted(raising(error, after_a_command=True))
    first = await early.engine.execute(request("script:test"), node())
    second = await late.engine.execute(request("script:test"), node())
    assert (first.outcome, second.outcome) == (before, after)
    assert (first.command, second.command) == ((), ("true",))
    assert first.message


async def test_a_program_that_does_not_exist_has_changed_nothing() -> None:
    """A command that could not even begin leaves a refusal after it a plain failure."""

    async def work(_request: RecoveryRequest, context: ActionContext) -> RecoveryResult:
        async with context.step("run"):
            result = await context.run(["/nonexistent/program"], timeout_s=5.0)
            raise ActionRefused(result.stderr)

    result = await scripted(work).engine.execute(request("script:test"), node())
    assert result.outcome is ActOutcome.FAILED
    assert result.message.startswith("cannot run /nonexistent/program")


async def test_a_command_outside_of_a_step_is_not_given() -> None:
    """An action cannot act behind the journal's back."""

    async def work(request: RecoveryRequest, context: ActionContext) -> RecoveryResult:
        assert context.service is not None
        await context.service.kill(timeout_s=1.0)
        return done(request)

    manager = FakeServiceManager()
    hands = scripted(work, manager)
    result = await hands.engine.execute(request("script:test"), node())
    assert result.outcome is ActOutcome.UNKNOWN
    assert "gave a command outside of a step" in result.message
    assert manager.calls == []


async def test_an_action_that_does_not_exist_fails() -> None:
    """A ladder that names an unknown action hears which there are."""
    result = await Hands().engine.execute(request("service:dance"), node())
    assert result.outcome is ActOutcome.FAILED
    assert "service:start, service:restart" in result.message


async def test_a_result_that_is_none_is_unknown() -> None:
    """What an action returns is checked: anything but a result leaves the end unknown."""

    async def work(_request: RecoveryRequest, _context: ActionContext) -> RecoveryResult:
        return None  # type: ignore[return-value]

    result = await scripted(work).engine.execute(request("script:test"), node())
    assert result.outcome is ActOutcome.UNKNOWN
    assert "returned NoneType" in result.message


async def test_a_result_is_put_right_and_kept_small() -> None:
    """Ids are the request's own; outputs are capped, printable and without credentials."""

    async def work(request: RecoveryRequest, _context: ActionContext) -> RecoveryResult:
        return RecoveryResult(
            "R9", "9", "other", ActOutcome.DONE, ("run", "hunter22"),
            stdout="x" * 10_000_000, stderr="\x1b[2J hunter22", message="hunter22 \ud800",
        )  # fmt: skip

    hands = Hands(
        actions={"script:test": Scripted(work)}, redact=lambda t: t.replace("hunter22", "***")
    )
    result = await hands.engine.execute(request("script:test"), node())
    assert (result.request, result.node, result.action) == ("R1", "1", "script:test")
    assert result.command == ("run", "***")
    assert len(result.stdout) == 64 * 1024
    assert result.stderr == "\\x1b[2J ***"
    assert result.message == "*** \\ud800"
    assert result.started <= result.ended


async def test_a_step_has_a_hard_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that waits for something that never comes is ended, and its end is unknown."""
    monkeypatch.setattr("kafka_self_healing.recovery.act.STEP_GRACE_S", 0.01)
    hands = Hands(FakeServiceManager(hangs={"stop"}))
    result = await hands.engine.execute(request("service:restart", limit_s=0.02), node())
    assert result.outcome is ActOutcome.UNKNOWN
    assert result.message == "step stop did not end within 0.02 s"
    assert hands.steps == [("stop", BEGUN)]


async def test_an_act_has_a_hard_limit_even_if_it_ignores_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An action that swallows its cancellation is cut off: it can give no command any more."""
    for name, seconds in {"act.STEP_GRACE_S": 0.01, "act.ACT_MARGIN_S": 0.01,
                          "engine.CANCEL_GRACE_S": 0.02}.items():  # fmt: skip
        monkeypatch.setattr(f"kafka_self_healing.recovery.{name}", seconds)
    go_on, over = asyncio.Event(), asyncio.Event()
    refused: list[str] = []

    async def work(request: RecoveryRequest, context: ActionContext) -> RecoveryResult:
        while not go_on.is_set():
            try:
                await go_on.wait()
            except asyncio.CancelledError:
                continue
        try:
            async with context.step("run"):
                await context.run(["true"], timeout_s=1.0)
        except ActionRefused as error:
            refused.append(str(error))
        over.set()
        return done(request)

    hands = scripted(work)
    result = await hands.engine.execute(request("script:test", limit_s=0.02), node())
    assert result.outcome is ActOutcome.UNKNOWN
    assert hands.engine.running == {}
    go_on.set()
    await over.wait()
    assert refused == ["step run was not begun: the act is over"]
    assert hands.diary == []


async def test_one_act_at_a_time_on_a_node() -> None:
    """A second act on the same node is a bug and asserts; `running` shows the first."""
    hands = Hands(FakeServiceManager(hangs={"start"}))
    first = asyncio.create_task(hands.engine.execute(request(), node()))
    await asyncio.sleep(0)
    assert list(hands.engine.running) == ["1"]
    assert hands.engine.running["1"].id == "R1"
    with pytest.raises(AssertionError, match="one act at a time"):
        await hands.engine.execute(request(), node())
    first.cancel()
    assert (await first).outcome is ActOutcome.UNKNOWN
    assert hands.engine.running == {}


async def test_a_cancellation_between_stop_and_start() -> None:
    """The end is unknown, the stop is written down as ended and the start was never given."""
    manager = FakeServiceManager()
    hands = Hands(manager)
    tasks: list[asyncio.Task[RecoveryResult]] = []

    def cancel(report: StepReport) -> None:
        if report.step == "stop" and report.ended:
            tasks[0].cancel()

    hands.on_report = cancel
    tasks.append(asyncio.create_task(hands.engine.execute(request("service:restart"), node())))
    result = await tasks[0]
    assert result.outcome is ActOutcome.UNKNOWN
    assert hands.steps == [("stop", BEGUN), ("stop", ENDED)]
    assert manager.calls == ["stop"]


async def drained(hands: Hands, wanted: RecoveryRequest, at: tuple[str, bool]) -> RecoveryResult:
    """Carry out an act and ask the engine to drain when it reports `at`."""
    drains: list[asyncio.Task[bool]] = []

    def drain(report: StepReport) -> None:
        if (report.step, report.ended) == at:
            drains.append(asyncio.create_task(hands.engine.drain(5.0)))

    hands.on_report = drain
    act = asyncio.create_task(hands.engine.execute(wanted, node()))
    result = await act
    assert await drains[0], "everything has ended in time"
    return result


@pytest.mark.parametrize("at", [("stop", BEGUN), ("stop", ENDED), ("start", BEGUN)])
async def test_a_node_that_was_stopped_is_started_before_the_end(at: tuple[str, bool]) -> None:
    """A shutdown in the middle of a restart goes on to the start: only that is a safe point."""
    manager = FakeServiceManager()
    hands = Hands(manager)
    result = await drained(hands, request("service:restart"), at)
    assert result.outcome is ActOutcome.DONE
    assert manager.calls == ["stop", "start", "(runs)"]


async def test_while_draining_no_act_is_begun() -> None:
    """After `drain` a new act is refused, and no step of it is begun."""
    manager = FakeServiceManager(running=False)
    hands = Hands(manager)
    assert await hands.engine.drain(0.0)
    result = await hands.engine.execute(request(), node())
    assert result.outcome is ActOutcome.FAILED
    assert "shutting down" in result.message
    assert (hands.steps, manager.calls) == ([], [])


async def called_off(at: tuple[str, bool], *, on: str = NODE) -> tuple[list[str], Hands, list[str]]:
    """Restart a node, and call off what runs on `on` when the engine reports `at`."""
    manager = FakeServiceManager()
    hands = Hands(manager)
    ended: list[str] = []

    def call_off(report: StepReport) -> None:
        if (report.step, report.ended) == at:
            ended.extend(hands.engine.call_off([on], "pause by ada came first"))

    hands.on_report = call_off
    result = await hands.engine.execute(request("service:restart"), node())
    assert ("pause by ada came first" in result.message) is bool(ended)
    return ended, hands, manager.calls


async def test_an_act_that_has_given_no_command_is_called_off() -> None:
    """Its step is written down already; the command that would follow is not given."""
    ended, hands, calls = await called_off(("stop", BEGUN))
    assert ended == ["R1"]
    assert (hands.steps, calls) == ([("stop", BEGUN)], [])


@pytest.mark.parametrize(("at", "on"), [(("stop", ENDED), NODE), (("stop", BEGUN), "other")])
async def test_an_act_under_way_or_elsewhere_is_not_called_off(
    at: tuple[str, bool], on: str
) -> None:
    """A node that we have stopped is started; another node's act is nobody's business."""
    ended, _, calls = await called_off(at, on=on)
    assert ended == []
    assert calls == ["stop", "start", "(runs)"]


async def test_while_draining_other_acts_end_with_their_present_step() -> None:
    """An act that has stopped nothing begins no second step."""

    async def work(request: RecoveryRequest, context: ActionContext) -> RecoveryResult:
        for name in ("one", "two"):
            async with context.step(name):
                await context.run(["true"], timeout_s=5.0)
        return done(request)

    hands = scripted(work)
    result = await drained(hands, request("script:test"), ("one", BEGUN))
    assert result.outcome is ActOutcome.UNKNOWN
    assert hands.steps == [("one", BEGUN), ("one", ENDED)]
    assert "step two was not begun: the healer is shutting down" in result.message


async def test_drain_gives_up_at_its_limit() -> None:
    """A step that does not end within the drain's limit is reported, not waited for."""
    manager = FakeServiceManager(hangs={"start"})
    hands = Hands(manager)
    act = asyncio.create_task(hands.engine.execute(request(), node()))
    while not manager.calls:
        await SystemClock().sleep(0)
    assert not await hands.engine.drain(0.01)
    act.cancel()
    assert (await act).outcome is ActOutcome.UNKNOWN


async def test_a_reload_moves_no_act_to_another_machine() -> None:
    """A script goes on where it began, though a new inventory says that the node is elsewhere."""
    before = node()
    hosts = pool(before)
    after = replace(before, access=SshAccess(destination="192.0.2.1", connect_timeout_s=1.0))

    async def work(request: RecoveryRequest, context: ActionContext) -> RecoveryResult:
        hosts.follow(Cluster("test", nodes={after.id: after}))
        async with context.step("run"):
            result = await context.run(["echo", "here"], timeout_s=5.0)
        return done(request, stdout=result.stdout)

    hands = Hands(actions={"script:test": Scripted(work)}, hosts=hosts)
    result = await hands.engine.execute(request("script:test"), before)
    await hosts.close()
    assert (result.outcome, result.stdout) == (ActOutcome.DONE, "here\n")
