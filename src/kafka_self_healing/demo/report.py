"""The report at the end: computed from what was seen and said, as text and as plain figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kafka_self_healing.demo.chronicle import DecisionStory, Milestones
from kafka_self_healing.demo.configuration import Knob
from kafka_self_healing.demo.faults import Fault
from kafka_self_healing.demo.folder import RunFolder
from kafka_self_healing.demo.load import Comparison, LoadReport
from kafka_self_healing.demo.mailbox import Mail
from kafka_self_healing.demo.screen import Happening

STEPS: Final = ("suspected", "diagnosed", "decided", "acted", "serving", "in_sync", "healed")
_WIDTH: Final = 100


@dataclass(frozen=True, slots=True)
class VictimStory:
    """One node: when it was struck, what the healer says, and what the observer saw.

    All in seconds of the boot clock; None: it did not happen.
    """

    node: int
    blow: str
    struck: float
    healer: Milestones
    acted: float | None
    serving: float | None
    in_sync: float | None

    def rows(self) -> list[tuple[str, float | None, float | None]]:
        """Return (step, seconds by the healer's journal, seconds by the observer) of each step."""
        seen = {"acted": self.acted, "serving": self.serving, "in_sync": self.in_sync}
        return [
            (step, self._after(getattr(self.healer, step)), self._after(seen.get(step)))
            for step in STEPS
        ]

    def _after(self, at: float | None) -> float | None:
        return None if at is None else round(at - self.struck, 2)


@dataclass(frozen=True, slots=True)
class Report:
    """All that is told at the end. `wrong`: what the judge found; empty: the right thing happened.

    `program`: how to call the command line. `gap_s`: longest time between acknowledged records
    since the blow, and when it began after it.
    """

    fault: Fault
    seed: int
    how: str
    is_right: str
    wrong: tuple[str, ...]
    victims: tuple[VictimStory, ...]
    decisions: tuple[DecisionStory, ...]
    began: float
    load: LoadReport
    gap_s: tuple[float, float] | None
    comparison: Comparison | None
    knobs: tuple[Knob, ...]
    mails: tuple[Mail, ...]
    program: str
    timeline: tuple[Happening, ...]
    took_s: float


def report_text(report: Report, folder: RunFolder, *, data_kept: bool) -> str:
    """Return the report as it is shown and kept."""
    lines = [
        "=" * _WIDTH,
        f"demo --fault {report.fault.name}{report.how}, seed {report.seed}, {report.took_s:.0f} s",
        f"  broken: {report.fault.breaks}",
        f"  right:  {report.is_right}",
        "",
    ]
    for victim in report.victims:
        lines += _victim(victim)
    lines += _decisions(report)
    lines += _records(report)
    lines += _knobs(report.knobs)
    lines += _mails(report.mails)
    lines += _places(folder, report.program, data_kept=data_kept)
    return "\n".join([*lines, *_verdict(report), ""])


def figures(report: Report) -> dict[str, Any]:
    """Return what `report.json` holds."""
    return {
        "fault": report.fault.name,
        "how": report.how.strip(" -"),
        "seed": report.seed,
        "right": not report.wrong,
        "wrong": list(report.wrong),
        "took_s": round(report.took_s, 1),
        "victims": [
            {
                "node": victim.node,
                "blow": victim.blow,
                "healer_s": {step: healer for step, healer, _ in victim.rows()},
                "observer_s": {step: seen for step, _, seen in victim.rows() if seen is not None},
            }
            for victim in report.victims
        ],
        "records": {
            "sent": report.load.sent,
            "acknowledged": report.load.acknowledged,
            "longest_gap_s": round(report.gap_s[0], 2) if report.gap_s else None,
            "read_back": report.comparison.read_back if report.comparison else None,
            "lost": report.comparison.lost_records if report.comparison else None,
        },
        "shortened": [dataclasses.asdict(knob) for knob in report.knobs],
        "timeline": [dataclasses.asdict(one) for one in report.timeline],
    }


def _victim(victim: VictimStory) -> list[str]:
    rows = victim.rows()
    lines = [f"Node {victim.node}: {victim.blow}. Seconds from the blow:"]
    lines.append(f"  {'':<12}{'healer says':>12}{'observer saw':>14}")
    for step, said, seen in rows:
        name = step.replace("_", " ")
        lines.append(f"  {name:<12}{_seconds(said):>12}{_seconds(seen):>14}".rstrip())
    return [*lines, ""]


def _decisions(report: Report) -> list[str]:
    if not report.decisions:
        return ["Decisions: none; nothing asked for an act.", ""]
    lines = ["Decisions (seconds from the first blow), with the evidence and the guards:"]
    for one in report.decisions:
        lines.append(f"  {one.at - report.began:+7.2f} s  {one.title}")
        lines += [f"             saw: {line}" for line in one.evidence]
        lines += [f"             {line}" for line in one.objections]
        agreed = f"{len(one.agreed)} guards agree: {', '.join(one.agreed)}"
        lines += [f"             {line}" for line in _wrapped(agreed, _WIDTH - 13)]
    return [*lines, ""]


def _records(report: Report) -> list[str]:
    gap = "none was acknowledged after the blow"
    if report.gap_s is not None:
        gap = f"{report.gap_s[0]:.2f} s, from {report.gap_s[1]:+.2f} s on"
    lines = ["Records (producer with acks=all, replication factor 3, min.insync.replicas 2):"]
    lines.append(f"  longest gap between acknowledged records: {gap}")
    compared = report.comparison
    if compared is None:
        return [*lines, "  they could not be read back", ""]
    return [
        *lines,
        f"  acknowledged {compared.acknowledged}, read back {compared.read_back}",
        f"  lost {compared.lost_records}, duplicates {compared.duplicates}",
        "",
    ]


def _knobs(knobs: Sequence[Knob]) -> list[str]:
    lines = ["What this demo changed, beside the default:"]
    width = max((len(knob.name) for knob in knobs), default=0)
    lines += [
        f"  {knob.name:<{width}}  {_value(knob.value):>6}   default {_value(knob.default)}"
        for knob in knobs
    ]
    return [*lines, ""]


def _mails(mails: Sequence[Mail]) -> list[str]:
    """Return all subjects, and the text of the last letter: it tells the whole story."""
    if not mails:
        return ["Mails: none", ""]
    lines = ["Mails:", *(f"  {mail.file.name}  {mail.subject}" for mail in mails)]
    lines.append(f"  {mails[-1].file.name} in full:")
    for line in mails[-1].text.strip().splitlines():
        lines += [f"  | {part}" for part in _wrapped(line, _WIDTH - 4)]
    return [*lines, ""]


def _places(folder: RunFolder, program: str, *, data_kept: bool) -> list[str]:
    audit = f"{program} audit verify --config {folder.configuration}"
    places = {
        "configuration": folder.configuration,
        "journal": folder.state / "journal.db",
        "audit file": folder.state / "audit.jsonl",
        "mails": folder.mails,
        "daemon's log": folder.daemon_log,
        "supervisor's acts": folder.cluster / "acts.jsonl",
        "this report": folder.report,
    }
    if data_kept:
        places["brokers' data and logs"] = folder.cluster
    lines = ["Where things lie (until the next run in this folder):"]
    lines += [f"  {name:<23} {path}" for name, path in places.items()]
    return [*lines, f"  {'check the journal':<23} {audit}", ""]


def _verdict(report: Report) -> list[str]:
    if not report.wrong:
        return [f"RIGHT: {report.is_right}."]
    return ["WRONG:", *(f"  - {line}" for line in report.wrong)]


def _wrapped(text: str, width: int) -> Iterable[str]:
    line = ""
    for word in text.split(" "):
        if line and len(line) + len(word) >= width:
            yield line
            line = "  " + word
        else:
            line = f"{line} {word}" if line else word
    yield line


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _value(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"
