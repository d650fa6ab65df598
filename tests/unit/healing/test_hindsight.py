"""`explain --at`: what the journal says of a past moment, and what it does not."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.healing.scenes import Scene

from kafka_self_healing.healing import guards
from kafka_self_healing.healing.hindsight import explain_at
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.control import Order
from kafka_self_healing.model.event import DaemonStopped
from kafka_self_healing.model.recovery import ActClass


def at(scene: Scene, moment: Instant, node: str = "2") -> dict[str, Any]:
    """What the journal of a scene says of that moment."""
    return explain_at(scene.events, "test", node, moment.utc_s)


@pytest.fixture(scope="module")
def told() -> tuple[Scene, dict[str, Instant]]:
    """A paused healer, a crash, a resume, a start, healed; then the daemon ends."""
    scene, moments = Scene(), {}
    scene.restart_healer()
    scene.run(20)
    moments["well"] = scene.now
    scene.say(Order.PAUSE)
    scene.run(2)
    scene.crash("2")
    scene.run(10)
    moments["paused"] = scene.now
    scene.say(Order.RESUME)
    scene.until(lambda: scene.acts, 60)
    moments["acting"] = scene.now
    scene.until(lambda: scene.closed)
    scene.run(5)
    moments["healed"] = scene.now
    scene.events.append(DaemonStopped(scene.now, "asked to stop"))
    moments["stopped"] = scene.now.after(60.0)
    return scene, moments


Told = tuple[Scene, dict[str, Instant]]


def test_before_anything_was_wrong(told: Told) -> None:
    """No incident, no decision, and the mode."""
    past = at(told[0], told[1]["well"])
    assert past["incident"] is None
    assert past["guards"] == []
    assert "No incident of node 2 was open" in past["paragraph"]
    assert "mode auto" in past["paragraph"]


def test_why_it_was_not_healed_while_paused(told: Told) -> None:
    """The incident, the pause, and every guard of the act as it was decided then."""
    past = at(told[0], told[1]["paused"])
    assert past["condition"] == "PROCESS_GONE"
    assert past["decided"]["answer"] == "refuse"
    assert [switch["by"] for switch in past["switches"]] == ["ada"]
    table = {row["guard"]: row for row in past["guards"]}
    assert list(table) == [row.name for row in guards.asked(ActClass.START)]
    assert table["not_paused"]["says"] == "refuses"
    assert table["not_paused"]["lifted_by"]
    assert table["two_families"]["says"] == "permits"
    assert "service:start was refused: paused by ada" in past["paragraph"]
    assert not any("resume" in line for line in past["story"]), "the story ends there"
    assert past["you"]
    assert past["facts"]["process"] == "ended by signal 9"


def test_while_it_was_being_healed(told: Told) -> None:
    """The open act is named, whatever came of it later."""
    past = at(told[0], told[1]["acting"])
    assert [act["state"] for act in past["acts"]] == ["executing"]
    assert "was executing" in past["paragraph"]
    assert past["switches"] == []


def test_after_it_was_healed_and_after_the_daemon_ended(told: Told) -> None:
    """No incident is open, the latest one is named; then: nobody was there to heal."""
    past = at(told[0], told[1]["healed"])
    assert past["incident"] is None
    assert "Its latest one, PROCESS_GONE, was healed" in past["paragraph"]
    assert "was not running" in at(told[0], told[1]["stopped"])["paragraph"]


def test_what_the_journal_does_not_hold_is_said(told: Told) -> None:
    """Looks are not journalled; an unknown node, and a time before the journal, are named."""
    scene, moments = told
    assert "looks are not journalled" in at(scene, moments["paused"])["not_kept"]
    assert "knows nothing of node 9" in at(scene, moments["paused"], "9")["paragraph"]
    assert "The journal begins later" in at(scene, Instant(0.0, 1.0))["paragraph"]
    assert at(scene, Instant(0.0, 1.0))["daemon"] == "not running"


def test_the_same_as_the_fold_up_to_then(told: Told) -> None:
    """What comes later in the journal changes nothing of the answer."""
    scene, moments = told
    moment = moments["paused"]
    earlier = [event for event in scene.events if event.at.utc_s <= moment.utc_s]
    assert explain_at(earlier, "test", "2", moment.utc_s) == at(scene, moment)


def test_a_refusal_of_what_it_was_before_is_not_said_of_what_it_is_now() -> None:
    """A crash in maintenance turns out to be a disk that is missing: no start is considered."""
    scene = Scene()
    scene.restart_healer()
    scene.run(20)
    scene.say(Order.MAINTENANCE, "2")
    scene.crash("2")
    scene.run(10)
    assert "service:start was refused" in at(scene, scene.now)["paragraph"]
    scene.edit("2", unit_file="not-found")
    scene.run(10)
    past = at(scene, scene.now)
    assert past["condition"] == "UNIT_ABSENT"
    assert (past["decided"], past["guards"]) == (None, [])
    assert "was refused" not in past["paragraph"]
