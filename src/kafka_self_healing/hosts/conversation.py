"""A conversation with a program: what it is told, when it is told more, when it has said all.

The program is a client (ssh) whose other end does the work. So killing it at the time limit harms
nothing, and what matters is how far it got: whether the order was given, whether an end was heard.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kafka_self_healing.clock import Clock
from kafka_self_healing.hosts.child import Child
from kafka_self_healing.hosts.command import drain
from kafka_self_healing.hosts.outputs import OUTPUT_LIMIT_BYTES, Pipe, printable

_WINDOW: Final = 512
"""How far apart the two halves of a mark may come in (bytes)."""

_FAREWELL_S: Final = 0.2
"""How long a client that has said all may take to end by itself (seconds)."""


@dataclass(frozen=True, slots=True)
class Talk:
    """What is said: `opening` at once; `order` once `ready` was heard (b"" = there is no order).

    The answer is complete with the line that begins with `end`.
    """

    opening: bytes
    end: bytes
    ready: bytes = b""
    order: bytes = b""


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard. `ordered`: whether the order was given, or may have been.

    `closing`: the line that begins with `end`, without it; None: it was not heard. `first_at`:
    boot-clock second of the first output; `exit_code`: of the client, minus N for signal N; None:
    it had not ended and was killed.
    """

    stdout: bytes
    stderr: str
    ordered: bool
    closing: bytes | None
    first_at: float | None
    exit_code: int | None
    truncated: bool


class _Ear:
    """Follows the output of the program, mark by mark."""

    def __init__(self, talk: Talk, clock: Clock) -> None:
        self._talk, self._clock, self._window = talk, clock, b""
        self.ready, self.over = asyncio.Event(), asyncio.Event()
        self.closing: bytes | None = None
        self.first_at: float | None = None

    def hear(self, chunk: bytes) -> None:
        if not chunk:
            self.over.set()
            return
        if self.first_at is None:
            self.first_at = self._clock.now().mono_s
        heard = self._window + chunk
        if self._talk.ready and self._talk.ready in heard:
            self.ready.set()
        at = heard.rfind(self._talk.end)
        if at >= 0:
            line, newline, _ = heard[at + len(self._talk.end) :].partition(b"\n")
            if newline:
                self.closing = line
                self.over.set()
        self._window = heard[-_WINDOW:]


class _Mouth:
    """Writes to the program's standard input without ever blocking the loop."""

    def __init__(self) -> None:
        self.read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)
        self._loop = asyncio.get_running_loop()
        self._left = bytearray()
        self._last = False

    def say(self, text: bytes, *, last: bool) -> None:
        """Write `text`; after the last one the pipe is closed."""
        self._left += text
        self._last = last
        self._loop.add_writer(self._write_end, self._writable)

    def _writable(self) -> None:
        try:
            written = os.write(self._write_end, self._left) if self._left else 0
        except BlockingIOError:
            return
        except BrokenPipeError:  # it listens no more; its exit says the rest
            self._left.clear()
            self._last = True
            written = 0
        del self._left[:written]
        if not self._left:
            self._loop.remove_writer(self._write_end)
            if self._last:
                self.close()

    def close(self) -> None:
        """Give the descriptor back; the program sees the end of its input."""
        if self._write_end >= 0:
            self._loop.remove_writer(self._write_end)
            os.close(self._write_end)
            self._write_end = -1


async def converse(
    argv: Sequence[str],
    talk: Talk,
    *,
    timeout_s: float,
    clock: Clock,
    env: Mapping[str, str],
    keep: int = OUTPUT_LIMIT_BYTES,
) -> Heard:
    """Talk to `argv` for at most `timeout_s` seconds; `keep` bytes of each output are kept.

    `env` is its whole environment. Raises OSError or ValueError: it cannot be run.
    """
    ear = _Ear(talk, clock)
    stdout, stderr, mouth = Pipe(keep=keep, hear=ear.hear), Pipe(), _Mouth()
    child: Child | None = None
    try:
        try:
            child = Child(
                argv,
                stdin=mouth.read_end,
                stdout=stdout.write_end,
                stderr=stderr.write_end,
                env=env,
            )
        finally:
            for end in (mouth.read_end, stdout.write_end, stderr.write_end):
                os.close(end)
        mouth.say(talk.opening, last=not talk.ready)
        ordered = await _listen(ear, mouth, talk, child, timeout_s)
        code = await _end(child, at_once=not ear.over.is_set())
        child = None
        if code is not None:
            # The kept connection holds the outputs of a client that was killed: nothing ends them.
            await drain((stdout, stderr))
        return Heard(
            bytes(stdout.data),
            printable(bytes(stderr.data)),
            ordered,
            ear.closing,
            ear.first_at,
            code,
            stdout.truncated or stderr.truncated,
        )
    finally:
        mouth.close()
        stdout.close()
        stderr.close()
        if child is not None:
            await child.kill()


async def _listen(ear: _Ear, mouth: _Mouth, talk: Talk, child: Child, timeout_s: float) -> bool:
    """Listen until all is said, the program ends, or the time is over; say whether we ordered."""
    ordered = not talk.ready
    ready = asyncio.ensure_future(ear.ready.wait())
    over = asyncio.ensure_future(ear.over.wait())
    try:
        async with asyncio.timeout(timeout_s):
            if not ordered:
                await _first(ready, over, child.ended)
                if ready.done() and not over.done():
                    ordered = True
                    mouth.say(talk.order, last=True)
            await _first(over, child.ended)
    except TimeoutError:
        pass
    finally:
        ready.cancel()
        over.cancel()
    return ordered


async def _first(*futures: asyncio.Future[Any]) -> None:
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)


async def _end(child: Child, *, at_once: bool) -> int | None:
    """Have the client ended: by itself if it has said all, else by a signal."""
    if not at_once:
        await asyncio.wait({child.ended}, timeout=_FAREWELL_S)
    if child.ended.done():
        return child.reap()
    await child.kill()
    return None
