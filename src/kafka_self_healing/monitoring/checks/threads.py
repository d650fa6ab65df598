"""`Threads`: other people's blocking clients, one thread a node, never waited for too long."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

from kafka_self_healing.errors import CheckError
from kafka_self_healing.model.evidence import Outcome

T = TypeVar("T")


class Threads:
    """Runs blocking work off the event loop, in daemon threads.

    The work sets its own time limit; a thread that misses it all the same is left behind, and its
    key gets no other one until it has come back.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._busy: set[str] = set()

    async def run(self, key: str, work: Callable[[], T], *, timeout_s: float) -> T:
        """Return what `work` returns, or raise what it raises, after `timeout_s` at most.

        Raises CheckError (timed out) at the limit, or while an earlier run of `key` goes on.
        """
        if key in self._busy:
            raise CheckError(
                Outcome.TIMED_OUT, f"{self._name}: an earlier look has not come back yet"
            )
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._busy.add(key)

        def tell(value: T | None, error: BaseException | None) -> None:
            self._busy.discard(key)
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(value)  # type: ignore[arg-type]  # T may be None

        def run() -> None:
            value: T | None = None
            error: BaseException | None = None
            try:
                value = work()
            except CheckError as wrong:
                error = wrong
            finally:
                # Whatever else is under way is a bug: the look hears of it, and so does the log.
                error = error or sys.exception()
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants to know
                    loop.call_soon_threadsafe(tell, value, error)

        threading.Thread(target=run, name=f"{self._name} {key}", daemon=True).start()
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            raise CheckError(
                Outcome.TIMED_OUT, f"{self._name}: no answer within {timeout_s:g} s"
            ) from None
