"""The operators' commands: what they print, and what they need for it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.command_line import Ended, Run
from tests.unit.daemon.daemon_house import HEAL_S, House, virtual

from kafka_self_healing.api.local import listening
from kafka_self_healing.errors import ControlError

QUESTIONS: dict[str, dict[str, Any]] = {
    "status": {"command": "status"},
    "nodes": {"command": "nodes"},
    "explain": {"command": "explain", "node": "2"},
}


class Recorded:
    """Answers as a daemon did whose node 2 had crashed while it was paused."""

    def __init__(self, answers: dict[str, dict[str, Any]]) -> None:
        self._answers = answers
        self.asked: list[dict[str, Any]] = []

    async def control(self, request: dict[str, Any], by: str) -> dict[str, Any]:
        """Give the recorded answer; a command is only remembered."""
        self.asked.append(request)
        name = request["command"]
        if name == "explain" and request["node"] != "2":
            raise ControlError(f"there is no node {request['node']!r}; there are: 1, 2, 3")
        return self._answers.get(name) or {"done": name, "by": by}


@pytest.fixture(scope="module")
def answers() -> dict[str, dict[str, Any]]:
    """What a real daemon answers while node 2 is down and the healer is paused."""
    said: dict[str, dict[str, Any]] = {}

    @virtual
    async def play() -> None:
        house = House()
        await house.open()
        await house.daemon.control({"command": "pause", "reason": "upgrade of rack 1"}, "ann")
        house.break_node("2")
        await asyncio.sleep(HEAL_S)
        for name, question in QUESTIONS.items():
            said[name] = await house.daemon.control(question, "ann")
        await house.close()

    play()
    return said


@pytest.fixture
def recorded(answers: dict[str, dict[str, Any]]) -> Recorded:
    """A daemon that gives the recorded answers."""
    return Recorded(answers)


async def _served(recorded: Recorded, state_dir: Path, kheal: Run, *arguments: str) -> Ended:
    async with listening(state_dir, recorded):
        return await asyncio.to_thread(kheal, *arguments, "--state-dir", state_dir)


async def test_status_in_words(recorded: Recorded, tmp_path: Path, kheal: Run) -> None:
    """Mode, quorum, the pause with its reason, every node, and the incident."""
    ended = await _served(recorded, tmp_path, kheal, "status")

    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0] == "cluster test, mode auto, quorum led"
    assert "pause by ann: upgrade of rack 1" in lines
    assert "  node 1: well" in lines
    assert "  node 2: PROCESS_GONE" in lines
    assert any(": PROCESS_GONE (confirmed) of node 2," in line for line in lines)


async def test_nodes_reach_in_words(recorded: Recorded, tmp_path: Path, kheal: Run) -> None:
    """By which ways the running daemon reaches each node; a line a way."""
    ended = await _served(recorded, tmp_path, kheal, "nodes", "--reach")

    assert ended.code == 0
    assert ended.out.splitlines() == [
        line
        for n in (1, 2, 3)
        for line in (
            f"node {n} (broker, controller)",
            "  host        here, if 127.0.0.1 is this machine",
        )
    ]


async def test_nodes_in_words(recorded: Recorded, tmp_path: Path, kheal: Run) -> None:
    """A table with a heading and a row a node."""
    ended = await _served(recorded, tmp_path, kheal, "nodes")

    lines = ended.out.splitlines()
    assert lines[0].split() == [
        "node", "state", "process", "pid", "answers", "counted_in", "in_sync", "leads",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[1:4]] == ["1", "2", "3"]
    assert lines[2].split()[1:5] == ["PROCESS_GONE", "ended", "0", "no"]


async def test_explain_in_words(recorded: Recorded, tmp_path: Path, kheal: Run) -> None:
    """The sentence first, then what is seen, the guards with what lifts them, and the story."""
    ended = await _served(recorded, tmp_path, kheal, "explain", "2")

    lines = ended.out.splitlines()
    assert lines[0].startswith("node 2: service:start is not done: paused by ann")
    assert "diagnosis: PROCESS_GONE" in lines
    assert (
        "  not_paused refuses: paused by ann: upgrade of rack 1"
        " (lifted by: kafka-self-healing resume)" in lines
    )
    assert "the story so far:" in lines


async def test_explain_lists_every_guard_and_the_runbook(
    recorded: Recorded, tmp_path: Path, kheal: Run
) -> None:
    """Those that refuse first, then those that permit with their numbers; what you do."""
    ended = await _served(recorded, tmp_path, kheal, "explain", "2")

    lines = ended.out.splitlines()
    first = lines.index("guards of service:start:")
    assert lines[first + 1].startswith("  not_paused refuses:")
    assert "  attempts_left permits: attempt 1 of rung 1 of 1" in lines
    assert "  mode_permits permits: mode auto" in lines
    assert any(line.startswith("what you do: ") for line in lines)
    assert any(line.startswith("  contradicted by: ") for line in lines)


@pytest.mark.parametrize("name", QUESTIONS)
async def test_the_answer_as_json_is_the_daemon_s_own(
    recorded: Recorded,
    answers: dict[str, dict[str, Any]],
    tmp_path: Path,
    kheal: Run,
    name: str,
) -> None:
    """`--json` prints the whole answer and nothing else."""
    arguments = [name, "2"] if name == "explain" else [name]

    ended = await _served(recorded, tmp_path, kheal, *arguments, "--json")

    assert json.loads(ended.out) == json.loads(json.dumps(answers[name]))


COMMANDS: dict[str, tuple[list[str], dict[str, Any], str]] = {
    "pause": (
        ["pause", "--reason", "why"],
        {"command": "pause", "reason": "why", "until": None},
        "paused: no act until resume (as ",
    ),
    "resume": (["resume"], {"command": "resume"}, "resumed: warming up first (as "),
    "ack": (
        ["ack", "incident-7"],
        {"command": "ack", "target": "incident-7"},
        "incident-7: acknowledged (as ",
    ),
    "approve": (
        ["approve", "incident-7"],
        {"command": "approve", "target": "incident-7"},
        "incident-7: approved (as ",
    ),
    "maintenance": (
        ["maintenance", "2", "--reason", "disk"],
        {"command": "maintenance", "target": "2", "reason": "disk", "until": None},
        "maintenance of node 2 begun (as ",
    ),
    "maintenance of all": (
        ["maintenance"],
        {"command": "maintenance", "target": "", "reason": "", "until": None},
        "maintenance of the cluster begun (as ",
    ),
    "end of a maintenance": (
        ["maintenance", "2", "--end"],
        {"command": "maintenance-end", "target": "2", "reason": "", "until": None},
        "maintenance of node 2 ended (as ",
    ),
}


@pytest.mark.parametrize("case", COMMANDS)
async def test_a_command_is_sent_and_its_end_told(
    recorded: Recorded, tmp_path: Path, kheal: Run, case: str
) -> None:
    """The daemon gets exactly what was meant; the answer names the user as whom it was done."""
    arguments, request, words = COMMANDS[case]

    ended = await _served(recorded, tmp_path, kheal, *arguments)

    assert ended.code == 0
    assert recorded.asked == [request]
    assert ended.out.startswith(words)


PLAN: dict[str, Any] = {
    "id": "plan-4", "incident": "incident-3", "state": "running", "approved_by": "ann",
    "until": "23:34:02.0Z", "left_s": 3511.0, "reason": "",
    "steps": [
        {"node": "101", "why": "a dead voter", "done": "its process lives", "now": False},
        {"node": "1", "why": "last known in sync", "done": "", "now": True},
        {"node": "2", "why": "the rest", "done": "", "now": False},
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("plan", "lines"),
    [
        (None, ["there is no plan: none was called for"]),
        (
            PLAN,
            [
                "plan-4 of incident-3 is running, approved by ann, until 23:34:02.0Z (3511 s left)",
                "  1. start node 101 (a dead voter): done, its process lives",
                "  2. start node 1 (last known in sync): now",
                "  3. start node 2 (the rest): waits",
            ],
        ),
        (
            PLAN | {"state": "stopped", "left_s": 0.0, "reason": "it failed", "steps": []},
            ["plan-4 of incident-3 is stopped, approved by ann: it failed"],
        ),
        (
            PLAN | {"state": "proposed", "approved_by": "", "steps": []},
            [
                "plan-4 of incident-3 is proposed, until 23:34:02.0Z (3511 s left)",
                "approve the whole of it: kafka-self-healing approve plan-4",
            ],
        ),
    ],
)
async def test_a_plan_in_words(
    plan: dict[str, Any] | None, lines: list[str], tmp_path: Path, kheal: Run
) -> None:
    """Each step with its reason and how far it is; how to approve it, or why it ended."""
    ended = await _served(Recorded({"plan": {"plan": plan}}), tmp_path, kheal, "plan")

    assert ended.out.splitlines() == lines


async def test_status_names_what_waits_for_a_person(
    answers: dict[str, dict[str, Any]], tmp_path: Path, kheal: Run
) -> None:
    """A circuit with what closes it, and a request with what to type."""
    asked = {
        "id": "approval-9", "incident": "incident-7", "node": "3", "action": "service:restart",
        "lifts": ["others_are_well: not known healthy: 2"], "until": "23:31:43.0Z",
        "left_s": 100.0, "approve": "incident-7",
    }  # fmt: skip
    circuit = {
        "node": "2", "condition": "PROCESS_GONE", "problem": "ended", "attempts": 2,
        "lifted_by": "kafka-self-healing ack incident-1",
    }  # fmt: skip
    said = answers["status"] | {"approvals": [asked], "circuits_open": [circuit]}

    ended = await _served(Recorded({"status": said}), tmp_path, kheal, "status")

    lines = ended.out.splitlines()
    assert "approval-9 asks to approve: service:restart on node 3, until 23:31:43.0Z" in lines
    assert "    kafka-self-healing approve incident-7" in lines
    assert "    lifts others_are_well: not known healthy: 2" in lines
    assert any("circuit open, 2 attempts against PROCESS_GONE" in line for line in lines)


async def test_a_pause_for_a_while_ends_by_itself(
    recorded: Recorded, tmp_path: Path, kheal: Run
) -> None:
    """`--for` becomes a moment in UTC seconds."""
    ended = await _served(recorded, tmp_path, kheal, "pause", "--reason", "x", "--for", "600")

    assert ended.code == 0
    assert recorded.asked[0]["until"] > 1_700_000_000.0
    assert ended.out.startswith("paused: no act for 600 s, or until resume (as ")


async def test_a_refusal_is_one_line_and_exit_1(
    recorded: Recorded, tmp_path: Path, kheal: Run
) -> None:
    """What the daemon refuses is printed in its words, without a traceback."""
    ended = await _served(recorded, tmp_path, kheal, "explain", "9")

    assert ended == Ended(1, "", "kafka-self-healing: there is no node '9'; there are: 1, 2, 3\n")


def test_without_a_daemon_it_says_where_it_looked(kheal: Run, tmp_path: Path) -> None:
    """No daemon, no traceback: the socket's path and what to do."""
    ended = kheal("status", "--state-dir", tmp_path)

    assert ended.code == 1
    assert ended.err.startswith(f"kafka-self-healing: no daemon listens on {tmp_path}/control.sock")


def test_which_daemon_must_be_said(kheal: Run) -> None:
    """Without an option and without a variable it asks for one."""
    ended = kheal("status")

    assert ended.code == 1
    assert "Name its --config or --state-dir, or set $KHEAL_CONFIG" in ended.err


def test_the_variables_name_the_daemon(
    kheal: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """$KHEAL_STATE_DIR is used, and an option is stronger."""
    monkeypatch.setenv("KHEAL_STATE_DIR", str(tmp_path / "variable"))

    by_variable = kheal("status")
    by_option = kheal("status", "--state-dir", tmp_path / "option")

    assert f"{tmp_path}/variable/control.sock" in by_variable.err
    assert f"{tmp_path}/option/control.sock" in by_option.err


@pytest.mark.parametrize(
    "arguments",
    [["pause"], ["explain"], ["ack"], ["approve"], ["replay"], ["run"], ["destroy"],
     ["pause", "--reason", "x", "--for", "0"], ["status", "--colour"]],
)  # fmt: skip
def test_wrong_usage_is_exit_2(kheal: Run, arguments: list[str]) -> None:
    """What is missing or unknown is named; nothing is done."""
    ended = kheal(*arguments)

    assert ended.code == 2
    assert "Error: " in ended.err
    assert "Traceback" not in ended.err


async def test_status_loads_little(recorded: Recorded, tmp_path: Path) -> None:
    """With --state-dir a question loads neither the store nor the configuration nor the mind."""
    heavy = ["sqlalchemy", "alembic", "pydantic", "yaml", "asyncio", "structlog", "rich", "jinja2",
             "kafka_self_healing.healing", "kafka_self_healing.app"]  # fmt: skip
    code = (
        "import sys\n"
        "from kafka_self_healing.cli.main import cli\n"
        f"cli(['status', '--state-dir', {str(tmp_path)!r}], standalone_mode=False)\n"
        f"print([name for name in {heavy!r} if name in sys.modules])\n"
    )
    async with listening(tmp_path, recorded):
        ran = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ},
        )

    assert ran.stdout.splitlines()[0].startswith("cluster test")
    assert ran.stdout.splitlines()[-1] == "[]"
