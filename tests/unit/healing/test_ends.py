"""How a process ended: a crash, a stop that somebody asked for, a stray signal, a reboot."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.healing.scenes import KILLED, Scene

from kafka_self_healing.healing.diagnosis.process import end_reason
from kafka_self_healing.model.evidence import ServiceFact
from kafka_self_healing.model.incident import Condition

GONE, STOPPED, TERM, KERNEL, LIMIT = (
    Condition.PROCESS_GONE, Condition.STOPPED_BY_OPERATOR, Condition.TERMINATED,
    Condition.KILLED_BY_KERNEL, Condition.START_LIMIT_HIT,
)  # fmt: skip
EXIT = replace(KILLED, result="exit-code", signal=None, exit_status=1, code="exited")


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        (KILLED, GONE),
        (EXIT, GONE),
        # a stop that was asked for, whatever it ended with
        (replace(KILLED, stop_requested=True), STOPPED),
        (replace(KILLED, stop_requested=True, result="timeout"), STOPPED),
        (replace(EXIT, stop_requested=True, exit_status=143), STOPPED),
        (replace(KILLED, stop_requested=True, oom_killed=True), STOPPED),
        # its manager killed it because its time was over
        (replace(KILLED, result="timeout"), STOPPED),
        # by SIGTERM, and nobody asked
        (replace(EXIT, exit_status=143), TERM),
        (replace(EXIT, exit_status=143, success_exit=("143",), result="success"), TERM),
        (replace(EXIT, exit_status=130, success_exit=("143", "130")), TERM),
        (replace(EXIT, exit_status=130), GONE),
        (replace(KILLED, signal="SIGTERM"), TERM),
        # by the kernel
        (replace(KILLED, result="oom-kill"), KERNEL),
        (replace(EXIT, exit_status=137, oom_killed=True), KERNEL),
        (replace(EXIT, exit_status=137), GONE),
        (replace(EXIT, exit_status=0, oom_killed=True), KERNEL),
        # its manager has tried again, and gave up
        (replace(EXIT, restarts=4), LIMIT),
        (replace(KILLED, result="start-limit-hit"), LIMIT),
        (replace(EXIT, restarts=4, exit_status=143), TERM),
        (replace(EXIT, restarts=4, stop_requested=True), STOPPED),
    ],
)
def test_the_reason_of_an_end(service: ServiceFact, expected: Condition) -> None:
    """A request goes before every exit code; then the kernel; then what looks like SIGTERM."""
    condition, why = end_reason(service, ours=False, asked=False)
    assert condition is expected
    assert why


def test_out_of_memory_is_said() -> None:
    """The evidence names the kernel."""
    _, why = end_reason(replace(KILLED, oom_killed=True), ours=False, asked=False)
    assert "out of memory" in why


def test_a_request_that_was_read_once_holds_until_the_node_runs_again() -> None:
    """The journal that told of it may be rotated away; the stop was asked for all the same."""
    scene = Scene()
    scene.run(5)
    scene.operator_stop("2")
    scene.run(5)
    scene.edit("2", stop_requested=False, result="signal", signal=9, exit_status=None)
    scene.run(200)
    assert scene.acted() == []
    scene.start("2")
    scene.run(30)
    scene.crash("2")
    scene.until(lambda: scene.acts, 30)


def booted(**service: object) -> Scene:
    """Node 2's host goes down with it and comes back; nobody starts the node."""
    scene = Scene()
    for id_ in scene.nodes:
        scene.edit(id_, boot_id="boot-1")
    scene.run(5)
    scene.crash("2")
    scene.cut("2")
    scene.run(30)
    scene.nodes["2"].cut = False
    said: dict[str, object] = {
        "active": "inactive", "sub": "dead", "result": "success", "signal": None,
        "exit_status": None, "invocation": None, "boot_id": "boot-2", "unit_file": "disabled",
    }  # fmt: skip
    scene.edit("2", **{**said, **service})
    return scene


def test_not_started_since_boot_is_started_after_a_minute() -> None:
    """Seen running before, no stop request, its unit disabled: told, and started after 60 s."""
    scene = booted()
    took = scene.until(lambda: scene.acts)
    assert 60 <= took <= 66
    assert scene.acted() == [("service:start", "2")]
    assert scene.acts[0][1].condition is Condition.TERMINATED
    assert any("was booted" in line for line in scene.incident("2").story)


def test_a_stop_that_was_asked_for_before_the_boot_stays_a_stop() -> None:
    """Whoever stops a node and reboots its host wants it to stay stopped."""
    scene = Scene()
    for id_ in scene.nodes:
        scene.edit(id_, boot_id="boot-1")
    scene.run(5)
    scene.operator_stop("2")
    scene.run(5)
    scene.edit("2", stop_requested=False, exit_status=None, invocation=None, boot_id="boot-2")
    scene.run(200)
    assert scene.acted() == []


def test_the_same_boot_is_no_boot() -> None:
    """What is inactive on the same boot waits its two minutes; an unreadable boot id too."""
    for boot in ("boot-1", None):
        scene = booted(boot_id=boot)
        took = scene.until(lambda scene=scene: scene.acts)  # type: ignore[misc]
        assert took >= 120
