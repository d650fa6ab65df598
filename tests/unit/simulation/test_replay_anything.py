"""Whatever a file holds, reading it ends in a replay or in a ReplayError; answers are whole."""

from __future__ import annotations

import gc
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings, strategies as st
from tests.unit.simulation.test_replay import HEADER, OTHERS, check, healthy, run, write

from kafka_self_healing.cli.main import cli
from kafka_self_healing.errors import ReplayError
from kafka_self_healing.healing.guards import asked
from kafka_self_healing.model.evidence import FACT_TYPE, Kind, Outcome
from kafka_self_healing.model.policy import Mode, Policy
from kafka_self_healing.model.recovery import ActClass
from kafka_self_healing.simulation.replay import Replay
from kafka_self_healing.simulation.replay_format import read

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
ROWS = [HEADER, *OTHERS, *(check(kind.value) for kind in Kind)]
KRAFT = [1, 2, 3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for one file after the other."""
    return tmp_path_factory.mktemp("replays")


def replayed(path: Path) -> list[dict[str, Any]] | None:
    """Replay a file; None if it is no replay file."""
    said: list[dict[str, Any]] = []
    try:
        Replay(read(path), Policy(mode=Mode.AUTO), said.append).run()
    except ReplayError as error:
        if not str(error).startswith(f"{path}:"):
            raise
        return None
    json.dumps(said, allow_nan=False)
    return said


def damaged(draw: st.DataObject, value: Any) -> Any:
    """Return a value with one thing in it exchanged for anything."""
    if isinstance(value, (dict, list)) and value and draw.draw(st.integers(0, 5)):
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = draw.draw(st.sampled_from(keys))
        changed = value.copy()
        changed[key] = damaged(draw, value[key])
        return changed
    return draw.draw(ANYTHING)


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=300))
def test_bytes_are_no_replay_file(folder: Path, data: bytes) -> None:
    """Nothing but a ReplayError, after a good header too."""
    path = folder / "a.jsonl"
    path.write_bytes(data)
    replayed(path)
    path.write_bytes(json.dumps(HEADER).encode() + b"\n" + data)
    replayed(path)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_one_thing_of_a_line_may_be_anything(folder: Path, data: st.DataObject) -> None:
    """Of the header, a look, a question, an order; by the reader or by the mind."""
    row = data.draw(st.sampled_from(ROWS))
    bad = damaged(data, row)
    ask = {"at": 9, "ask": {"id": "q", "action": "service:restart", "node": 2}}
    rows = [bad, ask] if row is HEADER else [HEADER, *healthy(0.5), bad, ask]
    path = folder / "b.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    replayed(path)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_every_question_is_answered_whole(folder: Path, data: st.DataObject) -> None:
    """For any node, role, mode, action and time: each guard of the class once, none failed."""
    draw = data.draw
    roles = st.sampled_from(("broker", "controller", "combined", "zookeeper"))
    nodes = [{"id": id_, "roles": [draw(roles)]} for id_ in KRAFT]
    mode = draw(st.sampled_from(("kraft", "zookeeper")))
    head = {**HEADER, "nodes": nodes, "mode": mode, "warm": draw(st.booleans())}
    rows: list[dict[str, Any]] = [head, *healthy(1.0)] if draw(st.booleans()) else [head]
    actions = st.sampled_from(("service:start", "service:restart", "playbook:x"))
    at = 1.0
    for number in range(draw(st.integers(1, 6))):
        at += draw(st.sampled_from((0.0, 1.0, 30.0)))
        kind = draw(st.sampled_from([*FACT_TYPE]))
        fact: dict[str, Any] | None = draw(st.sampled_from((None, {})))
        outcome = draw(st.sampled_from([*Outcome])).value
        node = draw(st.sampled_from(KRAFT))
        look = check(kind.value, node, outcome=outcome, started=at, fact=fact)
        rows.append({**look, "at": at})
        order = draw(st.sampled_from(("pause", "maintenance", "ack", "approve", "resume")))
        rows.append({"at": at, "operator": {"command": order, "target": node, "until": at + 10}})
        rows.append({"at": at, "ask": {"id": number, "action": draw(actions), "node": node}})
        rows.append({"at": at, "order": {"id": number, "action": draw(actions), "nodes": KRAFT}})
    said = replayed(write(folder / "c.jsonl", rows))
    assert said is not None
    answers = [line["answer"] for line in said if "answer" in line]
    asks = [row["ask"] for row in rows if "ask" in row]
    assert [answer["id"] for answer in answers] == [str(ask["id"]) for ask in asks]
    for answer, ask in zip(answers, asks, strict=True):
        act = ActClass.START if ask["action"] == "service:start" else ActClass.RESTART
        assert [row["guard"] for row in answer["guards"]] == [row.name for row in asked(act)]
        refusing = [row for row in answer["guards"] if row["says"] == "refuses"]
        assert all(row["text"] and row["lifted_by"] for row in refusing)
        assert "guard_failed" not in {row["reason"] for row in refusing}
        assert answer["allowed"] is not bool(refusing)
    orders = [sorted(line["order"]["order"]) for line in said if "order" in line]
    assert orders == [KRAFT] * len(asks)


def test_an_order_expires(tmp_path: Path) -> None:
    """A pause with an end holds until then, and no longer; one that has ended never holds."""

    def asked_at(at: float) -> dict[str, Any]:
        ask = {"id": "q", "action": "service:start", "node": 2, "guards": ["not_paused"]}
        return {"at": at, "ask": ask}

    pause = {"at": 2, "operator": {"command": "pause", "until": 7}}
    old = {"at": 20, "operator": {"command": "pause", "until": 19}}
    rows = [HEADER, asked_at(1), pause, asked_at(6.9), asked_at(7), old, asked_at(21)]
    said = run(write(tmp_path / "a.jsonl", rows))
    allowed = [line["answer"]["allowed"] for line in said if "answer" in line]
    assert allowed == [True, False, True, True]


def test_a_large_file_is_never_held(tmp_path: Path) -> None:
    """Ten times the lines leave no more behind when they have been read."""
    held = []
    for rounds in (10, 100):
        path = write(
            tmp_path / "a.jsonl", [HEADER, *(r for i in range(rounds) for r in healthy(i))]
        )
        gc.collect()
        tracemalloc.start()
        recording = read(path)
        assert sum(1 for _ in recording.lines) == rounds * len(healthy(1.0))
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    assert held[1] < held[0] * 2
    assert held[1] < path.stat().st_size / 2


@pytest.mark.parametrize(("wrong", "code"), [("", 0), ("condition", 1), ("act", 1), ("none", 2)])
def test_a_recording_is_judged(wrong: str, code: int, tmp_path: Path) -> None:
    """By its `expect`; a missing condition, an act too many, and no `expect` are told."""
    text = Path(__file__).parents[3] / "examples" / "replay" / "crash.jsonl"
    head, *lines = text.read_text(encoding="utf-8").splitlines()
    start = {"action": "service:start", "nodes": ["2"]}
    names = "PROCESS_HUNG" if wrong == "condition" else "PROCESS_GONE"
    expect = {"conditions": [[names]], "required": [] if wrong == "act" else [start]}
    header = {**json.loads(head), "expect": None if wrong == "none" else expect}
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([json.dumps(header), *lines]), encoding="utf-8")
    done = CliRunner().invoke(cli, ["replay", str(path), "--judge"])
    assert done.exit_code == code
    told = {"": "right", "condition": "never  PROCESS_HUNG", "act": "WRONG", "none": "expect"}
    assert told[wrong] in done.output
