"""The commands' side of the local socket. Blocking, and cheap to import."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from kafka_self_healing.api.wire import MAX_REPLY, SOCKET_NAME, address
from kafka_self_healing.errors import ControlError

TIMEOUT_S = 10.0


def ask(state_dir: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Send one request to the daemon of `state_dir` and return its answer.

    Raises ControlError when no daemon listens there, it does not answer, or it refuses.
    """
    try:
        with address(state_dir) as where, socket.socket(socket.AF_UNIX) as link:
            link.settimeout(TIMEOUT_S)
            link.connect(where)
            link.sendall(json.dumps(request).encode() + b"\n")
            answer = _read(link)
    except (FileNotFoundError, ConnectionRefusedError):
        path = state_dir / SOCKET_NAME
        raise ControlError(
            f"no daemon listens on {path}: start it, or name its configuration with --config"
        ) from None
    except PermissionError:
        raise ControlError(
            f"{state_dir / SOCKET_NAME}: permission denied: be the daemon's user or root"
        ) from None
    except TimeoutError:
        raise ControlError(
            f"the daemon has not answered within {TIMEOUT_S:g} s: is its store writable? "
            "A command may still take effect"
        ) from None
    except OSError as error:
        raise ControlError(f"{state_dir / SOCKET_NAME}: {error or type(error).__name__}") from None
    if not answer.get("ok"):
        raise ControlError(str(answer.get("error", "the daemon refused")))
    return answer


def _read(link: socket.socket) -> dict[str, Any]:
    data = bytearray()
    while not data.endswith(b"\n"):
        chunk = link.recv(65536)
        if not chunk or len(data) > MAX_REPLY:
            raise ControlError("the daemon closed the connection without an answer")
        data += chunk
    try:
        answer = json.loads(data)
    except ValueError as error:
        raise ControlError(f"the daemon's answer is no JSON: {error}") from None
    if not isinstance(answer, dict):
        raise ControlError("the daemon's answer is not an object")
    return answer
