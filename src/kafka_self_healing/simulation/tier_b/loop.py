"""An asyncio loop whose time jumps: to what the world does next, or to the next timer.

The loop *is* the time: the world's agenda and every timer of the daemon read the same number, and
`VirtualClock` only shows it through the daemon's `Clock`. That is no port of the daemon's: nothing
of it is replaced, it runs on another loop.

Callbacks belong to simulated processes, told apart by a context variable that tasks and timers
inherit. A process can be frozen (nothing of it runs), thawed, or dropped: that is a SIGKILL, after
which no line of its code runs, no `finally` either.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio import base_events
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any, Final, NoReturn

from kafka_self_healing.instant import Instant
from kafka_self_healing.simulation.agenda import Agenda

BEGAN_UTC_S: Final = 1.7e9
MOST_TURNS: Final = 100_000
"""Turns of the loop at one moment; more than that is an endless loop."""

NOBODY: Final = 0
"""The simulation itself; processes have numbers from 1."""

PROCESS: ContextVar[int] = ContextVar("PROCESS", default=NOBODY)


class Deadlock(RuntimeError):
    """Nothing is due, and nothing ever will be; or something runs for ever without time passing."""


class _Frozen:
    """What a process that does not run would run: callbacks that are due, and its timers."""

    def __init__(self, at: float) -> None:
        self.at = at
        self.ready: list[asyncio.Handle] = []
        self.timers: list[asyncio.TimerHandle] = []


class VirtualLoop(base_events.BaseEventLoop):
    """The loop of one simulated run. It has no sockets, no threads, no signals."""

    def __init__(self, agenda: Agenda) -> None:
        super().__init__()
        self.agenda = agenda
        self._selector = self  # it asks for what is ready, and would wait there
        self._frozen: dict[int, _Frozen] = {}
        self._turns = 0
        self._endless: list[asyncio.Future[None]] = []
        self._ready: Any
        self._scheduled: list[asyncio.TimerHandle]

    def time(self) -> float:
        """Return virtual seconds since the beginning of the run."""
        return self.agenda.now

    # --- the jump -----------------------------------------------------------------------------

    def select(self, timeout: float | None) -> list[Any]:
        """Let the world go on, or jump to the next timer. Called by the loop instead of waiting."""
        if timeout is not None and timeout <= 0:
            self._turns += 1
            if self._turns > MOST_TURNS:
                self._turns = 0
                raise Deadlock(f"{MOST_TURNS} turns of the loop at {self.time():.6f} s")
            return []
        self._turns = 0
        timer = self._scheduled[0].when() if self._scheduled else None
        event = self.agenda.next_at
        if event is not None and (timer is None or event <= timer):
            self.agenda.run(event)
        elif timer is not None:
            self.agenda.now = max(self.agenda.now, timer)
        else:
            raise Deadlock("every task waits, and nothing is due")
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        assert not event_list

    def _write_to_self(self) -> None:
        """Nobody waits, so nobody has to be woken."""

    async def never(self) -> NoReturn:
        """Wait for ever. Such a task is kept, as a kernel would keep its socket."""
        future = self.create_future()
        self._endless.append(future)
        await future
        raise AssertionError("for ever has ended")

    async def sweep(self) -> None:
        """Cancel whatever still runs or waits, until nothing does."""
        for _ in range(5):
            left = asyncio.all_tasks(self) - {asyncio.current_task(self)}
            if not left:
                return
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=60.0)

    # --- processes ----------------------------------------------------------------------------

    def context_of(self, process: int) -> Context:
        """Return the context in which the tasks of a process are made."""
        context = copy_context()
        context.run(PROCESS.set, process)
        return context

    def freeze(self, process: int) -> None:
        """Run nothing of this process until it is thawed."""
        if process in self._frozen:
            return
        frozen = self._frozen[process] = _Frozen(self.time())
        frozen.ready = [handle for handle in self._ready if _owner(handle) == process]
        frozen.timers = [handle for handle in self._scheduled if _owner(handle) == process]
        # The loop counts what is ready before it runs it: the places stay, with nothing in them.
        for place, handle in enumerate(self._ready):
            if _owner(handle) == process:
                self._ready[place] = asyncio.Handle(_nothing, (), self)
        self._scheduled[:] = [h for h in self._scheduled if _owner(h) != process]
        heapq.heapify(self._scheduled)

    def thaw(self, process: int) -> None:
        """Let it go on. Its timers stood still, as they do while a machine is suspended."""
        frozen = self._frozen.pop(process, None)
        if frozen is None:
            return
        slept = self.time() - frozen.at
        self._ready.extend(frozen.ready)
        for timer in frozen.timers:
            timer._when += slept  # type: ignore[attr-defined]  # noqa: SLF001
            heapq.heappush(self._scheduled, timer)

    def _call_soon(
        self, callback: Callable[..., object], args: Any, context: Context | None
    ) -> asyncio.Handle:
        handle: asyncio.Handle = super()._call_soon(callback, args, context)  # type: ignore[misc]
        if self._frozen:
            frozen = self._frozen.get(_owner(handle))
            if frozen is not None:
                self._ready.pop()
                frozen.ready.append(handle)
        return handle

    # --- what there is not --------------------------------------------------------------------

    def run_in_executor(self, *_arguments: Any) -> NoReturn:  # type: ignore[override]
        """Threads are no part of a run that can be repeated."""
        raise AssertionError("a thread was asked for in the simulation")

    async def create_connection(self, *_arguments: Any, **_how: Any) -> NoReturn:
        """Nothing leaves the simulation."""
        raise AssertionError("a connection was asked for in the simulation")

    async def sock_connect(self, *_arguments: Any) -> NoReturn:
        """Nothing leaves the simulation."""
        raise AssertionError("a socket was connected in the simulation")

    async def subprocess_exec(self, *_arguments: Any, **_how: Any) -> NoReturn:
        """Nothing leaves the simulation."""
        raise AssertionError("a program was started in the simulation")


class VirtualClock:
    """The loop's time as the daemon's `Clock`; `offset_s`: what UTC was set by (seconds)."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.offset_s = 0.0

    def now(self) -> Instant:
        """Return the loop's time on both clocks."""
        now = self._loop.time()
        return Instant(now, BEGAN_UTC_S + now + self.offset_s)

    async def sleep(self, seconds: float) -> None:
        """Wait in the loop's time."""
        await asyncio.sleep(seconds)  # noqa: TID251  the loop is the time


def _nothing() -> None:
    pass


def _owner(handle: asyncio.Handle) -> int:
    return handle._context.get(PROCESS, NOBODY)  # type: ignore[attr-defined, no-any-return]  # noqa: SLF001
