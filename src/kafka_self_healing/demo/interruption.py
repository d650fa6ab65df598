"""Ends a run on SIGINT, SIGTERM or SIGHUP: surely, and without disturbing the tidying up."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, Self

AGAIN_S: Final = 0.1


class Interrupted(KeyboardInterrupt):
    """A signal asked us to end; everything is put away before this is seen."""


class Interruption:
    """A signal that asked us to end, remembered until it has been answered.

    A handler runs wherever the program just is. Inside a `__del__` or a weakref's callback Python
    prints what it raises and goes on: the signal would be lost. So it is raised again every 0.1 s
    while the block `with interruption:` lasts; the end of that block shows that it has travelled.
    Outside the block it is only remembered: nothing disturbs the tidying up.
    """

    def __init__(self) -> None:
        self.name = ""
        self._is_open = False

    def __enter__(self) -> Self:
        self._is_open = True
        return self

    def __exit__(self, *_: object) -> None:
        self._is_open = False

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Take the signal; further ones are ignored. Raises Interrupted inside the block."""
        for one in _numbers():
            signal.signal(one, signal.SIG_IGN)
        self.name = signal.Signals(number).name
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S, AGAIN_S)
        self.answer(number, frame)

    def answer(self, _number: int, frame: FrameType | None) -> None:
        """Raise Interrupted, if it may be raised here; not at the block's own edges."""
        edges = (Interruption.__enter__.__code__, Interruption.__exit__.__code__)
        if self._is_open and (frame is None or frame.f_code not in edges):
            raise Interrupted(self.name)


def _numbers() -> list[signal.Signals]:
    """Return the signals that ask us to end: no SIGHUP where `nohup` asked us to stay."""
    stays = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([] if stays else [signal.SIGHUP])]


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Listen to the signals that ask us to end; the handlers of before are put back at the end.

    Raises Interrupted at the end if a signal came and nothing else is raised.
    """
    interruption = Interruption()
    before = {number: signal.signal(number, interruption.hear) for number in _numbers()}
    before[signal.SIGALRM] = signal.signal(signal.SIGALRM, interruption.answer)
    try:
        yield interruption
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
    if interruption.name:
        raise Interrupted(interruption.name)
