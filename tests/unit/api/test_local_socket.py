"""The local socket: only for its own user and root, and unimpressed by what clients send."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import socket
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kafka_self_healing.api import client, local
from kafka_self_healing.api.client import ask
from kafka_self_healing.api.local import listening
from kafka_self_healing.api.wire import MAX_REQUEST, SOCKET_NAME, address
from kafka_self_healing.errors import ControlError

ME = pwd.getpwuid(os.geteuid()).pw_name
LIMIT_S = 10.0


class Echo:
    """Answers with what it was asked and by whom; remembers it."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    async def control(self, request: dict[str, Any], by: str) -> dict[str, Any]:
        """Answer, or refuse what is called `refuse`."""
        self.asked.append(request)
        if request.get("command") == "refuse":
            raise ControlError("not today")
        return {"by": by, "request": request}


async def _ask(state_dir: Path, request: dict[str, Any]) -> dict[str, Any]:
    return await asyncio.to_thread(ask, state_dir, request)


async def _raw(state_dir: Path, *parts: bytes) -> dict[str, Any]:
    """Send bytes as they are, and return the answer."""
    with address(state_dir) as where:
        reader, writer = await asyncio.open_unix_connection(where, limit=1 << 22)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        writer.write_eof()
        async with asyncio.timeout(LIMIT_S):
            line = await reader.readline()
    finally:
        writer.close()
    answer = json.loads(line)
    assert isinstance(answer, dict)
    return answer


async def test_a_question_is_answered_with_the_asker_s_name(tmp_path: Path) -> None:
    """Who asks is taken from the kernel, not from the request."""
    async with listening(tmp_path, Echo()):
        answer = await _ask(tmp_path, {"command": "status", "by": "somebody else"})

    assert answer["by"] == ME
    assert answer["request"]["command"] == "status"


async def test_the_socket_is_for_its_owner_only_and_goes_with_the_daemon(tmp_path: Path) -> None:
    """Mode 0600 while it listens, nothing left behind after it."""
    path = tmp_path / SOCKET_NAME
    mask = os.umask(0)
    try:
        async with listening(tmp_path, Echo()):
            mode = stat.S_IMODE(path.stat().st_mode)
        after = os.umask(0)
    finally:
        os.umask(mask)

    assert mode == 0o600
    assert after == 0, "the umask of the process is put back"
    assert not path.exists()


async def test_a_socket_left_by_a_killed_daemon_is_replaced(tmp_path: Path) -> None:
    """SIGKILL leaves the file; the next daemon, which holds the lock, takes its place."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / SOCKET_NAME))

    async with listening(tmp_path, Echo()):
        answer = await _ask(tmp_path, {"command": "status"})

    assert answer["ok"] is True


@pytest.mark.parametrize(("uid", "may"), [(os.geteuid(), True), (0, True), (54321, False)])
async def test_the_kernel_s_word_decides_who_may_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int, may: bool
) -> None:
    """Only the daemon's user and root are answered; others are refused before they are heard."""

    # Nobody can connect as another user here, so the kernel's answer is put in its place.
    class Peer:
        def getsockopt(self, level: int, option: int, size: int) -> bytes:
            assert (level, option) == (socket.SOL_SOCKET, socket.SO_PEERCRED)
            return struct.pack("3i", 1, uid, uid)

    real: Callable[..., Any] = asyncio.StreamWriter.get_extra_info

    def peer(writer: asyncio.StreamWriter, name: str, default: Any = None) -> Any:
        return Peer() if name == "socket" else real(writer, name, default)

    monkeypatch.setattr(asyncio.StreamWriter, "get_extra_info", peer)
    echo = Echo()
    async with listening(tmp_path, echo):
        answer = await _raw(tmp_path, b'{"command": "status"}\n')

    assert answer["ok"] is may
    assert len(echo.asked) == (1 if may else 0)
    if not may:
        assert answer["error"] == "user 54321 may not command this daemon"


async def test_a_refusal_reaches_the_client_as_an_error(tmp_path: Path) -> None:
    """What the daemon refuses is raised with the daemon's words."""
    async with listening(tmp_path, Echo()):
        with pytest.raises(ControlError, match=r"^not today$"):
            await _ask(tmp_path, {"command": "refuse"})


GARBAGE = {
    "nothing": b"",
    "an empty line": b"\n",
    "no JSON": b"GET / HTTP/1.1\r\n\r\n",
    "no object": b"[1, 2]\n",
    "half an object": b'{"command": "status"',
    "no UTF-8": b'{"command": "\xff\xfe"}\n',
    "deeply nested": b"[" * 50_000 + b"\n",
    "zero bytes": b"\0" * 1000 + b"\n",
}


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_garbage_is_answered_with_an_error(tmp_path: Path, garbage: str) -> None:
    """Whatever comes, the sender is told and the next one is served."""
    echo = Echo()
    async with listening(tmp_path, echo):
        answer = await _raw(tmp_path, GARBAGE[garbage])
        after = await _ask(tmp_path, {"command": "status"})

    assert answer["ok"] is False
    assert answer["error"]
    assert after["ok"] is True
    assert len(echo.asked) == 1


async def test_a_request_that_is_too_long_is_refused(tmp_path: Path) -> None:
    """No more than the limit is kept; the next one is served."""
    echo = Echo()
    long = json.dumps({"command": "x" * (MAX_REQUEST + 1)}).encode() + b"\n"
    async with listening(tmp_path, echo):
        answer = await _raw(tmp_path, long)
        after = await _ask(tmp_path, {"command": "status"})

    assert answer["ok"] is False
    assert after["ok"] is True
    assert [request["command"] for request in echo.asked] == ["status"]


async def test_a_client_that_says_nothing_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others are served meanwhile, and the silent one is told that its time is over."""
    monkeypatch.setattr(local, "REQUEST_TIMEOUT_S", 0.2)
    async with listening(tmp_path, Echo()):
        with address(tmp_path) as where:
            reader, writer = await asyncio.open_unix_connection(where)
        writer.write(b'{"command"')
        other = await _ask(tmp_path, {"command": "status"})
        async with asyncio.timeout(LIMIT_S):
            answer = json.loads(await reader.readline())
        writer.close()

    assert other["ok"] is True
    assert answer["error"] == "the request cannot be read: no whole request within 0.2 s"


async def test_a_client_that_reads_nothing_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that nobody takes does not hold a place for ever: all 16 come free again."""
    monkeypatch.setattr(local, "REQUEST_TIMEOUT_S", 0.2)

    class Long:
        async def control(self, request: dict[str, Any], by: str) -> dict[str, Any]:
            return {"text": "x" * (8 << 20 if request["command"] == "long" else 1)}

    links = [socket.socket(socket.AF_UNIX) for _ in range(local.CONNECTIONS)]
    async with listening(tmp_path, Long()):
        for link in links:
            link.connect(str(tmp_path / SOCKET_NAME))
            link.sendall(b'{"command": "long"}\n')
        async with asyncio.timeout(LIMIT_S):
            answer = await _ask(tmp_path, {"command": "status"})
        for link in links:
            link.close()

    assert answer["ok"] is True


async def test_a_state_folder_may_lie_deeper_than_a_socket_address_reaches(tmp_path: Path) -> None:
    """Unix socket addresses hold 107 bytes; the folder is reached all the same."""
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    assert len(os.fsencode(deep / SOCKET_NAME)) > 107

    async with listening(deep, Echo()):
        assert (deep / SOCKET_NAME).is_socket()
        answer = await _ask(deep, {"command": "status"})

    assert answer["ok"] is True


def test_without_a_daemon_the_client_says_what_to_do(tmp_path: Path) -> None:
    """No socket: start the daemon, or name the right one."""
    with pytest.raises(ControlError, match=r"no daemon listens on .*control\.sock: start it"):
        ask(tmp_path, {"command": "status"})


@pytest.mark.parametrize("depth", [1, 60])
def test_a_folder_that_does_not_exist_is_no_daemon_either(tmp_path: Path, depth: int) -> None:
    """A wrong --state-dir gives the same clear words, however long it is."""
    with pytest.raises(ControlError, match="no daemon listens on"):
        ask(tmp_path / "/".join(["nowhere"] * depth), {"command": "status"})


def test_a_socket_without_a_daemon_is_no_daemon(tmp_path: Path) -> None:
    """A killed daemon's socket refuses; that is told in the same words."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / SOCKET_NAME))

    with pytest.raises(ControlError, match="no daemon listens on"):
        ask(tmp_path, {"command": "status"})


ANSWERS = {
    b"": "closed the connection without an answer",
    b'{"ok": tr': "closed the connection without an answer",
    b"[]\n": "is not an object",
    b"pardon\n": "is no JSON",
}


@pytest.mark.parametrize("said", ANSWERS)
async def test_a_strange_answer_is_a_clear_error(tmp_path: Path, said: bytes) -> None:
    """Whatever listens there, the client raises nothing but ControlError."""

    async def strange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(said)
        writer.close()

    server = await asyncio.start_unix_server(strange, tmp_path / SOCKET_NAME)
    try:
        with pytest.raises(ControlError, match=ANSWERS[said]):
            await _ask(tmp_path, {"command": "status"})
    finally:
        server.close()


async def test_a_daemon_that_does_not_answer_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there, but says nothing: a command may still take effect."""
    monkeypatch.setattr(client, "TIMEOUT_S", 0.2)
    release = asyncio.Event()

    class Stuck:
        async def control(self, request: dict[str, Any], by: str) -> dict[str, Any]:
            await release.wait()
            return {}

    async with listening(tmp_path, Stuck()):
        with pytest.raises(ControlError, match=r"not answered within 0\.2 s"):
            await _ask(tmp_path, {"command": "pause"})
        release.set()
        await asyncio.sleep(0)
