"""Entries a second of the journal, beside a bare loop of sqlite3 with the same durability.

Run: `python -m bench.journal [--folder DIR]` (on the disk that the state folder will lie on). Both
sides write the same texts with the same PRAGMAs, in turns; a figure is the median of the rounds.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kafka_self_healing.clock import boot_seconds
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.decision import Answer, Reason, Verdict
from kafka_self_healing.model.event import Decided, Event
from kafka_self_healing.storage import Journal, open_store
from kafka_self_healing.storage.journal import encode

ROUNDS = 5
BATCHES = {1: 300, 10: 100, 100: 30}
"""Entries a commit → commits a round."""


@dataclass(frozen=True, slots=True)
class Row:
    """Entries a second of both sides at one size of batch."""

    batch: int
    journal: float
    bare: float

    @property
    def ratio(self) -> float:
        """Part of the bare loop's speed that the journal reaches."""
        return self.journal / self.bare


def decision(n: int) -> Event:
    """Return an event of ordinary size (about 1 kB), different for each n."""
    guards = ("warm_up", "has_lease", "one_at_a_time", "in_sync_enough", "budget_node")
    return Decided(
        at=Instant(1_000.0 + n, 1_700_000_000.0 + n),
        incident=f"I{n}",
        node=str(n % 9),
        action="service:start",
        condition="PROCESS_GONE",
        rung=0,
        attempt=1,
        answer=Answer.WAIT,
        reasons=tuple(
            Verdict(
                guard,
                allowed=False,
                reason=Reason.NOT_CONFIRMED,
                text=f"{guard} lacks {n} s of evidence",
            )
            for guard in guards
        ),
        until=1_010.0 + n,
    )


def bare_loop(path: Path) -> Callable[[Sequence[Event]], None]:
    """Return a writer that does nothing but insert texts into a table, one commit a call."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE IF NOT EXISTS log (seq INTEGER PRIMARY KEY, payload TEXT)")

    def append(events: Sequence[Event]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "INSERT INTO log (payload) VALUES (?)", [(encode(event),) for event in events]
        )
        connection.execute("COMMIT")

    return append


def measure(append: Callable[[Sequence[Event]], object], batch: int, commits: int) -> float:
    """Return entries a second."""
    batches = [[decision(k * batch + i) for i in range(batch)] for k in range(commits)]
    began = boot_seconds()
    for events in batches:
        append(events)
    return batch * commits / (boot_seconds() - began)


def compare(folder: Path) -> tuple[list[Row], float, float]:
    """Return the rows, and entries a second of folding (`entries`) and of `verify`."""
    store = open_store(folder / "state")
    journal = Journal(store, "bench")
    bare = bare_loop(folder / "bare.db")
    rows = []
    for batch, commits in BATCHES.items():
        ours, theirs = [], []
        for _ in range(ROUNDS):
            theirs.append(measure(bare, batch, commits))
            ours.append(measure(journal.append, batch, commits))
        rows.append(Row(batch, statistics.median(ours), statistics.median(theirs)))
    began = boot_seconds()
    count = sum(1 for _ in journal.entries())
    read = boot_seconds()
    journal.verify()
    done = boot_seconds()
    store.close()
    return rows, count / (read - began), count / (done - read)


def main() -> int:
    """Measure and print a table, then one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where to write (default: the temporary one)")
    folder = Path(tempfile.mkdtemp(prefix="bench-journal-", dir=parser.parse_args().folder))
    try:
        rows, folded, verified = compare(folder)
    finally:
        shutil.rmtree(folder)
    print(f"entries a second, median of {ROUNDS} rounds, 1 kB an entry, a sync a commit")
    print(f"{'a commit':>9} {'journal':>10} {'bare sqlite3':>13} {'ratio':>6}")
    for row in rows:
        print(f"{row.batch:>9} {row.journal:>10,.0f} {row.bare:>13,.0f} {row.ratio:>6.2f}")
    print(f"read back: {folded:,.0f} entries a second; chain verified: {verified:,.0f}")
    figures = {
        "bench": "journal",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "rows": [
            {"batch": r.batch, "journal": round(r.journal), "bare": round(r.bare)} for r in rows
        ],
        "read": round(folded),
        "verified": round(verified),
    }
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
