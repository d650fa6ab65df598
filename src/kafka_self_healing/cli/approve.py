"""`kafka-self-healing approve`: an incident, a plan, or a request for approval."""

from __future__ import annotations

from pathlib import Path

import click

from kafka_self_healing.cli.commands import give
from kafka_self_healing.cli.target import daemon_options


@click.command("approve")
@click.argument("incident")
@daemon_options
def command(incident: str, config: Path | None, state_dir: Path | None, *, as_json: bool) -> None:
    """Approve the next act for INCIDENT, its plan, or a request that `status` shows by its id."""
    request = {"command": "approve", "target": incident}
    give((config, state_dir), request, as_json=as_json, done=f"{incident}: approved")
