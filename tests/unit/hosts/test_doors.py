"""Which TCP ports open from a host: open, closed, silent, and names that mean nothing there."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from tests.unit.hosts.test_host_contract import host_of

from kafka_self_healing.hosts import Question
from kafka_self_healing.hosts.remote_look import script

LIMIT_S = 4.0


def silent_door() -> tuple[socket.socket, list[socket.socket]]:
    """A listener whose backlog is full: it answers no more than a filter that drops everything."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(0)
    waiting = []
    for _ in range(4):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(server.getsockname())
        waiting.append(client)
    return server, waiting


@pytest.mark.parametrize("kind", ["local", "ssh", "ssh-busybox"])
async def test_each_door_is_tried_from_the_host(kind: str, tmp_path: Path) -> None:
    """One that opens, one that is refused, one that is silent; nothing is waited for too long."""
    open_ = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    with socket.socket() as spare:
        spare.bind(("127.0.0.1", 0))
        closed = spare.getsockname()[1]
        server, waiting = silent_door()
        ports = (open_.sockets[0].getsockname()[1], closed, server.getsockname()[1])
        question = Question(doors=tuple(("127.0.0.1", port) for port in ports))
        async with host_of(kind, tmp_path) as host:
            reading = await host.look(question, timeout_s=LIMIT_S)
            nothing = await host.look(Question(), timeout_s=LIMIT_S)
    for one in (server, *waiting):
        one.close()
    open_.close()
    await open_.wait_closed()
    assert reading.doors == (True, False, False)
    assert nothing.doors is None


@pytest.mark.parametrize("kind", ["local", "ssh"])
async def test_a_name_that_means_nothing_there_is_not_known(kind: str, tmp_path: Path) -> None:
    """It says nothing of the network between the two."""
    question = Question(doors=(("-no such name-", 9093),))
    async with host_of(kind, tmp_path) as host:
        reading = await host.look(question, timeout_s=LIMIT_S)
    assert reading.doors == (None,)


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        ("", ""),
        ("bash() { echo 'bash: /dev/tcp/h/1: No such file or directory'; return 1; }", ""),
        ("bash() { echo 'connect: Connection refused'; return 1; }", "closed"),
        ("bash() { return 0; }", "open"),
        ("nc() { return 0; }", "open"),
        ("nc() { return 1; }", "closed"),
        ("nc() { echo 'nc: invalid option -- z'; return 1; }", ""),
        ("nc() { echo 'Usage: nc [OPTIONS]'; return 1; }", ""),
    ],
)
async def test_a_host_without_the_tools_says_nothing(tools: str, said: str) -> None:
    """Bash's /dev/tcp, else nc -z; what neither can tell is not known."""
    text = f"N=x L=1\n{script('look')}\nPATH=/nowhere\nkill() {{ :; }}\nsleep() {{ :; }}\n"
    text += f"{tools}\ndoor 0 h 1 0.5\n"
    shell = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", text, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await shell.communicate()
    lines = [line for line in out.decode().splitlines() if line.startswith("@x door")]
    assert lines == ([f"@x door 0 {said}"] if said else [])
