"""What the `command` service manager makes of the lines and codes of a `status` program."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from kafka_self_healing.clock import SystemClock
from kafka_self_healing.errors import CheckError
from kafka_self_healing.hosts import (
    CommandOutcome,
    CommandResult,
    CommandServiceManager,
    LocalHost,
)
from kafka_self_healing.hosts.service_command import read_status
from kafka_self_healing.model.access import CommandService
from kafka_self_healing.model.evidence import ServiceFact

ENDED = CommandResult(("status",), CommandOutcome.EXITED, 0.0, 1.0, exit_code=0)


def said(*lines: str, code: int = 0) -> ServiceFact:
    """Return what is made of these lines and this exit code."""
    return read_status(replace(ENDED, stdout="\n".join(lines), exit_code=code))


def test_running_node_has_no_stop_request() -> None:
    """A running node is active in systemd's terms, with pid, restarts and invocation."""
    fact = said("state=running", "pid=42", "restarts=1", "invocation=ab", "message=hello there")
    assert fact == ServiceFact(
        active="active",
        sub="running",
        result="success",
        pid=42,
        restarts=1,
        unit_file="enabled",
        job="",
        stop_requested=False,
        host_lock=False,
        invocation="ab",
    )


def test_crash_is_told_from_a_stop_on_purpose() -> None:
    """Death by signal that nobody asked for has no stop request; an operator's stop has one."""
    crash = said("state=failed", "signal=9", "stopped_by=unknown", code=1)
    stop = said("state=stopped", "exit_status=143", "stopped_by=operator", code=3)
    assert (crash.active, crash.sub, crash.result, crash.signal) == (
        "failed",
        "failed",
        "signal",
        9,
    )
    assert (crash.pid, crash.stop_requested) == (0, False)
    assert (stop.active, stop.sub, stop.result) == ("inactive", "dead", "exit-code")
    assert (stop.exit_status, stop.stop_requested) == (143, True)


@pytest.mark.parametrize(
    ("who", "requested"),
    [("operator", True), ("healer", False), ("unknown", False), ("alice", True), ("", None)],
)
def test_only_a_stop_of_somebody_else_is_on_purpose(who: str, requested: bool | None) -> None:
    """Our own stop and one of nobody are no request; a person's is; unsaid is unknown."""
    assert said("state=stopped", f"stopped_by={who}").stop_requested is requested


@pytest.mark.parametrize(
    ("state", "active"),
    [("starting", "activating"), ("stopping", "deactivating"), ("failed", "failed")],
)
def test_states_are_translated(state: str, active: str) -> None:
    """The states on the way have systemd's names."""
    assert said(f"state={state}").active == active


def test_clean_end_is_success_and_no_ending_is_unknown() -> None:
    """Exit 0 is a success; an end of which nothing is known has no result."""
    assert said("state=stopped", "exit_status=0").result == "success"
    assert said("state=stopped").result is None


def test_signal_may_have_a_name() -> None:
    """KILL, SIGKILL and 9 are the same signal."""
    assert {said("state=failed", f"signal={name}").signal for name in ("KILL", "sigkill", "9")} == {
        9
    }


@pytest.mark.parametrize(("code", "active"), [(0, "active"), (1, "failed"), (3, "inactive")])
def test_without_keys_the_exit_code_counts_and_the_reason_is_unknown(
    code: int, active: str
) -> None:
    """LSB codes give the state alone; without any reason a start needs a person's approval."""
    fact = said("kafka is somehow", code=code)
    assert (fact.active, fact.stop_requested) == (active, False)
    assert (fact.result, fact.exit_status, fact.signal) == (None, None, None)


@pytest.mark.parametrize(
    ("result", "outcome", "word"),
    [
        (replace(ENDED, exit_code=4, stderr="no supervisor"), "unreachable", "no supervisor"),
        (replace(ENDED, exit_code=77), "protocol", "77"),
        (replace(ENDED, stdout="state=asleep"), "protocol", "asleep"),
        (replace(ENDED, stdout="state=running\npid=x"), "protocol", "pid=x"),
        (replace(ENDED, stdout="state=failed\nsignal=XYZ"), "protocol", "XYZ"),
        (replace(ENDED, outcome=CommandOutcome.TIMED_OUT), "timed_out", "in time"),
        (replace(ENDED, outcome=CommandOutcome.SIGNALLED), "protocol", "end"),
        (
            replace(ENDED, outcome=CommandOutcome.NOT_STARTED, stderr="cannot run"),
            "protocol",
            "run",
        ),
    ],
)
def test_status_that_says_nothing_is_an_error(
    result: CommandResult, outcome: str, word: str
) -> None:
    """What cannot be understood is a CheckError that names it, never a state."""
    with pytest.raises(CheckError, match=word) as caught:
        read_status(result)
    assert caught.value.outcome == outcome


async def test_operators_programs_are_run() -> None:
    """Each verb runs its own program, and a start over its limit is left alone as unknown."""

    def program(text: str) -> tuple[str, ...]:
        return (sys.executable, "-c", f"print({text!r})")

    service = CommandService(
        start=(sys.executable, "-c", "import time; time.sleep(0.6)"),
        stop=program("stop"),
        kill=program("kill"),
        status=program("state=running"),
    )
    manager = CommandServiceManager(service, LocalHost(SystemClock()), (), "127.0.0.1")
    assert (await manager.status(timeout_s=20.0)).active == "active"
    assert (await manager.stop(timeout_s=20.0)).stdout == "stop\n"
    assert (await manager.kill(timeout_s=20.0)).stdout == "kill\n"
    assert (await manager.start(timeout_s=0.1)).outcome is CommandOutcome.UNKNOWN
