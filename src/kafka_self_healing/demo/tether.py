"""Runs a command that the kernel kills when the process that started it dies.

    python -m kafka_self_healing.demo.tether PID COMMAND [ARGUMENT ...]

PID is the starting process. It must start this from its main thread: the kernel binds the child's
life to the thread that forked it. The command takes this process's place and pid.
"""

from __future__ import annotations

import os
import sys

from kafka_self_healing.demo.processes import die_with_parent


def tethered(command: list[str]) -> list[str]:
    """Return the command line that runs `command` for this process."""
    return [sys.executable, "-m", "kafka_self_healing.demo.tether", str(os.getpid()), *command]


def main(arguments: list[str]) -> None:
    """Tie this process to its parent and become the command."""
    parent, *command = arguments
    die_with_parent(int(parent))()
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
