"""Service manager systemd by what a real one said: states, endings, requests to stop."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.hosts.recorded_programs import SYSTEMD, asked, put_systemd
from tests.unit.hosts.ssh_server import ssh_world

from kafka_self_healing.clock import SystemClock
from kafka_self_healing.errors import CheckError
from kafka_self_healing.hosts import CommandOutcome, LocalHost, SshHost, SystemdServiceManager
from kafka_self_healing.hosts.run_dir import RunDirectory
from kafka_self_healing.hosts.service_systemd import seconds
from kafka_self_healing.hosts.systemd_journal import (
    JOURNAL_LINES,
    STOPPING,
    JournalLine,
    stop_asked,
)
from kafka_self_healing.model.access import SystemdService
from kafka_self_healing.model.evidence import Outcome, ServiceFact

LIMIT_S = 20.0
STARTED = "39f53479d3a045ac8e11786248231fbf"


@pytest.fixture
def bin_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is first in the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def manager(unit: str = "kafka", address: str = "127.0.0.1") -> SystemdServiceManager:
    """Return the manager of a unit of this machine."""
    return SystemdServiceManager(SystemdService(unit), LocalHost(SystemClock()), (), address)


async def status(folder: Path, situation: dict[str, Any]) -> ServiceFact:
    """Return what is made of a situation."""
    put_systemd(folder, situation)
    return await manager().status(timeout_s=LIMIT_S)


ENDINGS = {
    # situation: active, sub, result, code, exit status, signal, stop asked for
    "killed": ("failed", "failed", "signal", "killed", None, 9, False),
    "stray_term": ("inactive", "dead", "success", "exited", 143, None, False),
    "stopped": ("inactive", "dead", "success", "exited", 143, None, True),
    "stopped_without_success_143": ("failed", "failed", "exit-code", "exited", 143, None, True),
    "stop_timed_out": ("failed", "failed", "timeout", "killed", None, 9, True),
    "exit_1": ("failed", "failed", "exit-code", "exited", 1, None, False),
    "start_limit": ("failed", "failed", "exit-code", "exited", 1, None, False),
    "disabled_stopped": ("failed", "failed", "exit-code", "exited", 143, None, True),
    "disabled_stray_term": ("inactive", "dead", "success", None, None, None, False),
    "journal_not_permitted": ("inactive", "dead", "success", None, None, None, None),
}


@pytest.mark.parametrize("name", ENDINGS)
async def test_how_a_process_ended_and_whether_it_was_told_to(name: str, bin_: Path) -> None:
    """A stop is a request that systemd wrote down, whatever the exit code says."""
    fact = await status(bin_, SYSTEMD[name])
    assert (
        fact.active, fact.sub, fact.result, fact.code,
        fact.exit_status, fact.signal, fact.stop_requested,
    ) == ENDINGS[name]  # fmt: skip
    assert (fact.pid, fact.tracer_pid, fact.job) == (0, 0, "")


async def test_a_running_unit_needs_no_journal(bin_: Path) -> None:
    """While it is active one call of systemctl tells all; limits are in seconds."""
    fact = await status(bin_, SYSTEMD["running"])
    assert (fact.active, fact.sub, fact.stop_requested) == ("active", "running", False)
    assert fact.pid
    assert len(fact.invocation or "") == 32
    assert (fact.start_limit_s, fact.stop_timeout_s, fact.success_exit) == (10.0, 4.0, ("143",))
    assert (fact.unit_file, fact.restarts, fact.oom_killed) == ("enabled", 0, False)
    assert [line.split()[0] for line in asked(bin_)] == ["show"]


async def test_a_unit_on_its_way_down(bin_: Path) -> None:
    """Deactivating, with the job in the queue and a stop that was asked for."""
    fact = await status(bin_, SYSTEMD["stopping"])
    assert (fact.active, fact.sub, fact.stop_requested) == ("deactivating", "stop-sigterm", True)
    assert str(fact.job).startswith("job ")


async def test_a_unit_that_systemd_starts_again_itself(bin_: Path) -> None:
    """auto-restart has no process and no stop request."""
    fact = await status(bin_, SYSTEMD["auto_restart"])
    assert (fact.active, fact.sub, fact.pid) == ("activating", "auto-restart", 0)
    assert fact.stop_requested is False


@pytest.mark.parametrize(("name", "word"), [("not_found", "not-found"), ("masked", "masked")])
async def test_a_unit_that_is_not_there_or_masked(name: str, word: str, bin_: Path) -> None:
    """Both are words of `unit_file`; of what is not there nothing is said to have succeeded."""
    fact = await status(bin_, SYSTEMD[name])
    assert fact.unit_file == word
    assert fact.result == (None if name == "not_found" else "success")


async def test_a_killed_kernel_victim_and_a_host_that_goes_down(bin_: Path) -> None:
    """oom-kill is the kernel's; while the host shuts down every end was asked for."""
    killed = SYSTEMD["killed"]
    lines = ["Result=oom-kill" if line == "Result=signal" else line for line in killed["show"]]
    assert (await status(bin_, {**killed, "show": lines})).oom_killed is True
    assert (await status(bin_, {**killed, "state": "stopping\n"})).stop_requested is True


async def test_lines_that_were_thrown_away_leave_it_unknown(bin_: Path) -> None:
    """Of a run that systemd knows, the journal must know something, else nothing is claimed."""
    assert (await status(bin_, {**SYSTEMD["killed"], "journal": []})).stop_requested is None
    broken = {**SYSTEMD["killed"], "journal": ["no json", "[1]"]}
    assert (await status(bin_, broken)).stop_requested is None


@pytest.mark.parametrize("journal", [False, True])
async def test_a_dying_unit_without_a_journal(journal: bool, bin_: Path) -> None:
    """With its main process alive it was told to end; without it, it may have crashed: unknown."""
    stopping = dict(SYSTEMD["stopping"])
    if not journal:
        stopping |= {"journal": [], "heard": ""}
    assert (await status(bin_, stopping)).stop_requested is True
    gone = ["MainPID=0" if line.startswith("MainPID=") else line for line in stopping["show"]]
    expected = True if journal else None
    assert (await status(bin_, {**stopping, "show": gone})).stop_requested is expected


def test_a_start_after_the_stop_says_that_it_was_wanted_again() -> None:
    """Also one that failed; lines of other runs do not count."""
    stop, start = JournalLine(STOPPING, "run-1"), JournalLine(STARTED, "run-1")
    other = JournalLine(STOPPING, "run-0")

    def told(*lines: JournalLine, run: str = "run-1") -> bool | None:
        return stop_asked(lines, run, complete=True)

    assert told(start, stop) is True
    assert told(start, stop, start) is False
    assert told(other, start) is False
    assert told(other) is None
    assert told(start, stop, run="") is True
    assert stop_asked((), "", complete=True) is False
    assert stop_asked((), "", complete=False) is None


def test_a_warning_about_the_units_file_hides_no_stop() -> None:
    """It is of no run, and systemd writes it at each look at a unit that it has forgotten."""
    stop, start = JournalLine(STOPPING, "run-1"), JournalLine(STARTED, "run-1")
    warning = JournalLine("", "")
    assert stop_asked((start, stop, warning), "", complete=True) is True
    assert stop_asked((warning,) * JOURNAL_LINES, "", complete=True) is None
    assert stop_asked((warning,), "", complete=True) is False
    old = JournalLine(STOPPING, "")  # a systemd that gives its runs no names
    assert stop_asked((JournalLine(STARTED, ""), old, warning), "", complete=True) is True


@pytest.mark.parametrize(
    ("state", "booted", "expected"),
    [("running", True, False), ("running", False, None), ("starting", False, False)],
)
async def test_a_journal_that_begins_after_the_boot_does_not_deny_a_stop(
    state: str, booted: bool, expected: bool | None, bin_: Path
) -> None:
    """A forgotten unit without a line may have been stopped in what was thrown away."""
    forgotten = SYSTEMD["disabled_stray_term"]
    put_systemd(bin_, {**forgotten, "journal": [], "state": f"{state}\n"})
    if not booted:
        program = bin_ / "journalctl"
        program.write_text(
            program.read_text().replace('case "$*" in\n', 'case "$*" in\n*MESSAGE_ID=*) ;;\n')
        )
    assert (await manager().status(timeout_s=LIMIT_S)).stop_requested is expected


@pytest.mark.parametrize("wrong", [{"journal_rc": 1}, {"journal": ["no json"]}])
async def test_a_journal_that_fails_denies_no_stop(wrong: dict[str, Any], bin_: Path) -> None:
    """That nothing was read of a forgotten unit does not say that there is nothing."""
    forgotten = {**SYSTEMD["disabled_stray_term"], "journal": []}
    assert (await status(bin_, {**forgotten, **wrong})).stop_requested is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1min 30s", 90.0), ("10s", 10.0), ("500ms", 0.5), ("1h 2min", 3720.0), ("0", 0.0),
     ("infinity", None), ("", None), ("soon", None)],
)  # fmt: skip
def test_time_spans_of_systemctl(text: str, expected: float | None) -> None:
    """A span that has no end, or is not understood, is no number."""
    assert seconds(text) == expected


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ("Failed to connect to bus: Permission denied", Outcome.AUTHORISATION),
        ("Failed to get properties: Connection timed out", Outcome.TIMED_OUT),
        ("System has not been booted with systemd as init system", Outcome.PROTOCOL),
    ],
)
async def test_a_systemctl_that_fails_is_an_error(said: str, outcome: Outcome, bin_: Path) -> None:
    """Its own words are told, and no state is claimed."""
    program = bin_ / "systemctl"
    program.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(CheckError, match=r"Failed|System") as caught:
        await manager().status(timeout_s=LIMIT_S)
    assert caught.value.outcome == outcome


async def test_the_four_acts(bin_: Path) -> None:
    """A stop does not wait, and a kill goes to all processes of the unit."""
    put_systemd(bin_, SYSTEMD["running"])
    one = manager()
    for act in (one.start, one.stop, one.kill, one.restart):
        assert (await act(timeout_s=LIMIT_S)).ok
    expected = [
        "start kafka.service",
        "--no-block stop kafka.service",
        "kill -s KILL kafka.service",
        "restart kafka.service",
    ]
    assert asked(bin_) == expected
    assert [" ".join(argv[1:]) for argv in one.privileged()] == expected


async def test_a_unit_of_another_machine_is_not_touched_here(bin_: Path) -> None:
    """Without a way to its host, our own systemd is neither asked nor told anything."""
    put_systemd(bin_, SYSTEMD["running"])
    away = manager(address="192.0.2.1")
    with pytest.raises(CheckError) as caught:
        await away.status(timeout_s=LIMIT_S)
    result = await away.start(timeout_s=LIMIT_S)
    assert caught.value.outcome == Outcome.NOT_ASKED
    assert result.outcome is CommandOutcome.NOT_STARTED
    assert "192.0.2.1" in result.stderr
    assert not any(line.startswith("start") for line in asked(bin_))


async def test_the_log_is_that_of_the_last_run(bin_: Path) -> None:
    """An earlier run's errors must not explain this one's end."""
    put_systemd(bin_, SYSTEMD["killed"])
    one = manager()
    before = one.log(50)
    fact = await one.status(timeout_s=LIMIT_S)
    after = one.log(50)
    assert before is not None
    assert after is not None
    assert before.argv[-2:] == ("-u", "kafka.service")
    assert f"_SYSTEMD_INVOCATION_ID={fact.invocation}" in after.argv


async def test_over_ssh_it_is_one_round_trip_with_sudo_for_the_acts(tmp_path: Path) -> None:
    """The same facts from another machine, in one session; sudo only where something is changed."""
    async with ssh_world(tmp_path / "ssh") as world:
        put_systemd(world.bin, SYSTEMD["stopped"])
        world.program("sudo", 'echo "sudo $*" >>"$0".calls; shift; exec "$@"')
        run_dir = RunDirectory()
        host = SshHost(replace(world.access, sudo=True), SystemClock(), run_dir)
        there = SystemdServiceManager(SystemdService("kafka"), host, (), "192.0.2.1")
        fact = await there.status(timeout_s=LIMIT_S)
        looks = len(world.sessions)
        assert (await there.start(timeout_s=LIMIT_S)).ok
        await host.close()
        run_dir.remove()
        calls = (world.bin / "sudo.calls").read_text().splitlines()
    assert (fact.stop_requested, fact.exit_status, looks) == (True, 143, 1)
    assert fact.boot_id
    assert calls == ["sudo -n /bin/sh -s", "sudo -n systemctl start kafka.service"]


def test_the_recording_is_of_a_real_systemd() -> None:
    """Each journal line that was recorded is one of systemd's own."""
    lines = [json.loads(line) for situation in SYSTEMD.values() for line in situation["journal"]]
    assert len(lines) > 50
    assert all("__REALTIME_TIMESTAMP" in line for line in lines)
