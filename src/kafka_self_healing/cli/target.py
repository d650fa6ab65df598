"""How the operator's commands find the daemon, and how their answers are printed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from kafka_self_healing.api.client import ask
from kafka_self_healing.errors import ControlError

Function = Callable[..., Any]
STATE_DIR_VARIABLE = "KHEAL_STATE_DIR"
CONFIG_VARIABLE = "KHEAL_CONFIG"


def daemon_options(function: Function) -> Function:
    """Add --config, --state-dir and --json."""
    options = (
        click.option(
            "--config",
            "-c",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help=f"The daemon's configuration (or ${CONFIG_VARIABLE}).",
        ),
        click.option(
            "--state-dir",
            type=click.Path(path_type=Path),
            metavar="DIR",
            help=f"The daemon's state folder (or ${STATE_DIR_VARIABLE}); spares reading FILE.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON."),
    )
    for option in options:
        function = option(function)
    return function


def find(config: Path | None, state_dir: Path | None) -> Path:
    """Return the state folder of the daemon that is meant."""
    named = state_dir or os.environ.get(STATE_DIR_VARIABLE)
    if named:
        return Path(named)
    source = config or os.environ.get(CONFIG_VARIABLE)
    if not source:
        raise ControlError(
            f"which daemon? Name its --config or --state-dir, or set ${CONFIG_VARIABLE}"
        )
    from kafka_self_healing.config import state_dir_of

    return state_dir_of(Path(source))


def answer(
    where: tuple[Path | None, Path | None], request: dict[str, Any], *, as_json: bool
) -> dict[str, Any] | None:
    """Ask the daemon; print JSON and return None, or return the answer to be printed in words."""
    reply = ask(find(*where), request)
    if not as_json:
        return reply
    del reply["ok"]
    click.echo(json.dumps(reply, indent=2))
    return None
