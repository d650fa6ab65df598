"""The `command` service manager of the embedded cluster: asks the supervisor about one node.

    python -m kafka_self_healing.demo.supervisorctl --dir DIR start|stop|kill|status NODE
        [--by NAME] [--timeout SECONDS]
    python -m kafka_self_healing.demo.supervisorctl --dir DIR fault NODE SIGNAL
    python -m kafka_self_healing.demo.supervisorctl --dir DIR journal

Prints `key=value` lines: state, pid, exit_status or signal, stopped_by, restarts, invocation,
message. Exit codes: `status` answers 0 running (also while stopping), 1 failed, 3 stopped,
4 unknown; the others answer 0 done, 1 not done; 4 when the supervisor cannot be reached; 2 usage.

It is run for every look at a node, so it imports as little of the standard library as it can.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Final

SOCKET_NAME: Final = "supervisor.sock"
DEFAULT_TIMEOUT_S: Final = 30.0
REPLY_LIMIT: Final = 4_000_000
_USAGE: Final = (
    "usage: supervisorctl --dir DIR {start|stop|kill|status} NODE [--by NAME] [--timeout SECONDS]"
    " | fault NODE SIGNAL | journal\n"
)
_WORDS: Final = {"start": 2, "stop": 2, "kill": 2, "status": 2, "fault": 3, "journal": 1}
_STATUS_CODES: Final = {"running": 0, "starting": 0, "stopping": 0, "failed": 1, "stopped": 3}
_UNKNOWN: Final = 4
_ANSWER_MARGIN_S: Final = 5.0


def ask(directory: str, request: dict[str, object], limit_s: float) -> dict[str, object]:
    """Send one request to the supervisor of `directory` and return its answer.

    Raises OSError if it cannot be reached or does not answer within `limit_s` seconds, and
    ValueError if the answer is not one JSON object.
    """
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(limit_s)
            # A socket's address holds 107 bytes at most; this path is short wherever the folder is.
            connection.connect(f"/proc/self/fd/{folder}/{SOCKET_NAME}")
            connection.sendall(json.dumps(request).encode() + b"\n")
            reply = bytearray()
            while not reply.endswith(b"\n"):
                chunk = connection.recv(65536)
                if not chunk:
                    raise ConnectionResetError("the supervisor closed the connection")
                reply += chunk
                if len(reply) > REPLY_LIMIT:
                    raise ValueError("the supervisor's answer has no end")
    finally:
        os.close(folder)
    answer = json.loads(reply)
    if not isinstance(answer, dict):
        raise ValueError("the supervisor's answer is not an object")  # noqa: TRY004 - one class
    return answer


def parse(arguments: list[str]) -> tuple[str, dict[str, object], float]:
    """Return folder, request and time limit (seconds) of a command line.

    argparse would double the start-up time. Raises ValueError or IndexError on a wrong line.
    """
    options = {"--dir": "", "--by": "operator", "--timeout": str(DEFAULT_TIMEOUT_S)}
    words: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if name in options:
            options[name] = value if equals else rest.pop(0)
        elif word.startswith("-"):
            raise ValueError(f"unknown option {word}")
        else:
            words.append(word)
    if not options["--dir"] or not words or _WORDS.get(words[0]) != len(words):
        raise ValueError("a folder, a command and its node are needed")
    timeout_s = float(options["--timeout"])
    request: dict[str, object] = {"command": words[0], "timeout_s": timeout_s}
    request["by"] = options["--by"]
    request.update(zip(("node", "signal"), words[1:], strict=False))
    return options["--dir"], request, timeout_s


def main(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    try:
        directory, request, timeout_s = parse(arguments)
    except (ValueError, IndexError) as wrong:
        sys.stderr.write(f"supervisorctl: {wrong}\n{_USAGE}")
        return 2
    try:
        answer = ask(directory, request, timeout_s + _ANSWER_MARGIN_S)
    except (OSError, ValueError) as unreachable:
        sys.stderr.write(f"supervisorctl: no supervisor answers in {directory}: {unreachable}\n")
        return _UNKNOWN
    done = answer.pop("ok", False) is True
    for key, value in answer.items():
        if value is not None:
            text = value if isinstance(value, str) else json.dumps(value)
            sys.stdout.write(f"{key}={text}\n")
    if request["command"] == "status":
        return _STATUS_CODES.get(str(answer.get("state")), _UNKNOWN)
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
