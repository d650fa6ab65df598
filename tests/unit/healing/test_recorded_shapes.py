"""Shapes that real clusters showed under faults, fed to the mind as a replay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kafka_self_healing.model.evidence import CheckResult, Kind, Outcome
from kafka_self_healing.model.health import Track
from kafka_self_healing.model.policy import Mode, Policy
from kafka_self_healing.simulation.replay import Replay
from kafka_self_healing.simulation.replay_format import read

NODES = ("1", "2", "3")
RUNS = {"active": "active", "sub": "running", "result": "success", "pid": 81, "lock_held": True,
        "process_state": "S", "stop_requested": False, "tracer_pid": 0, "job": "",
        "host_lock": False, "unit_file": "enabled", "invocation": "run-1"}  # fmt: skip
KILLED = {**RUNS, "active": "failed", "sub": "failed", "result": "signal", "pid": 0, "signal": 9,
          "lock_held": False, "process_state": None}  # fmt: skip
EXITED = {**KILLED, "result": "exit-code", "signal": None, "exit_status": 1}


class Shape:
    """Writes three combined nodes' looks, one row a second, and replays them."""

    def __init__(self, path: Path) -> None:
        nodes = [{"id": n, "roles": ["combined"], "host": f"h{n}"} for n in NODES]
        head = {"format": "kafka-self-healing/replay-1", "cluster": "lab", "nodes": nodes,
                "session_timeout_s": 9, "warm": True}  # fmt: skip
        self._path, self._head = path, head
        self._lines: list[dict[str, Any]] = []

    def say(self, at: float, subject: str | None, kind: str, outcome: str, **more: Any) -> None:
        """Add one look."""
        check = {"subject": subject, "kind": kind, "outcome": outcome, "started": at, **more}
        self._lines.append({"at": at, "check": check})

    def done(self, at: float, node: str) -> None:
        """Add the end of an act."""
        self._lines.append({"at": at, "result": {"node": node, "outcome": "done"}})

    def machine(self, at: float, node: str, service: dict[str, Any], usable: int = 1 << 30) -> None:
        """Add what the node's host says."""
        dirs = [{"path": "/data", "same_device": True, "has_identity": True, "readable": True}]
        disks = [{"path": "/data", "total": 1 << 31, "usable": usable}]
        host = {"reachable": True, "ping": True, "data_dirs": dirs, "disks": disks}
        self.say(at, node, "SERVICE", "answered", fact=service)
        self.say(at, node, "HOST", "answered", fact=host)

    def doors(self, at: float, node: str, outcome: str) -> None:
        """Add our own looks at the node."""
        self.say(at, node, "LISTENER", outcome)
        self.say(at, node, "PROTOCOL", outcome)

    def well(self, at: float, node: str) -> None:
        """Add a row of a node without fault."""
        self.doors(at, node, "answered")
        self.machine(at, node, RUNS)

    def theirs(self, at: float, alive: tuple[str, ...], leader: str | None = "1") -> None:
        """Add what the living say of each other: metadata, and the quorum by its leader."""
        parts = [{"id": 0, "replicas": NODES, "isr": alive, "leader": alive[0],
                  "reassigning": False}]  # fmt: skip
        topics = [{"name": "t", "min_isr": 2, "unclean_election": False, "partitions": parts}]
        peers = {"listed": alive, "fenced": [], "topics": topics}
        now = int(1e9 + at * 1000)
        voters = [{"id": n, "last_fetch_ms": now if n in alive else now - 20_000,
                   "last_caught_up_ms": now if n in alive else now - 20_000}
                  for n in NODES]  # fmt: skip
        quorum = {"leader": leader, "epoch": 1, "fetch_timeout_ms": 2000, "now_ms": now,
                  "voters": voters}  # fmt: skip
        for node in alive:
            self.say(at, None, "PEERS", "answered", observer=node, fact=peers)
        if leader is not None:
            self.say(at, None, "QUORUM", "answered", observer=leader, fact=quorum)

    def run(self) -> list[dict[str, Any]]:
        """Replay and return what the mind says."""
        rows = [self._head, *sorted(self._lines, key=lambda line: float(line["at"]))]
        self._path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        said: list[dict[str, Any]] = []
        Replay(read(self._path), Policy(mode=Mode.AUTO), said.append).run()
        return said


@pytest.fixture
def shape(tmp_path: Path) -> Shape:
    """An empty recording of three well nodes."""
    found = Shape(tmp_path / "shape.jsonl")
    for at in range(-6, 0):
        for node in NODES:
            found.well(at, node)
        found.theirs(at, NODES)
    return found


def _acts(said: list[dict[str, Any]]) -> list[tuple[str, str]]:
    decisions = [row["decision"] for row in said if "decision" in row]
    return [(d["action"], d["node"]) for d in decisions if d["verdict"] == "act"]


def _states(said: list[dict[str, Any]]) -> list[tuple[str, str]]:
    found = [row["diagnosis"] for row in said if "diagnosis" in row]
    return [(d["condition"], d["state"]) for d in found]


def _refusals(said: list[dict[str, Any]]) -> set[str]:
    decisions = [row["decision"] for row in said if "decision" in row]
    return {reason["reason"] for d in decisions for reason in d["reasons"] if reason["blocking"]}


def _well_but(shape: Shape, at: float, sick: str) -> None:
    others = tuple(n for n in NODES if n != sick)
    for node in others:
        shape.well(at, node)


def test_a_crash_is_never_called_starting_for_sure(shape: Shape) -> None:
    """A refused port beside an older `active` is no proof of a start: the crash is found."""
    for at in range(12):
        _well_but(shape, at, "3")
        shape.theirs(at, NODES if at < 9 else ("1", "2"))
        shape.doors(at, "3", "refused")
        shape.machine(at + 0.1, "3", KILLED)
    said = shape.run()
    assert ("STARTING", "confirmed") not in _states(said)
    assert _acts(said) == [("service:start", "3")]


def test_a_node_dark_for_us_alone_is_confirmed_from_the_first_closed_way(shape: Shape) -> None:
    """Slow ssh looks do not put off the alert, and a suspicion that changes stays one."""
    for at in range(21):
        _well_but(shape, at, "3")
        shape.theirs(at, NODES)
        shape.doors(at, "3", "timed_out")
        if at % 3 == 0:
            shape.say(at, "3", "SERVICE", "unreachable")
            shape.say(at, "3", "HOST", "unreachable")
    said = shape.run()
    assert ("VIEWPOINT_LOST", "confirmed") in _states(said)
    assert _acts(said) == []


def test_a_frozen_host_is_told_once_the_others_have_dropped_it(shape: Shape) -> None:
    """Its kernel accepts, nothing answers: paged at the drop, never acted upon."""
    for at in range(14):
        _well_but(shape, at, "3")
        shape.theirs(at, NODES if at < 9 else ("1", "2"))
        shape.say(at, "3", "LISTENER", "answered")
        shape.say(at, "3", "PROTOCOL", "timed_out")
        if at % 3 == 0:
            shape.say(at, "3", "SERVICE", "timed_out")
            shape.say(at, "3", "HOST", "timed_out")
    said = shape.run()
    assert ("UNDIAGNOSED", "confirmed") in _states(said)
    assert _acts(said) == []


def test_a_full_disk_is_not_started_on(shape: Shape) -> None:
    """A broker that ended because its disk is full is left alone, and a person is paged."""
    for at in range(12):
        _well_but(shape, at, "3")
        shape.theirs(at, NODES if at < 9 else ("1", "2"))
        shape.doors(at, "3", "refused")
        shape.machine(at + 0.1, "3", EXITED, usable=0)
    said = shape.run()
    assert _acts(said) == []
    assert ("DISK_FULL", "confirmed") in _states(said)
    assert any("DISK_FULL" in row["page"]["text"] for row in said if "page" in row)


@pytest.mark.parametrize("leader", ["1", None])
def test_a_foreign_start_that_never_answered_is_not_repeated(
    shape: Shape, leader: str | None
) -> None:
    """Exit 1 after a start by somebody else: no start while led, as with a wrong cluster id."""
    for at in range(40):
        _well_but(shape, at, "3")
        shape.theirs(at, NODES if at < 9 else ("1", "2"), leader)
        shape.doors(at, "3", "refused")
        run = RUNS if at < 30 else EXITED
        shape.machine(at + 0.1, "3", {**run, "invocation": "run-2"})
    said = shape.run()
    assert ("never_answered" in _refusals(said)) is (leader is not None)
    assert _acts(said) == ([] if leader else [("service:start", "3")])


def test_a_start_that_never_came_stops_the_next_voter(shape: Shape) -> None:
    """Two voters are killed; the first start changes nothing, so the second is not tried."""
    for at in range(30):
        shape.well(at, "3")
        shape.theirs(at, ("3",), leader=None)
        shape.say(at, None, "QUORUM", "answered", observer="3", fact={"leader": None})
        for node in ("1", "2"):
            shape.say(at, None, "QUORUM", "refused", observer=node)
            shape.doors(at, node, "refused")
            shape.machine(at + 0.1, node, KILLED)
    shape.done(5.0, "1")
    said = shape.run()
    assert ("QUORUM_LOST", "confirmed") in _states(said)
    assert _acts(said) == [("service:start", "1")]
    assert "first_one_died" in _refusals(said)


def test_a_timeout_overtaken_by_an_answer_is_no_change() -> None:
    """A look that waited in vain from before the good one on does not make a node flap."""
    silent = CheckResult("healer", "1", Kind.PROTOCOL, Outcome.TIMED_OUT, 1.0, 3.0)
    good = CheckResult("healer", "1", Kind.PROTOCOL, Outcome.ANSWERED, 2.5, 2.6)
    track = Track(silent, good=False, since=3.0)
    late = CheckResult("healer", "1", Kind.PROTOCOL, Outcome.TIMED_OUT, 4.0, 6.0)
    answered = CheckResult("healer", "1", Kind.PROTOCOL, Outcome.ANSWERED, 4.5, 4.6)
    assert track.then(good) is track
    assert track.then(answered).then(late).changes == (4.6,)
    after = CheckResult("healer", "1", Kind.PROTOCOL, Outcome.TIMED_OUT, 4.7, 6.7)
    assert track.then(answered).then(after).changes == (4.6, 6.7)
