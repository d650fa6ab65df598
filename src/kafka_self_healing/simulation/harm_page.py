"""What `simulate --report` prints and writes: the tables of three healers, and the page of them."""

# ruff: noqa: E501  a paragraph of the page is a line

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from kafka_self_healing.simulation.comparison import Who
from kafka_self_healing.simulation.harm_report import (
    CRASH_RATIO,
    HANG_MARGIN_S,
    LATE_S,
    Report,
    broken,
    gather,
    in_words,
    median,
    p95,
)
from kafka_self_healing.simulation.meter import Moment, Trouble

Say = Callable[[str], None]

ROWS: Final = (
    ("acts", "acts"),
    ("harmful acts", "harmful"),
    ("needless acts", "needless"),
    ("acts against a person's order", "unwanted"),
    ("overtaken (things changed within 4 s before)", "overtaken"),
    ("failures of single nodes", "failures"),
    ("healed in time", "healed"),
    ("not healed in time, a person was called", "handed over"),
    ("missed: neither", "missed"),
    ("not healable in time (forbidden, or something else is broken)", "hindered"),
)


def count_table(report: Report) -> str:
    """Return the table of acts and failures."""
    lines = ["| | " + " | ".join(report) + " |", "|---|" + "---|" * len(report)]
    for title, name in ROWS:
        cells = (str(figures.count[name]) for figures in report.values())
        lines.append(f"| {title} | {' | '.join(cells)} |")
    shares = (f"{figures.missed_share:.1%}" for figures in report.values())
    lines.append(f"| missed, of the healable | {' | '.join(shares)} |")
    ours = report[Who.OURS].count
    each = ours["notices"] / max(1, ours["incidents"])
    lines.append(f"| notices an incident that anybody was told of | {each:.1f} | – | – |")
    return "\n".join(lines)


def moment_table(report: Report) -> str:
    """Return medians and 95th percentiles of each step, by trouble."""
    lines = ["| failure | step | " + " | ".join(report) + " |"]
    lines.append("|---|---|" + "---|" * len(report))
    for trouble in Trouble:
        for moment in (Moment.DETECTED, Moment.DIAGNOSED, Moment.ACTED, Moment.HEALED):
            cells = []
            for figures in report.values():
                found = figures.moments.get((trouble, moment), [])
                both = f"{in_words(median(found))} / {in_words(p95(found))} ({len(found)})"
                cells.append(both if found else "–")
            lines.append(f"| {trouble} | {moment} | {' | '.join(cells)} |")
    return "\n".join(lines)


def in_sync_table(report: Report) -> str:
    """Return medians of the seconds from a single fault to all partitions in sync."""
    lines = ["| fault | mode, session | " + " | ".join(report) + " | ours to systemd |"]
    lines.append("|---|---|" + "---|" * (len(report) + 1))
    for key in sorted(report[Who.OURS].in_sync):
        fault, mode, session_s = key
        medians = [median(figures.in_sync[key]) for figures in report.values()]
        cells = (
            f"{in_words(middle)} / {in_words(p95(figures.in_sync[key]))}"
            for middle, figures in zip(medians, report.values(), strict=True)
        )
        ours, theirs = medians[0], medians[-1]
        ratio = f"{ours / theirs:.2f}" if ours and theirs else "–"
        where = f"{mode}, {session_s:g} s ({len(report[Who.OURS].in_sync[key])})"
        lines.append(f"| {fault} | {where} | {' | '.join(cells)} | {ratio} |")
    return "\n".join(lines)


def why_table(report: Report) -> str:
    """Return what was wrong with acts, most frequent first."""
    lines = ["| act | " + " | ".join(report) + " |", "|---|" + "---|" * len(report)]
    total: Counter[str] = Counter()
    for figures in report.values():
        for why, times in figures.whys.items():
            total[why.partition(", and")[0]] += times
    for why, _ in total.most_common():
        cells = (
            str(sum(n for w, n in figures.whys.items() if w.partition(", and")[0] == why))
            for figures in report.values()
        )
        lines.append(f"| {why} | {' | '.join(cells)} |")
    return "\n".join(lines)


def page(report: Report, seeds: int) -> str:
    """Return the whole page in Markdown."""
    wrong = broken(report)
    verdict = "All of it holds." if not wrong else "It does not hold: " + "; ".join(wrong) + "."
    return PAGE.format(
        seeds=seeds, counts=count_table(report), moments=moment_table(report),
        in_sync=in_sync_table(report), whys=why_table(report), verdict=verdict,
        late=LATE_S, ratio=CRASH_RATIO, margin=HANG_MARGIN_S,
    )  # fmt: skip


PAGE: Final = """# Harm: what healing does to a cluster that is not as sick as it looks

Written by `kafka-self-healing simulate --report --seeds {seeds} --page docs/explanation/harm.md`; the same seeds give the same page.

{seeds} seeded scenarios (seeds 0 to {seeds}, exclusive) of [the simulation](simulation.md), each played three times in the same world, with the same faults, looks and delays, by three healers:

- **ours**, in mode `auto`, all knobs at their defaults.
- **3 failed port checks**: the usual cron or monit script. Every 5 s it opens each node's port; after three failures in a row it has the service manager restart the node, wherever it gets a shell. It knows nothing else: no pause, no maintenance, no other node.
- **systemd on-failure**: nobody looks; the units say `Restart=on-failure`, `RestartSec=1`, five starts in 10 s. It sees ends of processes, never a hang.

## Acts and failures
{counts}

A failure is one node's process that ended, froze, or runs without doing its work, unless somebody asked for it. *In time* is {late:.0f} s in which nothing stood in the way of healing: the longest act with an unknown end, and a minute. A person is called where a guard refuses: the second node of a group that hangs, a start that ended again, an act that failed.

What was wrong with acts, on the world's truth (*needless*: nothing was wrong, or it would have come back by itself; *harmful*: a living, serving node was hit, a start died of the old registration, or on a missing disk where data directories are watched):

{whys}

## From a failure to each step
Seconds: median / 95th percentile (how many). A stray SIGTERM is waited for on purpose for 120 s. *Heal* means: it serves, is counted in, and follows its quorum.

{moments}

## From a fault to all partitions in sync
One fault of one broker in the shape of each seed, nothing else: seconds until every partition is in sync for good, median / 95th percentile; the stable window, in which we only watch, is not counted. The floor of a crash is the session in KRaft, and in ZooKeeper mode the old registration. Real clusters: [mttr.md](mttr.md).

{in_sync}

With a session shorter than Kafka's defaults the two looks, 2 s apart, with which we prove that a process is gone weigh more than the session.

## What must hold
Of ours, judged by the command, which exits with 1 otherwise: no harmful act; at most a tenth of the port checks' needless and harmful acts, and not more than systemd's; at most 1 % missed; at Kafka's default sessions a crash is over within {ratio} times systemd's time (medians); a hang within the session and {margin:.0f} s.

**{verdict}**
"""


def write_report(seeds: int, write: Say, save: Say | None = None) -> bool:
    """Write the tables and the verdict; `save` takes the whole page. True: all of it holds."""
    report = gather(range(seeds))
    for table in (count_table, why_table, moment_table, in_sync_table):
        write(table(report) + "\n")
    wrong = broken(report)
    for sentence in wrong:
        write(f"does not hold: {sentence}")
    if not wrong:
        write(f"all of it holds in {seeds} seeds")
    if save is not None:
        save(page(report, seeds))
    return not wrong
