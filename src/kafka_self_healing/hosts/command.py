"""One bounded command: an argument list, never a shell; a time limit, an output limit, a session.

The process leads a session and a process group of its own. At the time limit the whole group is
killed, except for a START (`abandon=True`): what it started may be the broker, and a broker dies
with its starter's group. It is left alone then, and the result says that its end is unknown.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import IO

from kafka_self_healing.clock import Clock

OUTPUT_LIMIT_BYTES = 64 * 1024
"""How much of each of stdout and stderr is kept; the rest is read and thrown away."""

_DRAIN_S = 0.25  # a child that inherited our pipe must not keep us from the exit code
_REAP_S = 2.0  # a process in state D does not die of KILL: we go on without it
_CHUNK = 65536
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class CommandOutcome(StrEnum):
    """How a command ended."""

    EXITED = "exited"
    SIGNALLED = "signalled"
    TIMED_OUT = "timed_out"
    """The time limit passed and its process group was killed."""
    UNKNOWN = "unknown"
    """The time limit passed and it was left running."""
    NOT_STARTED = "not_started"
    """The program does not exist or may not be run; nothing happened."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What came of one command. Times: boot-clock seconds; outputs: printable and capped."""

    argv: tuple[str, ...]
    outcome: CommandOutcome
    started: float
    ended: float
    exit_code: int | None = None
    signal: int | None = None
    stdout: str = ""
    stderr: str = ""
    truncated: bool = False

    @property
    def ok(self) -> bool:
        """Whether it exited with code 0 within its time limit."""
        return self.outcome is CommandOutcome.EXITED and self.exit_code == 0


def printable(data: bytes) -> str:
    """Return `data` as text in which no control character and no broken byte is left.

    New lines and tabs stay; everything else below a space, DEL and bytes that are no UTF-8 become
    `\\xNN`, so that terminal escapes cannot act in a log or a mail.
    """
    text = data.decode("utf-8", errors="backslashreplace").replace("\r\n", "\n")
    return "".join(c if c.isprintable() or c in "\n\t" else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def minimal_environment(given: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a command: a PATH, HOME, a locale, and what was given."""
    kept = {key: os.environ[key] for key in ("HOME", "USER", "TZ") if key in os.environ}
    path = os.environ.get("PATH", _DEFAULT_PATH)
    return {"PATH": path, "LANG": "C.UTF-8", **kept, **(given or {})}


class _Pipe:
    """Reads one output to its end and keeps its beginning."""

    def __init__(self) -> None:
        self._read_end, self.write_end = os.pipe()
        self.data = bytearray()
        self.truncated = False
        self.ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        os.set_blocking(self._read_end, False)
        self._loop.add_reader(self._read_end, self._readable)

    def _readable(self) -> None:
        try:
            chunk = os.read(self._read_end, _CHUNK)
        except BlockingIOError:
            return
        room = OUTPUT_LIMIT_BYTES - len(self.data)
        self.data += chunk[:room]
        self.truncated = self.truncated or len(chunk) > room
        if not chunk:
            self._loop.remove_reader(self._read_end)
            self.ended.set()

    def close(self) -> None:
        """Stop reading and give the descriptor back."""
        self._loop.remove_reader(self._read_end)
        os.close(self._read_end)


class _File:
    """An output kept in a file without a name: its writer may outlive us without being harmed."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="kheal-")  # noqa: SIM115 - see close
        self.write_end = os.dup(self._file.fileno())
        self.ended = asyncio.Event()
        self.ended.set()

    @property
    def data(self) -> bytes:
        """The beginning of what was written so far."""
        return os.pread(self._file.fileno(), OUTPUT_LIMIT_BYTES, 0)

    @property
    def truncated(self) -> bool:
        """Whether more was written than is kept."""
        return os.fstat(self._file.fileno()).st_size > OUTPUT_LIMIT_BYTES

    def close(self) -> None:
        """Give our descriptor back."""
        self._file.close()


async def run_command(
    argv: Sequence[str],
    *,
    timeout_s: float,
    clock: Clock,
    env: Mapping[str, str] | None = None,
    abandon: bool = False,
) -> CommandResult:
    """Run `argv` for at most `timeout_s` seconds and return how it ended; it raises nothing.

    `env` is added to a minimal environment. `abandon`: at the time limit, or when this call is
    cancelled, leave the process running instead of killing its group.
    """
    assert argv, "a command has at least a program"
    started = clock.now().mono_s
    outputs: tuple[_Pipe | _File, _Pipe | _File] = (
        (_File(), _File()) if abandon else (_Pipe(), _Pipe())
    )
    try:
        try:
            process = _spawn(argv, outputs, env)
        except (OSError, ValueError) as wrong:
            message = f"cannot run {argv[0]}: {wrong}"
            return CommandResult(
                tuple(argv),
                CommandOutcome.NOT_STARTED,
                started,
                clock.now().mono_s,
                stderr=printable(message.encode()),
            )
        outcome = await _await_end(process, timeout_s, abandon=abandon)
        if outcome is not CommandOutcome.UNKNOWN:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_DRAIN_S):
                    await asyncio.gather(*(output.ended.wait() for output in outputs))
        return _result(argv, outcome, process.returncode, outputs, (started, clock.now().mono_s))
    finally:
        for output in outputs:
            output.close()


def _spawn(
    argv: Sequence[str],
    outputs: tuple[_Pipe | _File, _Pipe | _File],
    env: Mapping[str, str] | None,
) -> subprocess.Popen[bytes]:
    # Not asyncio's subprocess: its transport kills the child when it is collected.
    try:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=outputs[0].write_end,
            stderr=outputs[1].write_end,
            env=minimal_environment(env),
            start_new_session=True,
        )
    finally:
        for output in outputs:
            os.close(output.write_end)


async def _await_end(
    process: subprocess.Popen[bytes], timeout_s: float, *, abandon: bool
) -> CommandOutcome:
    ended = _watch(process)
    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.shield(ended)
    except TimeoutError:
        if abandon:
            _reap_some_day(process)
            return CommandOutcome.UNKNOWN
        await _kill_group(process, ended)
        return CommandOutcome.TIMED_OUT
    except asyncio.CancelledError:
        if abandon:
            _reap_some_day(process)
        else:
            await _kill_group(process, ended)
        raise
    code = process.wait()
    return CommandOutcome.EXITED if code >= 0 else CommandOutcome.SIGNALLED


def _watch(process: subprocess.Popen[bytes]) -> asyncio.Future[None]:
    """Return a future that ends with the process. The process is not reaped by it.

    So its pid, and with it its group's number, stays its own until we are done with signals.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not ended.done():
            ended.set_result(None)

    def wait() -> None:
        with contextlib.suppress(ChildProcessError):  # reaped by whoever gave up on it
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants to know
            loop.call_soon_threadsafe(tell)

    threading.Thread(target=wait, name=f"wait-{process.pid}", daemon=True).start()
    return ended


async def _kill_group(process: subprocess.Popen[bytes], ended: asyncio.Future[None]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    try:
        async with asyncio.timeout(_REAP_S):
            await asyncio.shield(ended)
    except TimeoutError:
        _reap_some_day(process)
        return
    process.wait()


def _reap_some_day(process: subprocess.Popen[bytes]) -> None:
    """Leave no zombie of a process that nobody waits for, whatever becomes of the event loop."""
    name = f"reap-{process.pid}"
    threading.Thread(target=process.wait, name=name, daemon=True).start()


def _result(
    argv: Sequence[str],
    outcome: CommandOutcome,
    code: int | None,
    outputs: tuple[_Pipe | _File, _Pipe | _File],
    span: tuple[float, float],
) -> CommandResult:
    return CommandResult(
        argv=tuple(argv),
        outcome=outcome,
        started=span[0],
        ended=span[1],
        exit_code=code if outcome is CommandOutcome.EXITED else None,
        signal=-code if outcome is CommandOutcome.SIGNALLED and code is not None else None,
        stdout=printable(bytes(outputs[0].data)),
        stderr=printable(bytes(outputs[1].data)),
        truncated=any(output.truncated for output in outputs),
    )
