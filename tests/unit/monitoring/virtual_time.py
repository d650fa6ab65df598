"""An event loop whose clock jumps to the next timer when all tasks wait: hours in milliseconds."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from kafka_self_healing.instant import Instant

T = TypeVar("T")


class _Jump(selectors.SelectSelector):
    """Instead of waiting for the next timer it moves the loop's clock there."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Report what is ready; let the time pass that a wait would have taken."""
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "all tasks wait for ever"
            self.now_s += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop; its time begins at 1000 s."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        """Return the virtual time."""
        return self._jump.now_s


class LoopClock:
    """A `Clock` that shows the running loop's time."""

    def now(self) -> Instant:
        """Return the loop's time."""
        seconds = asyncio.get_running_loop().time()
        return Instant(seconds, 1_700_000_000.0 + seconds)

    async def sleep(self, seconds: float) -> None:
        """Wait in the loop's time."""
        await asyncio.sleep(seconds)


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` in virtual time; fail if it leaves a task behind."""
    left: set[asyncio.Task[Any]] = set()

    async def watched() -> T:
        value = await main
        left.update(asyncio.all_tasks() - {asyncio.current_task()})
        return value

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        value = runner.run(watched())
    assert not left, f"tasks left behind: {left}"
    return value
