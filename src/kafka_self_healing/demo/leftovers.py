"""What a supervisor leaves behind when it is killed: the state file, and how the next run ends it.

`state.json` names the supervisor, the process it works for, and each node's process by pid and
start time. Nothing is signalled unless both are still those of the file.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kafka_self_healing.clock import boot_seconds, pause
from kafka_self_healing.demo.errors import DemoError
from kafka_self_healing.demo.processes import ProcessIdentity, identity_from

STATE_NAME: Final = "state.json"
_LOOK_EVERY_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class RunState:
    """The processes of one run in a folder."""

    supervisor: ProcessIdentity
    parent: ProcessIdentity
    nodes: Mapping[str, ProcessIdentity]


def write_state(directory: Path, state: RunState) -> None:
    """Replace the state file in one step."""
    path = directory / STATE_NAME
    draft = path.with_suffix(".new")
    content = {
        "supervisor": state.supervisor.as_dict(),
        "parent": state.parent.as_dict(),
        "nodes": {node: process.as_dict() for node, process in state.nodes.items()},
    }
    draft.write_text(json.dumps(content) + "\n", encoding="utf-8")
    draft.replace(path)


def read_state(directory: Path) -> RunState | None:
    """Return what the last run wrote, or None if it ended in order (or there was none).

    Raises DemoError if the file cannot be understood: whatever runs is then left alone.
    """
    path = directory / STATE_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return RunState(
            identity_from(content["supervisor"]),
            identity_from(content["parent"]),
            {node: identity_from(fields) for node, fields in content["nodes"].items()},
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as wrong:
        raise DemoError(
            f"{path} is damaged ({wrong!r}): end the processes of the last run, then remove it"
        ) from wrong


def end_leftovers(directory: Path, *, limit_s: float = 10.0) -> list[int]:
    """Kill what a run in this folder left behind and return the pids that were ended.

    Raises DemoError if that run is still at work (its parent lives), or if a process has not gone
    within `limit_s` seconds.
    """
    state = read_state(directory)
    if state is None:
        return []
    if state.parent.is_alive() and state.supervisor.is_alive() and state.parent.pid != os.getpid():
        raise DemoError(
            f"{directory} is in use by process {state.parent.pid}: "
            "end that run first, or give another folder"
        )
    # The supervisor first: with it gone nobody starts a node again.
    processes = [state.supervisor, *state.nodes.values()]
    ended = [process.pid for process in processes if process.send(signal.SIGKILL)]
    deadline_s = boot_seconds() + limit_s
    while any(process.is_alive() for process in processes):
        if boot_seconds() > deadline_s:
            alive = [process.pid for process in processes if process.is_alive()]
            raise DemoError(f"processes {alive} of the last run do not end")
        pause(_LOOK_EVERY_S)
    (directory / STATE_NAME).unlink(missing_ok=True)
    return ended
