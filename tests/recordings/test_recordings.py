"""Every recording of a real fault is a replay file, and no act in it is a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from kafka_self_healing.simulation import replay_schema
from tests.recordings.adapter import NAMES, replay_lines
from tests.recordings.table import judged

SCHEMA = Draft202012Validator(replay_schema.build())
RECORDINGS = 30


def test_all_recordings_are_here() -> None:
    """None was lost on the way."""
    assert len(NAMES) == RECORDINGS


@pytest.mark.parametrize("name", NAMES)
def test_a_recording_becomes_a_valid_replay_file(name: str) -> None:
    """Each line fits the published schema, in order of time, with looks of every node."""
    lines = replay_lines(name)
    assert [error.message for line in lines for error in SCHEMA.iter_errors(line)] == []
    times = [line["at"] for line in lines[1:]]
    assert times == sorted(times)
    looked_at = {line["check"]["subject"] for line in lines[1:]}
    assert {node["id"] for node in lines[0]["nodes"]} <= looked_at


@pytest.mark.parametrize("name", NAMES)
def test_no_act_on_a_recording_is_wrong(name: str, tmp_path: Path) -> None:
    """What must be done is done, once; nothing else is; and the condition is the right one."""
    verdict = judged(name, tmp_path)
    assert verdict.wrong == ()
    assert [seen.what for seen in verdict.required if seen.at is None] == []
    assert [seen.what for seen in verdict.conditions if seen.at is None] == []
    assert verdict.right
