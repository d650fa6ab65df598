"""What the viewer sees while the demo runs: nodes and timeline, live or as plain lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

COLUMNS: Final = ("node", "state", "process", "answers", "counted_in", "in_sync", "leads")
_TITLES: Final = {"counted_in": "counted in", "in_sync": "in sync"}
_STYLES: Final = {"demo": "bold", "healer": "cyan", "supervisor": "magenta", "mail": "yellow"}
_LINES_KEPT: Final = 200
_LEAST_LINES: Final = 6
_LINES_AROUND: Final = 12

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of the timeline: seconds since the blow (None: before it), who, what."""

    after_s: float | None
    who: str
    text: str

    @property
    def stamp(self) -> str:
        """The time as it is shown."""
        return "         " if self.after_s is None else f"{self.after_s:+7.1f} s"


class Screen(Protocol):
    """Where the tour shows what happens; used by one thread."""

    def open(self, headline: str) -> None:
        """Begin to show the nodes."""

    def tell(self, happening: Happening) -> None:
        """Add a line to the timeline."""

    def show(self, rows: Sequence[Row]) -> None:
        """Show how the nodes stand now, by the daemon's word."""

    def close(self) -> None:
        """Stop drawing; safe to call again."""


class PlainScreen:
    """A line for each happening, and one for the nodes when their states change."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._states = ""
        self._recovery = ""

    def open(self, headline: str) -> None:
        """Write the headline."""
        self._write(headline)

    def tell(self, happening: Happening) -> None:
        """Write a line."""
        self._write(f"{happening.stamp}  {happening.who:<10}  {happening.text}")

    def show(self, rows: Sequence[Row]) -> None:
        """Write the states if they have changed, and the progress of a recovery."""
        states = " | ".join(f"{row['node']} {row['state']}" for row in rows)
        recovery = "; ".join(f"node {r['node']}: {r['recovery']}" for r in rows if r["recovery"])
        # Its age and the time left change with every look: they alone are no news.
        news = recovery.partition("; last progress")[0].partition(", about")[0]
        if states != self._states:
            self._states = states
            self._write(f"           nodes       {states}")
        if news != self._recovery:
            self._recovery = news
            if recovery:
                self._write(f"           recovery    {recovery}")

    def close(self) -> None:
        """Nothing is drawn."""

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


class LiveScreen:
    """A table of the nodes above the newest lines of the timeline, drawn by rich."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._headline = ""
        self._rows: Sequence[Row] = ()
        self._lines: list[Happening] = []
        self._live: Live | None = None

    def open(self, headline: str) -> None:
        """Begin to draw."""
        self._headline = headline
        self._live = Live(
            self._picture(), console=self._console, refresh_per_second=4, redirect_stdout=False
        )
        self._live.start()

    def tell(self, happening: Happening) -> None:
        """Add a line; before the picture is drawn it is printed."""
        self._lines = [*self._lines[-_LINES_KEPT:], happening]
        if self._live is None:
            self._console.print(_line(happening))
        else:
            self._live.update(self._picture())

    def show(self, rows: Sequence[Row]) -> None:
        """Redraw the table."""
        self._rows = rows
        if self._live is not None:
            self._live.update(self._picture())

    def close(self) -> None:
        """Leave the last picture and give the terminal back."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def _picture(self) -> Group:
        room = max(_LEAST_LINES, self._console.height - _LINES_AROUND - len(self._rows))
        lines = [_line(one) for one in self._lines[-room:]]
        return Group(Text(self._headline, style="bold"), node_table(self._rows), *lines)


def node_table(rows: Sequence[Row]) -> Table:
    """Return the table of the nodes, coloured by how they stand."""
    table = Table(expand=True)
    for name in COLUMNS:
        table.add_column(_TITLES.get(name, name))
    table.add_column("progress")
    for row in rows:
        state = str(row["state"])
        style = "green" if state == "well" else "yellow" if state in {"ok", "unknown"} else "red"
        cells = [Text(_cell(row[name]), style=style if name == "state" else "") for name in COLUMNS]
        table.add_row(*cells, str(row.get("recovery") or ""))
    return table


def screen_for(stream: TextIO) -> Screen:
    """Return the live screen for a terminal, plain lines for anything else."""
    return LiveScreen(Console(file=stream)) if stream.isatty() else PlainScreen(stream)


def _line(happening: Happening) -> Text:
    line = Text(f"{happening.stamp}  ", overflow="ellipsis", no_wrap=True)
    line.append(f"{happening.who:<10}  ", style=_STYLES.get(happening.who, ""))
    return line.append(happening.text)


def _cell(value: object) -> str:
    if value is None:
        return "?"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
