"""The demo's report and what it is made of: milestones, decisions, claims, gaps."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

from kafka_self_healing.demo.chronicle import (
    LINE_LENGTH,
    claims_of,
    decisions,
    line_of,
    milestones,
)
from kafka_self_healing.demo.configuration import Knob
from kafka_self_healing.demo.faults import FAULTS
from kafka_self_healing.demo.folder import RunFolder
from kafka_self_healing.demo.load import Comparison, Gap, LoadReport
from kafka_self_healing.demo.mailbox import Mail
from kafka_self_healing.demo.report import Report, VictimStory, figures, report_text
from kafka_self_healing.demo.screen import Happening, PlainScreen
from kafka_self_healing.demo.telling import longest_gap
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.decision import Answer, Reason, Verdict
from kafka_self_healing.model.event import (
    ActFinished,
    Decided,
    Event,
    IncidentChanged,
    IncidentClosed,
)
from kafka_self_healing.model.incident import Condition, Incident, IncidentState
from kafka_self_healing.model.recovery import ActOutcome, RecoveryResult

UTC = 1_700_000_000.0


def at(seconds: float) -> Instant:
    """A moment on both clocks."""
    return Instant(seconds, UTC + seconds)


OPENED = Incident(
    id="incident-1",
    subject="2",
    condition=Condition.PROCESS_GONE,
    nodes=("2",),
    state=IncidentState.SUSPECTED,
    evidence=("SERVICE: failed",),
    opened=at(10.1),
    changed=at(10.1),
)
CONFIRMED = replace(OPENED, state=IncidentState.CONFIRMED, confirmed=at(12.3))
SERVING = replace(CONFIRMED, serving=at(16.0), in_sync=at(16.2))


def decided(seconds: float, answer: Answer, *reasons: Verdict) -> Decided:
    """A decision about node 2."""
    return Decided(
        at(seconds), "incident-1", "2", "service:start", "PROCESS_GONE", 0, 1, answer, reasons
    )


EVENTS: list[Event] = [
    IncidentChanged(at(10.1), OPENED, "suspected PROCESS_GONE"),
    IncidentChanged(at(12.3), CONFIRMED, "confirmed PROCESS_GONE"),
    decided(
        12.3,
        Answer.WAIT,
        Verdict("still_true", False, Reason.LOOK_AGAIN, "wait", lifted_by="a look"),
    ),
    decided(12.4, Answer.ACT),
    ActFinished(at(12.6), RecoveryResult("act-1", "2", "service:start", ActOutcome.DONE)),
    IncidentChanged(at(16.0), replace(SERVING, in_sync=None), "the node answers again"),
    IncidentChanged(at(16.2), SERVING, "in sync"),
    IncidentClosed(at(26.2), SERVING, "healed"),
]


def test_milestones_are_read_from_the_journal() -> None:
    """Each step has the time at which the healer says it was reached."""
    seen = milestones(EVENTS, "2", after=10.0)

    assert (seen.suspected, seen.diagnosed, seen.decided, seen.acted) == (10.1, 12.3, 12.4, 12.6)
    assert (seen.serving, seen.in_sync, seen.healed) == (16.0, 16.2, 26.2)


def test_a_return_that_did_not_last_is_no_milestone() -> None:
    """A node that fell out of sync again has not reached it."""
    fell = IncidentChanged(at(17.0), replace(SERVING, in_sync=None), "no longer in sync")

    seen = milestones([*EVENTS[:-1], fell], "2", after=10.0)

    assert seen.in_sync is None
    assert seen.healed is None


def test_a_start_that_is_seen_first_is_no_diagnosis() -> None:
    """Until the service manager is asked, a closed port may be a start: that is no failure yet."""
    starting = replace(CONFIRMED, condition=Condition.STARTING, confirmed=at(10.2))
    early = IncidentChanged(at(10.2), starting, "confirmed STARTING")

    seen = milestones([early, *EVENTS], "2", after=10.0)

    assert (seen.suspected, seen.diagnosed) == (10.2, 12.3)


def test_other_nodes_and_earlier_events_do_not_count() -> None:
    """Nothing is said of a node without an incident, nor of what came before the blow."""
    assert milestones(EVENTS, "3", after=10.0).suspected is None
    assert milestones(EVENTS, "2", after=30.0).healed is None


def test_decisions_carry_evidence_and_every_guard() -> None:
    """The waiting guard is told with what lifts it; all guards agree with the act."""
    wait, act = decisions(EVENTS)

    assert wait.title == "WAIT: service:start on node 2 for PROCESS_GONE, attempt 1"
    assert wait.evidence == ("SERVICE: failed",)
    assert wait.objections == ("still_true: wait (lifted by: a look)",)
    assert "still_true" not in wait.agreed
    assert set(act.agreed) == {*wait.agreed, "still_true"}
    assert "not_paused" in act.agreed


def test_claims_are_what_was_said() -> None:
    """Conditions, endings, refusals by pause and mode, and what is still open."""
    refusals = [
        decided(12.5, Answer.REFUSE, Verdict("not_paused", False, Reason.PAUSED)),
        decided(12.6, Answer.REFUSE, Verdict("mode_permits", False, Reason.OBSERVE)),
    ]

    healed, still_open = claims_of(EVENTS), claims_of([*EVENTS[:2], *refusals])

    assert healed.conditions == {("2", "PROCESS_GONE")}
    assert healed.closed == (("2", "healed"),)
    assert healed.open_incidents == ()
    assert still_open.refused == still_open.would_act == {"2"}
    assert still_open.open_incidents == ("incident-1 PROCESS_GONE of 2",)


def test_long_lines_are_cut_for_the_screen() -> None:
    """A story line is at most so long, and says that it was cut."""
    line = line_of(IncidentChanged(at(1.0), OPENED, "x" * 1000))

    assert line is not None
    assert len(line) == LINE_LENGTH
    assert line.endswith("…")


def load(*gaps: Gap) -> LoadReport:
    """Figures with these gaps."""
    return LoadReport(100, 90, 10, 80, UTC, UTC + 30, gaps)


def test_longest_gap_since_the_blow() -> None:
    """A longer gap of before the blow does not count; one that reaches over it does."""
    clocks = (50.0, UTC + 50.0)
    figures_ = load(Gap(9.0, UTC + 0.0), Gap(2.5, UTC + 9.9), Gap(1.0, UTC + 20.0))

    assert longest_gap(figures_, 10.0, clocks) == (2.5, UTC + 9.9 - UTC - 10.0)
    assert longest_gap(load(), 10.0, clocks) is None


REPORT = Report(
    fault=FAULTS["crash"],
    seed=4,
    how="",
    is_right=FAULTS["crash"].is_right,
    wrong=(),
    victims=(VictimStory(2, "kill -9", 10.0, milestones(EVENTS, "2", 10.0), 12.5, 15.9, 16.1),),
    decisions=tuple(decisions(EVENTS)),
    began=10.0,
    load=load(),
    gap_s=(2.5, -0.1),
    comparison=Comparison(90, 90, (), 0),
    knobs=(Knob("policy.stable_floor_s", 10.0, 60.0),),
    mails=(Mail(12.0, "FAILURE of node 2", "It is gone.\n\nThe story", Path("001.eml")),),
    program="kheal",
    timeline=(Happening(0.0, "demo", "node 2: kill -9"),),
    took_s=47.2,
)


def test_the_report_tells_everything(tmp_path: Path) -> None:
    """Seconds of each step by both, decisions, records, knobs beside defaults, and places."""
    folder = RunFolder(tmp_path)

    text = report_text(REPORT, folder, data_kept=False)

    lines = [line.split() for line in text.splitlines()]
    assert ["suspected", "0.10", "-"] in lines
    assert ["acted", "2.60", "2.50"] in lines
    assert ["in", "sync", "6.20", "6.10"] in lines
    assert ["healed", "16.20", "-"] in lines
    assert ["policy.stable_floor_s", "10", "default", "60"] in lines
    assert "2.50 s, from -0.10 s on" in text
    assert "acknowledged 90, read back 90" in text
    assert "saw: SERVICE: failed" in text
    assert "001.eml  FAILURE of node 2" in text
    assert "  | It is gone." in text
    assert f"kheal audit verify --config {folder.configuration}" in text
    for path in (folder.configuration, folder.mails, folder.report, folder.state / "journal.db"):
        assert str(path) in text
    assert text.rstrip().endswith(f"RIGHT: {FAULTS['crash'].is_right}.")


def test_what_is_wrong_is_the_last_word(tmp_path: Path) -> None:
    """The judge's sentences end the report, and the figures say so too."""
    wrong = replace(REPORT, wrong=("node 3: asked for start; right is nothing",), comparison=None)

    text = report_text(wrong, RunFolder(tmp_path), data_kept=True)

    assert text.rstrip().endswith("WRONG:\n  - node 3: asked for start; right is nothing")
    assert "they could not be read back" in text
    assert figures(wrong)["right"] is False


def test_the_figures_are_plain(tmp_path: Path) -> None:
    """They can be written as JSON and say the same."""
    plain = json.loads(json.dumps(figures(REPORT)))

    assert plain["right"] is True
    assert plain["victims"][0]["healer_s"]["healed"] == 16.2
    assert plain["victims"][0]["observer_s"] == {"acted": 2.5, "serving": 5.9, "in_sync": 6.1}
    assert plain["records"]["lost"] == 0


def test_plain_screen_writes_states_only_when_they_change() -> None:
    """A file of a long run is no repetition of the same states."""
    stream = io.StringIO()
    screen = PlainScreen(stream)
    row = {"node": "1", "state": "well", "recovery": ""}
    slow = {"node": "1", "state": "RECOVERING_LOGS", "recovery": "9 logs left; last progress 1 s"}

    screen.show([row])
    screen.show([row])
    screen.show([slow])
    screen.show([{**slow, "recovery": "9 logs left; last progress 2 s"}])

    lines = [" ".join(line.split()) for line in stream.getvalue().splitlines()]
    assert lines == [
        "nodes 1 well",
        "nodes 1 RECOVERING_LOGS",
        "recovery node 1: 9 logs left; last progress 1 s",
    ]


def test_a_happening_is_stamped_from_the_blow() -> None:
    """Seconds since the blow, and nothing before it."""
    assert Happening(2.34, "healer", "x").stamp.strip() == "+2.3 s"
    assert Happening(None, "healer", "x").stamp.strip() == ""
