"""`kafka-self-healing ack INCIDENT`."""

from __future__ import annotations

from pathlib import Path

import click

from kafka_self_healing.cli.commands import give
from kafka_self_healing.cli.target import daemon_options


@click.command("ack")
@click.argument("incident")
@daemon_options
def command(incident: str, config: Path | None, state_dir: Path | None, *, as_json: bool) -> None:
    """Take INCIDENT over: no more reminders, and its node may be tried once more."""
    request = {"command": "ack", "target": incident}
    give((config, state_dir), request, as_json=as_json, done=f"{incident}: acknowledged")
