"""A bounded command on this machine: how it ends, what is kept of it, who dies with it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from kafka_self_healing.clock import SystemClock
from kafka_self_healing.hosts import CommandOutcome, CommandResult, run_command
from kafka_self_healing.hosts.command import OUTPUT_LIMIT_BYTES, printable
from kafka_self_healing.hosts.readings import read_process


async def run(
    code: str, *, timeout_s: float = 20.0, abandon: bool = False, env: dict[str, str] | None = None
) -> CommandResult:
    """Run Python code as a command."""
    return await run_command(
        [sys.executable, "-c", code],
        timeout_s=timeout_s,
        clock=SystemClock(),
        abandon=abandon,
        env=env,
    )


async def gone(pid: int) -> bool:
    """Wait up to 5 s for a process to end."""
    for _ in range(250):
        process = read_process(pid)
        if process is None or process.state == "Z":
            return True
        await asyncio.sleep(0.02)
    return False


def content(path: Path) -> str:
    """Return what is in a file by now."""
    return path.read_text() if path.exists() else ""


async def written(path: Path) -> str:
    """Wait up to 10 s for a file with content."""
    for _ in range(500):
        if text := content(path):
            return text
        await asyncio.sleep(0.02)
    raise AssertionError(f"{path} was not written")


def children_with(word: bytes) -> list[Path]:
    """Return the children of this process whose command line holds `word`."""
    pids = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    lines = [Path(f"/proc/{pid}/cmdline") for pid in pids]
    return [line for line in lines if word in line.read_bytes()]


async def test_exit_code_and_outputs_are_told() -> None:
    """Exit code, stdout and stderr come back apart; 0 alone is ok."""
    result = await run("import sys; print('out'); sys.stderr.write('err'); sys.exit(3)")
    assert (result.outcome, result.exit_code) == (CommandOutcome.EXITED, 3)
    assert (result.stdout, result.stderr, result.ok) == ("out\n", "err", False)
    assert (await run("pass")).ok


async def test_signal_is_no_exit_code() -> None:
    """A command that dies of a signal has a signal and no exit code."""
    result = await run("import os; os.kill(os.getpid(), 9)")
    assert (result.outcome, result.signal, result.exit_code) == (CommandOutcome.SIGNALLED, 9, None)


async def test_program_that_does_not_exist_is_not_started() -> None:
    """A missing program is a result that says that nothing happened."""
    result = await run_command(["/no/such/program"], timeout_s=1.0, clock=SystemClock())
    assert result.outcome is CommandOutcome.NOT_STARTED
    assert "/no/such/program" in result.stderr


async def test_timeout_kills_the_whole_group(tmp_path: Path) -> None:
    """At the time limit the command dies with the children that it left in its group."""
    note = tmp_path / "child"
    code = (
        "import subprocess, sys, time, pathlib\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"pathlib.Path({str(note)!r}).write_text(str(child.pid)); time.sleep(60)"
    )
    running = asyncio.create_task(run(code, timeout_s=2.0))
    child = int(await written(note))
    result = await running
    assert result.outcome is CommandOutcome.TIMED_OUT
    assert (result.exit_code, result.signal) == (None, None)
    assert await gone(child)


async def test_what_may_not_be_killed_is_unknown_at_its_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A program that sudo made root's goes on: nothing raises, and nobody calls it killed."""

    def refuse(_group: int, _number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "killpg", refuse)
    result = await run("import time; time.sleep(4)", timeout_s=0.5)
    assert result.outcome is CommandOutcome.UNKNOWN


@pytest.mark.parametrize("cancelled", [False, True])
async def test_abandoned_command_is_left_alone(tmp_path: Path, *, cancelled: bool) -> None:
    """A START over its limit, or whose caller gives up, is unknown and goes on, output and all."""
    note, end = tmp_path / "pid", tmp_path / "end"
    code = (
        "import os, time, pathlib\n"
        f"pathlib.Path({str(note)!r}).write_text(str(os.getpid()))\n"
        f"end = pathlib.Path({str(end)!r})\n"
        "while not end.exists(): print('still here', flush=True); time.sleep(0.02)"
    )
    running = asyncio.create_task(run(code, timeout_s=60.0 if cancelled else 1.0, abandon=True))
    pid = int(await written(note))
    if cancelled:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    else:
        result = await running
        assert result.outcome is CommandOutcome.UNKNOWN
        assert "still here" in result.stdout
    await asyncio.sleep(0.2)
    process = read_process(pid)
    assert process is not None
    assert process.state in "RSD"
    end.write_text("now")
    assert await gone(pid)


async def test_cancelled_command_dies() -> None:
    """A command that is no START dies with the task that waited for it."""
    running = asyncio.create_task(run("import time; time.sleep(61.5)"))
    await asyncio.sleep(0.3)
    assert children_with(b"61.5")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()
    assert not children_with(b"61.5")


async def test_daemon_that_keeps_the_output_open_delays_nobody() -> None:
    """A child that holds our pipe open does not keep us from the exit code of its parent."""
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(20)'])\n"
        "print(child.pid, flush=True)"
    )
    began = SystemClock().now().mono_s
    result = await run(code)
    assert result.ok
    assert SystemClock().now().mono_s - began < 10
    os.kill(int(result.stdout), signal.SIGKILL)


async def test_ten_megabytes_are_cut() -> None:
    """Of 10 MB only the first 64 KiB are kept, the rest is drained, and it is said."""
    result = await run("import sys; sys.stdout.write('x' * 10_000_000)")
    assert result.ok
    assert (len(result.stdout), result.truncated) == (OUTPUT_LIMIT_BYTES, True)


def test_binary_and_terminal_escapes_are_made_printable() -> None:
    """Escapes, bells, broken UTF-8 and odd separators cannot act on who reads them; text stays."""
    raw = "Grüße\t1\n".encode() + b"\x1b[31mred\x07\xff\x00" + "\u2028\u202e".encode()
    text = printable(raw)
    assert text == "Grüße\t1\n\\x1b[31mred\\x07\\xff\\x00\\u2028\\u202e"


async def test_environment_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command gets a PATH, a locale and what was given, but not our environment."""
    monkeypatch.setenv("KAFKA_SELF_HEALING_SECRET", "hunter2")
    result = await run("import os; print(sorted(os.environ.items()))", env={"TOKEN": "7"})
    assert "hunter2" not in result.stdout
    assert "'TOKEN', '7'" in result.stdout
    assert "'PATH'" in result.stdout
