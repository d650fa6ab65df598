"""A signal that asks the demo to end is never lost, and what tidies up is left alone."""

from __future__ import annotations

import os
import signal
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from click.testing import CliRunner

from kafka_self_healing.cli.main import cli
from kafka_self_healing.demo import tour
from kafka_self_healing.demo.folder import RunFolder
from kafka_self_healing.demo.interruption import AGAIN_S, Interrupted, interruptible

LONG_S = 10.0
SEVERAL_TIMES_S = 2.5 * AGAIN_S


@pytest.fixture(autouse=True)
def _hang_up_counts() -> Iterator[None]:
    """Even where the tests were started with nohup, which ignores it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


class Doomed:
    """Sends us a signal where Python ignores what is raised."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        self.number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self.number)


class Referred:
    """May be referred to weakly."""


def by_del() -> None:
    """Lose a signal in a `__del__`."""
    Doomed()


def by_weakref() -> None:
    """Lose a signal in a weakref's callback."""
    one = Referred()
    watch = weakref.ref(one, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    del one
    assert watch() is None


def by_except() -> None:
    """Lose a signal to code that catches everything."""
    try:
        os.kill(os.getpid(), signal.SIGINT)
        wait(LONG_S)
    except BaseException:  # noqa: BLE001 - as others' code has it
        pass


LOSE: list[Callable[[], None]] = [by_del, by_weakref, by_except]


def wait(seconds: float) -> None:
    """Wait as the demo does, for something that does not come."""
    Event().wait(seconds)


@pytest.fixture
def ignored(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """What Python printed and ignored."""
    seen: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda one: seen.append(one.exc_type))
    yield seen
    assert set(seen) <= {Interrupted}


@pytest.mark.parametrize("lose", LOSE)
def test_a_signal_that_was_ignored_comes_again(
    lose: Callable[[], None], ignored: list[object]
) -> None:
    """Raised in `__del__`, in a weakref's callback or caught by others: the next wait ends."""

    def run() -> None:
        with interruptible() as interruption, interruption:
            lose()
            assert bool(ignored) == (lose is not by_except)
            wait(LONG_S)

    with pytest.raises(Interrupted):
        run()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_tidying_up_is_left_alone(number: int) -> None:
    """It is neither interrupted by the same signal again nor by further ones, and all is put back.

    What the handlers were before, they are again.
    """
    tidied: list[str] = []

    def tidy() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        wait(SEVERAL_TIMES_S)
        tidied.append("all")

    def run() -> None:
        with interruptible() as interruption, ExitStack() as stack, interruption:
            stack.callback(tidy)
            os.kill(os.getpid(), number)
            wait(LONG_S)

    before = [signal.getsignal(one) for one in signal.valid_signals()]
    with pytest.raises(Interrupted, match=signal.Signals(number).name):
        run()
    assert tidied == ["all"]
    assert [signal.getsignal(one) for one in signal.valid_signals()] == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_signal_outside_the_block_is_answered_at_the_end() -> None:
    """What comes while all is put away after a good run is not forgotten."""
    done: list[str] = []

    def run() -> None:
        with interruptible() as interruption:
            with interruption:
                pass
            os.kill(os.getpid(), signal.SIGTERM)
            wait(SEVERAL_TIMES_S)
            done.append("put away")

    with pytest.raises(Interrupted, match="SIGTERM"):
        run()
    assert done == ["put away"]


def test_an_error_is_not_hidden_by_a_late_signal() -> None:
    """A run that fails tells why, though a signal came while it was put away."""

    def run() -> None:
        with interruptible() as interruption:
            try:
                with interruption:
                    raise ValueError("why")
            finally:
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(ValueError, match="why"):
        run()


@pytest.mark.parametrize("lose", LOSE)
def test_the_tour_ends_with_130_and_puts_everything_away(
    lose: Callable[[], None],
    ignored: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However the signal was lost: what had been started is ended, the folder is free again."""
    events: list[str] = []

    def raise_cluster(_wishes: Any, _folder: Any, _stream: Any, stack: ExitStack) -> None:
        stack.callback(lambda: events.append("ended"))
        events.append("started")
        lose()
        wait(LONG_S)
        events.append("lost")

    monkeypatch.setattr(tour, "_raise_cluster", raise_cluster)
    done = CliRunner().invoke(cli, ["demo", "--dir", str(tmp_path / "demo")])
    assert (done.exit_code, events) == (130, ["started", "ended"])
    assert "nothing is left running" in done.output
    assert bool(ignored) == (lose is not by_except)
    with RunFolder.claim(tmp_path / "demo"):
        pass
