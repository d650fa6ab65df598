"""The daemon's side of the local socket: for its own user and root, checked by the kernel."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import pwd
import socket
import stat
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from kafka_self_healing.api.wire import MAX_REQUEST, SOCKET_NAME, address
from kafka_self_healing.errors import ControlError, KafkaSelfHealingError

_LOGGER = logging.getLogger(__name__)
REQUEST_TIMEOUT_S = 5.0
CONNECTIONS = 16


class Controls(Protocol):
    """What the socket asks of the daemon."""

    async def control(self, request: dict[str, Any], by: str) -> dict[str, Any]:
        """Answer one request of `by`; raises ControlError when it is refused."""


@asynccontextmanager
async def listening(state_dir: Path, controls: Controls) -> AsyncIterator[None]:
    """Listen on the socket of `state_dir` (mode 0600) inside the block."""
    slots = asyncio.Semaphore(CONNECTIONS)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with slots:
            await _serve(reader, writer, controls)

    path = state_dir / SOCKET_NAME
    path.unlink(missing_ok=True)
    with address(state_dir) as where:
        mask = os.umask(0o177)
        try:
            server = await asyncio.start_unix_server(serve, where, limit=MAX_REQUEST)
        finally:
            os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IRUSR | stat.S_IWUSR
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


async def _serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, controls: Controls
) -> None:
    answer: dict[str, Any]
    try:
        by = _peer(writer)
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            line = await reader.readline()
        request = json.loads(line)
        if not isinstance(request, dict):
            raise ControlError("a request is one JSON object")
        answer = {"ok": True, **await controls.control(request, by)}
    except KafkaSelfHealingError as error:
        answer = {"ok": False, "error": str(error)}
    except TimeoutError:
        text = f"no whole request within {REQUEST_TIMEOUT_S:g} s"
        answer = {"ok": False, "error": f"the request cannot be read: {text}"}
    except (ValueError, RecursionError, OSError) as error:
        answer = {"ok": False, "error": f"the request cannot be read: {error}"}
    try:
        writer.write(json.dumps(answer).encode() + b"\n")
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            await writer.drain()
    except (ConnectionError, TimeoutError) as error:
        _LOGGER.debug("a client went away before its answer: %s", error)
    finally:
        writer.close()


def _peer(writer: asyncio.StreamWriter) -> str:
    """Return the name of the user on the other side; only our own user and root may ask."""
    link = writer.get_extra_info("socket")
    credentials = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    if uid not in {0, os.geteuid()}:
        raise ControlError(f"user {uid} may not command this daemon")
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
