"""What the supervisor wrote down of every act and every end, for a judge that trusts no one else.

One JSON object a line in `acts.jsonl`, appended and never changed:

    {"at": UTC seconds, "boot": boot-clock seconds, "what": WHAT, "node": ID or null, "by": NAME,
     "result": WORD, "pid": PID or null, "detail": TEXT}

`what`: start, stop, kill, fault (requests); spawned, exited (what became of processes);
supervisor_started, supervisor_ended.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from kafka_self_healing.clock import boot_seconds, utc_seconds

ACTS_NAME: Final = "acts.jsonl"
REQUESTS: Final = ("start", "stop", "kill")


@dataclass(frozen=True, slots=True)
class Act:
    """One line: what was asked of the supervisor or seen by it, when, and by whom."""

    at: float
    boot: float
    what: str
    node: str | None
    by: str
    result: str = ""
    pid: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ActCounts:
    """Numbers of one node: processes started, and requests by (command, who asked)."""

    spawned: int
    requests: dict[tuple[str, str], int]


class ActLog:
    """Appends acts to the file of one folder."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / ACTS_NAME

    def append(
        self,
        what: str,
        node: str | None,
        by: str,
        *,
        result: str = "",
        pid: int | None = None,
        detail: str = "",
    ) -> Act:
        """Write one act with the present time, and return it."""
        act = Act(utc_seconds(), boot_seconds(), what, node, by, result, pid, detail)
        with self._path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(act)) + "\n")
        return act


def read_acts(directory: Path) -> list[Act]:
    """Return all acts of a folder, oldest first; none if nothing was written yet."""
    try:
        text = (directory / ACTS_NAME).read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    # A line without its end is still being written: it belongs to the next look.
    return [Act(**json.loads(line)) for line in text.splitlines(keepends=True) if line[-1] == "\n"]


def count_acts(acts: Iterable[Act]) -> dict[str, ActCounts]:
    """Count processes started and requests made, for each node that occurs."""
    spawned: Counter[str] = Counter()
    requests: dict[str, Counter[tuple[str, str]]] = {}
    for act in acts:
        if act.node is None:
            continue
        mine = requests.setdefault(act.node, Counter())
        if act.what == "spawned":
            spawned[act.node] += 1
        elif act.what in REQUESTS:
            mine[(act.what, act.by)] += 1
    return {node: ActCounts(spawned[node], dict(mine)) for node, mine in requests.items()}
