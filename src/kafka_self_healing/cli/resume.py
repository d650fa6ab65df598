"""`kafka-self-healing resume`: ends every pause."""

from __future__ import annotations

from pathlib import Path

import click

from kafka_self_healing.cli.commands import give
from kafka_self_healing.cli.target import daemon_options


@click.command("resume")
@daemon_options
def command(config: Path | None, state_dir: Path | None, *, as_json: bool) -> None:
    """End every pause. The daemon warms up again before it acts."""
    done = "resumed: warming up first"
    give((config, state_dir), {"command": "resume"}, as_json=as_json, done=done)
