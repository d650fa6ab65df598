"""The figures of three healers side by side, and what must hold of ours."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from kafka_self_healing.simulation import faults
from kafka_self_healing.simulation.comparison import Run, Who, compare, single
from kafka_self_healing.simulation.meter import Episode, Moment, Trouble
from kafka_self_healing.simulation.parallel import on_all_cores
from kafka_self_healing.simulation.scenarios import draw

LATE_S: Final = 240.0
"""L: what one act with an unknown end may hold (its limit, 180 s), and a minute."""

MISSED_SHARE: Final = 0.01
PORT_SHARE: Final = 0.1
CRASH_RATIO: Final = 1.25
HANG_MARGIN_S: Final = 10.0
JUDGED_SESSIONS: Final = {"KRaft": 9.0, "ZooKeeper": 18.0}
"""Kafka's defaults. With shorter sessions the two looks that prove an end weigh more."""


@dataclass(slots=True)
class Figures:
    """What one healer came to. `moments`: seconds after the failure, by trouble."""

    count: Counter[str] = field(default_factory=Counter)
    moments: dict[tuple[Trouble, Moment], list[float]] = field(default_factory=dict)
    in_sync: dict[tuple[str, str, float], list[float | None]] = field(default_factory=dict)
    """By fault, mode and session: seconds to all in sync; None: not within two minutes."""

    whys: Counter[str] = field(default_factory=Counter)

    def add(self, run: Run) -> None:
        """Add a drawn scenario."""
        for name in ("acts", "needless", "harmful", "unwanted", "overtaken"):
            self.count[name] += getattr(run.count, name)
        self.count["notices"] += run.notices
        self.count["incidents"] += run.incidents
        self.whys.update(why.partition(": ")[2] for why in run.count.whys)
        for episode in run.episodes:
            self._episode(episode)

    def _episode(self, episode: Episode) -> None:
        healed, late = Moment.HEALED in episode.moments, episode.free_s > LATE_S
        handed = Moment.HANDED_OVER in episode.moments
        self.count["failures"] += 1
        self.count["healed"] += healed and not late
        self.count["handed over"] += late and handed
        self.count["missed"] += late and not handed
        self.count["hindered"] += not healed and not late
        for moment in Moment:
            after = episode.after(moment)
            if after is not None:
                self.moments.setdefault((episode.trouble, moment), []).append(after)

    @property
    def wrong(self) -> int:
        """Acts that were needless or harmful."""
        return self.count["needless"] + self.count["harmful"]

    @property
    def missed_share(self) -> float:
        """The part of the healable failures that nobody healed in time, and nobody was told of."""
        healable = self.count["failures"] - self.count["hindered"]
        return self.count["missed"] / max(1, healable)


Report = dict[Who, Figures]


def gather(seeds: Sequence[int]) -> Report:
    """Play all seeds with each healer, and a single crash and a single hang in each one's shape."""
    report = {who: Figures() for who in Who}
    for runs in on_all_cores(compare, seeds, "drawn scenarios"):
        for run in runs:
            report[run.who].add(run)
    for name, kind in (("crash", faults.Crash), ("hang", faults.Hang)):
        for runs in on_all_cores(partial(single, kind=kind), seeds, f"single {name}"):
            for run in runs:
                shape = draw(run.seed).shape
                mode = "ZooKeeper" if shape.members else "KRaft"
                known = report[run.who].in_sync.setdefault((name, mode, shape.session_s), [])
                known.append(run.in_sync_s)
    return report


def broken(report: Report) -> list[str]:
    """Return a sentence for each thing that must hold of ours and does not."""
    ours, port, systemd = (report[who] for who in Who)
    found = []
    if ours.count["harmful"]:
        found.append(f"{ours.count['harmful']} harmful acts of ours, not 0")
    if ours.wrong > PORT_SHARE * port.wrong:
        found.append(f"{ours.wrong} needless or harmful acts, above a tenth of {port.wrong}")
    if ours.wrong > systemd.wrong:
        found.append(f"{ours.wrong} needless or harmful acts, above systemd's {systemd.wrong}")
    if ours.missed_share > MISSED_SHARE:
        found.append(f"{ours.missed_share:.1%} of the healable failures were missed")
    for mode, session_s in JUDGED_SESSIONS.items():
        mine, theirs = (
            median(figures.in_sync.get(("crash", mode, session_s), ()))
            for figures in (ours, systemd)
        )
        if mine is None or theirs is None or mine > CRASH_RATIO * theirs:
            found.append(
                f"{mode}: in sync {in_words(mine)} s after a crash, systemd's {in_words(theirs)} s"
            )
    for (fault, mode, session_s), seconds in ours.in_sync.items():
        if fault != "hang" or JUDGED_SESSIONS[mode] != session_s:
            continue
        middle = median(seconds)
        if middle is None or middle > session_s + HANG_MARGIN_S:
            found.append(
                f"{mode}, session {session_s:g} s: in sync {in_words(middle)} s after a hang"
            )
    return found


def median(seconds: Iterable[float | None]) -> float | None:
    """Return the median; None if half of them or more were never in sync."""
    known = [float("inf") if one is None else one for one in seconds]
    middle = statistics.median(known) if known else float("inf")
    return None if middle == float("inf") else middle


def p95(seconds: Iterable[float | None]) -> float | None:
    """Return the 95th percentile; None if that was never in sync."""
    known = sorted(float("inf") if one is None else one for one in seconds)
    last = known[min(len(known) - 1, int(0.95 * len(known)))] if known else float("inf")
    return None if last == float("inf") else last


def in_words(seconds: float | None) -> str:
    """Return seconds as the tables show them."""
    return "never" if seconds is None else f"{seconds:.1f}"
