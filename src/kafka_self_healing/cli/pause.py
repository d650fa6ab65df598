"""`kafka-self-healing pause`: no act until `resume`; it survives restarts."""

from __future__ import annotations

from pathlib import Path

import click

from kafka_self_healing.cli.commands import give, until_s
from kafka_self_healing.cli.target import daemon_options


@click.command("pause")
@click.option("--reason", required=True, help="Why; others will ask.")
@click.option("--for", "seconds", type=click.FloatRange(min=1), help="Seconds; default: for ever.")
@daemon_options
def command(
    reason: str,
    seconds: float | None,
    config: Path | None,
    state_dir: Path | None,
    *,
    as_json: bool,
) -> None:
    """Stop all acts. It is journalled and survives a restart of the daemon."""
    request = {"command": "pause", "reason": reason, "until": until_s(seconds)}
    lasts = (
        "no act until resume" if seconds is None else f"no act for {seconds:g} s, or until resume"
    )
    give((config, state_dir), request, as_json=as_json, done=f"paused: {lasts}")
