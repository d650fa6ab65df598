"""The live screen: the table of nodes and the newest lines fit a terminal."""

from __future__ import annotations

import io

from rich.console import Console

from kafka_self_healing.demo.screen import (
    Happening,
    LiveScreen,
    PlainScreen,
    node_table,
    screen_for,
)

ROW = {
    "node": "2",
    "state": "PROCESS_GONE",
    "process": "ended",
    "answers": False,
    "counted_in": True,
    "in_sync": None,
    "leads": False,
    "recovery": "about 4 s to go",
}


def console(height: int = 24) -> Console:
    """A terminal that is a text."""
    return Console(file=io.StringIO(), force_terminal=True, width=120, height=height)


def test_table_says_yes_no_and_unknown() -> None:
    """True, False and not known are three different words."""
    terminal = console()

    terminal.print(node_table([ROW]))

    assert isinstance(terminal.file, io.StringIO)
    text = terminal.file.getvalue()
    assert all(word in text for word in ("PROCESS_GONE", "no", "yes", "?", "about 4 s to go"))


def test_live_picture_keeps_the_newest_lines() -> None:
    """What does not fit the terminal is the oldest, and closing twice is no harm."""
    terminal = console(height=20)
    screen = LiveScreen(terminal)
    screen.open("demo --fault crash")
    screen.show([ROW])
    for number in range(50):
        screen.tell(Happening(float(number), "healer", f"line {number}."))
    screen.close()
    screen.close()

    assert isinstance(terminal.file, io.StringIO)
    last = terminal.file.getvalue().rpartition("demo --fault crash")[2]
    assert "line 49." in last
    assert "line 40." not in last


def test_a_file_gets_plain_lines() -> None:
    """Only a terminal gets the live screen."""
    assert isinstance(screen_for(io.StringIO()), PlainScreen)
