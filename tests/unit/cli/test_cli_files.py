"""Commands that read files: all errors at once, with their place, and exit status 2."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.command_line import Run
from tests.unit.config.config_files import changed

HEADER: dict[str, Any] = {
    "format": "kafka-self-healing/replay-1",
    "cluster": "orders",
    "mode": "kraft",
    "session_timeout_s": 9,
    "warm": True,
    "nodes": [{"id": n, "roles": ["broker", "controller"]} for n in (1, 2, 3)],
}


def _config(folder: Path, **changes: Any) -> Path:
    path = folder / "healer.yaml"
    path.write_text(changed(changes), encoding="utf-8")
    return path


def _recording(folder: Path, *lines: Any) -> Path:
    path = folder / "incident.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return path


def test_check_config_of_a_good_file(kheal: Run, tmp_path: Path) -> None:
    """It says what it read, that there is no error, and what it cannot heal."""
    path = _config(tmp_path, mode="auto")

    ended = kheal("check-config", path)

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[0] == f"{path}: cluster orders, 3 nodes, mode auto: no errors"


def test_check_config_lists_what_cannot_be_healed(kheal: Run, tmp_path: Path) -> None:
    """Without a service manager nothing can be started, and it says so for each condition."""
    ended = kheal("check-config", _config(tmp_path, **{"mode": "auto", "cluster.service": None}))

    gaps = [line for line in ended.out.splitlines() if line.startswith("cannot heal: ")]
    assert ended.code == 0
    assert any("PROCESS_GONE" in gap for gap in gaps)


def test_check_config_prints_every_error_with_its_place(kheal: Run, tmp_path: Path) -> None:
    """All errors at once, each as file:line:col: path: message; exit status 2."""
    path = _config(tmp_path, mode="autos", **{"cluster.nodes.0.kafka_port": 70000, "extra": 1})

    ended = kheal("check-config", path)

    lines = ended.err.splitlines()
    assert ended.code == 2
    assert ended.out == ""
    assert len(lines) == 3
    for line, key in zip(lines, ("cluster.nodes[0].kafka_port", "mode", "extra"), strict=True):
        place, _, words = line.removeprefix(f"{path}:").partition(": ")
        row, column = place.split(":")
        assert (int(row) > 0, int(column) > 0) == (True, True)
        assert words.startswith(f"{key}: ")


@pytest.mark.parametrize("command", ["check-config", "run", "audit", "status"])
def test_a_file_that_does_not_exist_is_a_clear_error(
    kheal: Run, tmp_path: Path, command: str
) -> None:
    """The path, what is wrong with it, exit status 2, no traceback."""
    path = tmp_path / "nowhere.yaml"
    arguments = {
        "check-config": ["check-config", path],
        "run": ["run", "--config", path],
        "audit": ["audit", "verify", "--config", path],
        "status": ["status", "--config", path],
    }

    ended = kheal(*arguments[command])

    assert ended.code == 2
    assert ended.err.startswith(f"{path}:1:1: cannot be read: no such file")


def test_a_state_folder_without_a_journal_cannot_be_verified(kheal: Run, tmp_path: Path) -> None:
    """Verifying makes no journal; it says which folder has none."""
    ended = kheal("audit", "verify", "--config", _config(tmp_path, state_dir=str(tmp_path / "s")))

    assert ended.code == 1
    assert "there is no journal" in ended.err
    assert not (tmp_path / "s").exists()


def test_replay_prints_what_the_mind_comes_to(kheal: Run, tmp_path: Path) -> None:
    """Each change is a line, the last one is the end."""
    looks = [
        {"at": at, "check": {"subject": "2", "kind": kind, "outcome": "refused"}}
        for at in (1.0, 2.0)
        for kind in ("LISTENER", "PROTOCOL")
    ]
    path = _recording(tmp_path, HEADER, *looks)

    words, objects = kheal("replay", path), kheal("replay", path, "--json")

    assert (words.code, objects.code) == (0, 0)
    assert words.out.splitlines()[-1].split()[1:] == ["end", "turns", "2,", "acts", "0"]
    last = [json.loads(line) for line in objects.out.splitlines()][-1]
    assert set(last) == {"at", "end"}
    assert last["end"]["acts"] == 0


def test_replay_takes_the_policy_of_a_configuration(kheal: Run, tmp_path: Path) -> None:
    """With --config the inventory of the file is the recording's too: it must agree."""
    path = _recording(tmp_path, {**HEADER, "cluster": "payments"})

    ended = kheal("replay", path, "--config", _config(tmp_path, mode="auto"))

    assert ended.code in {0, 2}
    assert "Traceback" not in ended.err


BAD_LINES: dict[str, tuple[list[Any], int, str]] = {
    "another format": ([{**HEADER, "format": "x"}], 1, "format"),
    "unknown key in the header": ([{**HEADER, "colour": 1}], 1, "colour"),
    "unknown key in a line": ([HEADER, {"at": 1, "chek": {}}], 2, "chek"),
    "unknown key in a look": (
        [HEADER, {"at": 1, "check": {"subject": "1", "kind": "LISTENER", "outcome": "closed",
                                     "colour": 1}}],
        2,
        "colour",
    ),
    "unknown outcome": (
        [HEADER, {"at": 1, "check": {"subject": "1", "kind": "LISTENER", "outcome": "happy"}}],
        2,
        "outcome",
    ),
    "unknown fact": (
        [HEADER, {"at": 1, "check": {"subject": "1", "kind": "SERVICE", "outcome": "answered",
                                     "fact": {"aktive": "x"}}}],
        2,
        "aktive",
    ),
    "time goes back": (
        [HEADER, {"at": 2, "operator": {"command": "resume", "by": "a"}},
         {"at": 1, "operator": {"command": "resume", "by": "a"}}],
        3,
        "at",
    ),
    "unknown guard": (
        [HEADER, {"at": 1, "ask": {"id": 1, "action": "service:start", "node": "1",
                                   "guards": ["is_tuesday"]}}],
        2,
        "is_tuesday",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_LINES)
def test_replay_of_bad_input_names_file_and_line(kheal: Run, tmp_path: Path, case: str) -> None:
    """Exit status 2 and file:line: path: what is wrong; nothing is replayed."""
    lines, number, word = BAD_LINES[case]
    path = _recording(tmp_path, *lines)

    ended = kheal("replay", path, "--json")

    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.startswith(f"{path}:{number}: ")
    assert word in ended.err


def test_one_bad_recording_among_good_ones_replays_none(kheal: Run, tmp_path: Path) -> None:
    """All files are read before the first is replayed."""
    good = _recording(tmp_path, HEADER)
    bad = tmp_path / "bad.jsonl"
    bad.write_text("{\n", encoding="utf-8")

    ended = kheal("replay", good, bad, "--json")

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"{bad}:1: ")


def test_simulate_says_how_many_seeds_held(kheal: Run) -> None:
    """A few seeds run in a moment; exit status 0 when every invariant holds."""
    ended = kheal("simulate", "--seeds", "2")

    assert ended.code == 0
    assert "2" in ended.out
