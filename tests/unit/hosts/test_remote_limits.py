"""What runs on another host: told when it could not be killed, and not cut off by our own looks."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.unit.hosts.ssh_server import ssh_world

from kafka_self_healing.clock import SystemClock
from kafka_self_healing.hosts import Asked, CommandOutcome, HostUnreachable, Question, SshHost
from kafka_self_healing.hosts.conversation import Heard
from kafka_self_healing.hosts.data_dirs import KnownDevices
from kafka_self_healing.hosts.host import Reading
from kafka_self_healing.hosts.remote_look import (
    read_answer,
    read_hanging,
    to_reading,
    write_look,
)
from kafka_self_healing.hosts.remote_run import Order, read_end
from kafka_self_healing.hosts.run_dir import RunDirectory

LIMIT_S = 20.0
NONCE = "0123456789abcdef"
SHELLS = (["dash"], ["bash", "--posix"], ["busybox", "sh"])
QUESTION = Question(commands=(Asked("status", ("echo", "well")),))
MAY_NOT_KILL = (
    'kill() { case $* in *KILL*) return 1 ;; *) command kill "$@" ;; esac; }\n'  # as sudo's child
)


def shell_says(
    shell: list[str], text: bytes, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Let a shell read `text` as the other end of a connection does."""
    if shutil.which(shell[0]) is None:
        pytest.skip(f"this machine has no {shell[0]}")
    env = {**os.environ, **environment}
    return subprocess.run(
        [*shell, "-s"], input=text, capture_output=True, env=env, timeout=LIMIT_S, check=False
    )


def end_of(order: Order, shell: list[str], before: str = "", **environment: str) -> CommandOutcome:
    """Return what is made of an order that a shell has carried out."""
    text = before.encode() + order.talk.opening + order.talk.order
    done = shell_says(shell, text, **environment)
    _, found, closing = done.stdout.partition(order.talk.end)
    line = closing.partition(b"\n")[0] if found else None
    heard = Heard(done.stdout, "", True, line, 0.0, 0, False)
    return read_end(order, heard, 0.0, 1.0).outcome


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_what_could_not_be_killed_at_its_limit_is_unknown(shell: list[str]) -> None:
    """A program that sudo made root's outlives its limit: nobody may call it killed."""
    order = Order(("sleep", "3"), {}, 1)
    assert end_of(order, shell, MAY_NOT_KILL) is CommandOutcome.UNKNOWN
    assert end_of(order, shell) is CommandOutcome.TIMED_OUT


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_a_start_is_given_also_where_no_file_can_be_made(shell: list[str], tmp_path: Path) -> None:
    """A full disk of the host costs the output, not the start."""
    (tmp_path / "mktemp").write_text("#!/bin/sh\necho /nonexistent/folder\n")
    (tmp_path / "mktemp").chmod(0o755)
    order = Order(("touch", str(tmp_path / "started")), {}, 5, leave=True)
    path = f"{tmp_path}:{os.environ['PATH']}"
    assert end_of(order, shell, PATH=path) is CommandOutcome.EXITED
    assert (tmp_path / "started").exists()


def test_another_question_forgets_nothing_that_hangs() -> None:
    """A dead disk is asked by one process, whatever else is looked at in between."""
    hanging = read_hanging(read_answer(f"@{NONCE} part dira 12 34\n".encode(), NONCE), {})
    other = read_answer(f"@{NONCE} part lockb 56 78\n@{NONCE} done lockb\n".encode(), NONCE)
    back = read_answer(f"@{NONCE} part dira 90 91\n@{NONCE} done dira\n".encode(), NONCE)
    assert hanging == {"dira": ("12", "34")}
    assert read_hanging(other, hanging) == hanging
    assert read_hanging(back, hanging) == {}


def looked_at(directory: Path, shell: list[str], tools: Path) -> Reading:
    """Read a data directory by a shell that finds `tools` first."""
    question = Question(data_dirs=(str(directory),))
    path = f"{tools}:{os.environ['PATH']}"
    answer = shell_says(shell, write_look(question, NONCE, 5.0, {}), PATH=path).stdout
    return to_reading(
        question,
        read_answer(answer, NONCE),
        KnownDevices(),
        span=(0.0, 1.0),
        clock_at=0.0,
        stderr="",
    )


@pytest.mark.parametrize(
    ("said", "readable", "has_identity"),
    [
        ("Permission denied", None, None),
        ("Input/output error", False, None),
        ("No such file or directory", True, False),
    ],
)
def test_an_identity_that_cannot_be_reached_is_not_a_missing_one(
    tmp_path: Path, said: str, readable: bool | None, has_identity: bool | None
) -> None:
    """Only the file system's own word says that a file is not there."""
    (tmp_path / "data").mkdir()
    real = shutil.which("stat")
    tool = tmp_path / "stat"
    tool.write_text(
        "#!/bin/sh\n"
        f'case $* in */meta.properties|*/myid) echo "stat: {said}" >&2; exit 1 ;; esac\n'
        f'exec {real} "$@"\n'
    )
    tool.chmod(0o755)
    found = looked_at(tmp_path / "data", ["dash"], tmp_path).data_dirs
    assert found is not None
    assert (found[0].readable, found[0].has_identity) == (readable, has_identity)


async def test_a_look_that_hangs_cuts_off_no_act(tmp_path: Path) -> None:
    """The connection that the look gives up is kept until the act on it has ended."""
    async with ssh_world(tmp_path / "ssh") as world:
        slow, begun = world.folder / "slow", world.folder / "begun"
        shell = f'[ -e {slow} ] && sleep 3; exec /bin/sh "$@"'
        world.shell = str(world.program("moody", shell))
        run_dir = RunDirectory()
        host = SshHost(world.access, SystemClock(), run_dir)
        try:
            await host.look(QUESTION, timeout_s=LIMIT_S)
            act = ["sh", "-c", f"touch {begun}; sleep 2; echo well"]
            acting = asyncio.create_task(host.run(act, timeout_s=LIMIT_S, abandon=True))
            async with asyncio.timeout(LIMIT_S):
                while not begun.exists():
                    await asyncio.sleep(0.02)
            slow.touch()
            with pytest.raises(HostUnreachable):
                await host.look(QUESTION, timeout_s=0.5)
            slow.unlink()
            again = await host.look(QUESTION, timeout_s=LIMIT_S)
            result = await acting
            assert again.commands["status"].ok
            assert (result.outcome, result.stdout) == (CommandOutcome.EXITED, "well\n")
            async with asyncio.timeout(LIMIT_S):
                while len([path for path in run_dir.path().iterdir() if path.is_socket()]) > 1:
                    await asyncio.sleep(0.05)
        finally:
            await host.close()
            run_dir.remove()
