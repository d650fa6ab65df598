"""The supervisor and its control program, with `sleep` in the place of brokers."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kafka_self_healing.clock import boot_seconds, pause
from kafka_self_healing.demo.acts import count_acts, read_acts
from kafka_self_healing.demo.errors import DemoError
from kafka_self_healing.demo.leftovers import end_leftovers, read_state
from kafka_self_healing.demo.node_process import NodeDefinition, write_definitions
from kafka_self_healing.demo.processes import ProcessIdentity, identify
from kafka_self_healing.demo.supervised import start_supervisor
from kafka_self_healing.demo.supervisorctl import ask, main, parse

SLEEP = ("sleep", "300")
STUBBORN = ("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done")


def lay_out(folder: Path) -> None:
    """Define nodes 1 and 2 (they sleep), 3 (ignores TERM) and 4 (cannot be started)."""
    commands = {"1": SLEEP, "2": SLEEP, "3": STUBBORN, "4": (str(folder / "missing"),)}
    write_definitions(
        folder,
        {
            node: NodeDefinition(argv, str(folder), str(folder / f"{node}.log"))
            for node, argv in commands.items()
        },
    )


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder whose supervisor is at work."""
    lay_out(tmp_path)
    supervisor = start_supervisor(tmp_path)
    yield tmp_path
    supervisor.kill()
    supervisor.wait()
    end_leftovers(tmp_path)


def request(folder: Path, command: str, node: str = "1", **more: object) -> dict[str, object]:
    """Ask the supervisor in this process."""
    return ask(str(folder), {"command": command, "node": node, "by": "healer", **more}, 20.0)


def until(is_so: Callable[[], bool], limit_s: float = 10.0) -> None:
    """Wait for a real process; fail after the limit."""
    deadline_s = boot_seconds() + limit_s
    while not is_so():
        assert boot_seconds() < deadline_s
        pause(0.01)


def identity_of(folder: Path, node: str) -> ProcessIdentity:
    """The process of a running node."""
    identity = identify(int(str(request(folder, "status", node)["pid"])))
    assert identity is not None
    return identity


def test_socket_is_for_its_owner_alone(folder: Path) -> None:
    """Nobody else on the machine may start or stop the nodes."""
    mode = stat.S_IMODE((folder / "supervisor.sock").stat().st_mode)

    assert mode == 0o600


def test_nothing_is_started_unasked(folder: Path) -> None:
    """A fresh supervisor has stopped nodes that nobody stopped."""
    answer = request(folder, "status")

    assert (
        answer["state"],
        answer["stopped_by"],
        answer["invocation"],
    ) == ("stopped", "unknown", None)


def test_start_of_a_running_node_does_nothing(folder: Path) -> None:
    """A second start says so, succeeds, and leaves the process as it is."""
    first = request(folder, "start")
    second = request(folder, "start")

    assert (second["ok"], second["message"]) == (True, "already running")
    assert (first["pid"], first["invocation"]) == (second["pid"], second["invocation"])
    assert count_acts(read_acts(folder))["1"].spawned == 1


def test_node_runs_in_a_session_of_its_own(folder: Path) -> None:
    """A signal to the terminal's or the supervisor's group does not reach a node."""
    pid = int(str(request(folder, "start")["pid"]))

    assert os.getsid(pid) == pid


def test_stop_names_who_asked(folder: Path) -> None:
    """A stop on purpose is `stopped`, by the one who asked, with the ending as seen."""
    request(folder, "start")

    answer = request(folder, "stop", by="operator")

    assert (
        answer["state"],
        answer["stopped_by"],
        answer["signal"],
    ) == ("stopped", "operator", 15)


def test_crash_is_told_from_a_stop(folder: Path) -> None:
    """A KILL from outside is `failed`, by unknown, and keeps the invocation of the dead process."""
    started = request(folder, "start")

    request(folder, "fault", signal="KILL")
    until(lambda: request(folder, "status")["state"] != "running")

    answer = request(folder, "status")
    assert (answer["state"], answer["signal"], answer["stopped_by"]) == ("failed", 9, "unknown")
    assert started["invocation"] == answer["invocation"]


def test_term_from_outside_is_a_stop_by_nobody_known(folder: Path) -> None:
    """TERM by a stray tool is a clean end that nobody asked the supervisor for."""
    os.kill(int(str(request(folder, "start")["pid"])), signal.SIGTERM)
    until(lambda: request(folder, "status")["state"] != "running")

    answer = request(folder, "status")

    assert (answer["state"], answer["stopped_by"]) == ("stopped", "unknown")


def test_each_start_has_its_own_invocation(folder: Path) -> None:
    """A restarted node is not mistaken for the process before; starts by order are no restarts."""
    first = request(folder, "start")
    request(folder, "kill")
    second = request(folder, "start")

    assert first["invocation"] != second["invocation"]
    assert (first["restarts"], second["restarts"]) == (0, 0)


def test_stop_that_is_ignored_ends_at_its_limit_and_kill_ends_it(folder: Path) -> None:
    """A stop is bounded: it then reports `stopping`, refuses a start, and kill goes through."""
    request(folder, "start", "3")
    until(lambda: b"ready" in (folder / "3.log").read_bytes())

    stopping = request(folder, "stop", "3", timeout_s=0.3)
    refused = request(folder, "start", "3")
    killed = request(folder, "kill", "3")

    assert (stopping["ok"], stopping["state"]) == (False, "stopping")
    assert (refused["ok"], refused["message"]) == (False, "still stopping")
    assert (killed["ok"], killed["state"], killed["signal"]) == (True, "stopped", 9)


def test_operator_outweighs_the_healer(folder: Path) -> None:
    """An operator who stops what the healer has stopped is the one who counts."""
    request(folder, "start")
    request(folder, "stop", by="healer")
    assert request(folder, "status")["stopped_by"] == "healer"

    request(folder, "stop", by="operator")

    assert request(folder, "status")["stopped_by"] == "operator"


def test_healer_stopping_a_crashed_node_does_not_hide_the_crash(folder: Path) -> None:
    """A stop of a dead node changes nothing that is known of its end."""
    request(folder, "start")
    request(folder, "fault", signal="KILL")
    until(lambda: request(folder, "status")["state"] != "running")

    answer = request(folder, "stop", by="healer")

    assert (answer["state"], answer["stopped_by"]) == ("failed", "unknown")


def test_program_that_cannot_be_started_is_failed(folder: Path) -> None:
    """A missing program is told in words and leaves the supervisor at work."""
    answer = request(folder, "start", "4")

    assert (answer["ok"], answer["state"]) == (False, "failed")
    assert "No such file" in str(answer["message"])
    assert request(folder, "start", "1")["ok"] is True


@pytest.mark.parametrize(
    "line", [b"nonsense\n", b"[1]\n", b"{}\n", b'{"command": "dance", "node": "1"}\n']
)
def test_wrong_request_is_answered(folder: Path, line: bytes) -> None:
    """What is no request gets an answer that says so, and the supervisor goes on."""
    code = (
        "import os, socket, sys\n"
        "os.chdir(sys.argv[1]); s = socket.socket(socket.AF_UNIX)\n"
        "s.connect('supervisor.sock'); s.sendall(sys.argv[2].encode()); s.settimeout(10)\n"
        "sys.stdout.write(s.recv(4096).decode())"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(folder), line.decode()],
        capture_output=True,
        check=True,
    )

    assert json.loads(said.stdout)["ok"] is False
    assert request(folder, "status")["ok"] is True


def test_acts_tell_who_did_what(folder: Path) -> None:
    """Every request, process and end is counted with its author."""
    request(folder, "start")
    request(folder, "fault", signal="KILL")
    until(lambda: request(folder, "status")["state"] != "running")
    request(folder, "start")
    request(folder, "stop", by="operator")

    acts = read_acts(folder)

    counts = count_acts(acts)["1"]
    assert counts.spawned == 2
    assert counts.requests == {("start", "healer"): 2, ("stop", "operator"): 1}
    ends = [(act.by, act.result) for act in acts if act.what == "exited"]
    assert ends == [("unknown", "signal 9"), ("operator", "signal 15")]
    assert [act.at for act in acts] == sorted(act.at for act in acts)
    journal = request(folder, "journal")
    assert journal["spawned"] == {"1": 2}


def test_control_program_prints_keys_and_codes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The control program speaks key=value and the codes of the LSB."""
    place = ["--dir", str(folder)]

    codes = [
        main([*place, "status", "1"]),
        main([*place, "start", "1", "--by", "healer"]),
        main([*place, "status", "1"]),
        main([*place, "fault", "1", "KILL"]),
    ]
    until(lambda: request(folder, "status")["state"] != "running")
    capsys.readouterr()
    codes.append(main([*place, "status", "1"]))

    assert codes == [3, 0, 0, 0, 1]
    lines = capsys.readouterr().out.splitlines()
    assert {"state=failed", "signal=9", "stopped_by=unknown", "restarts=0"} <= set(lines)
    assert main([*place, "status", "77"]) == 4


def test_control_program_without_a_supervisor_knows_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No supervisor is code 4 (unknown), never `stopped`."""
    assert main(["--dir", str(tmp_path), "status", "1"]) == 4
    assert "no supervisor answers" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line", [[], ["status", "1"], ["--dir", "x"], ["--dir", "x", "status"], ["--dir"], ["--no"]]
)
def test_wrong_command_line_is_refused(line: list[str]) -> None:
    """A line without folder, command or node is an error of usage."""
    assert main(line) == 2


def test_options_may_stand_anywhere() -> None:
    """Options before and after the verb mean the same: the daemon adds verb and node at the end."""
    before = parse(["--dir", "x", "--by", "healer", "stop", "2"])
    after = parse(["stop", "2", "--by=healer", "--dir=x"])

    assert before == after == ("x", {"command": "stop", "node": "2", "by": "healer",
                                     "timeout_s": 30.0}, 30.0)  # fmt: skip


def test_control_program_imports_little() -> None:
    """It is run for every look: neither asyncio nor anything beside the standard library."""
    code = (
        "import sys; import kafka_self_healing.demo.supervisorctl as s\n"
        "print([n for n in ('asyncio', 'subprocess', 'argparse', 'dataclasses', 'rich', 'kafka')"
        " if n in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert said.stdout.strip() == "[]"


def test_term_stops_the_nodes_in_order(tmp_path: Path) -> None:
    """A supervisor that is told to end leaves no process, no socket and no state file."""
    lay_out(tmp_path)
    supervisor = start_supervisor(tmp_path)
    request(tmp_path, "start")
    request(tmp_path, "fault", signal="STOP")
    node = identity_of(tmp_path, "1")

    supervisor.terminate()

    assert supervisor.wait(20) == 0
    assert not node.is_alive()
    assert read_state(tmp_path) is None
    assert not (tmp_path / "supervisor.sock").exists()
    assert read_acts(tmp_path)[-1].detail == "told to end"


def test_killed_supervisor_takes_its_nodes_along(tmp_path: Path) -> None:
    """The kernel ends the nodes of a killed supervisor; the next run finds nothing to do."""
    lay_out(tmp_path)
    supervisor = start_supervisor(tmp_path)
    request(tmp_path, "start")
    node = identity_of(tmp_path, "1")

    supervisor.kill()
    supervisor.wait()

    until(lambda: not node.is_alive())
    assert end_leftovers(tmp_path) == []
    assert read_state(tmp_path) is None


def test_supervisor_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    """A demo that is killed leaves neither its supervisor nor its nodes."""
    lay_out(tmp_path)
    code = (
        "import sys, pathlib, time\n"
        "from kafka_self_healing.demo.supervised import start_supervisor\n"
        "s = start_supervisor(pathlib.Path(sys.argv[1])); print(s.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    with parent.stdout as told:
        supervisor = identify(int(told.readline()))
    assert supervisor is not None
    request(tmp_path, "start")
    node = identity_of(tmp_path, "1")
    with pytest.raises(DemoError, match="in use by process"):
        end_leftovers(tmp_path)

    parent.kill()
    parent.wait()

    until(lambda: not supervisor.is_alive() and not node.is_alive())
    assert read_acts(tmp_path)[-1].detail == "parent is gone"


def test_second_supervisor_is_refused(folder: Path) -> None:
    """Two supervisors in one folder would each start the same node."""
    module = "kafka_self_healing.demo.supervisor"
    second = subprocess.run(
        [sys.executable, "-m", module, "--dir", str(folder), "--parent", str(os.getpid())],
        capture_output=True,
        text=True,
        check=False,
    )

    assert second.returncode == 1
    assert "another one works" in second.stderr
