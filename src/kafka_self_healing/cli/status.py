"""`kafka-self-healing status`: how things stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kafka_self_healing.cli.target import answer, daemon_options


@click.command("status")
@daemon_options
def command(config: Path | None, state_dir: Path | None, *, as_json: bool) -> None:
    """Show mode, switches, open incidents and acts of the running daemon."""
    reply = answer((config, state_dir), {"command": "status"}, as_json=as_json)
    if reply is None:
        return
    click.echo(f"cluster {reply['cluster']}, mode {reply['mode']}, quorum {reply['quorum']}")
    if reply["warming_up"]:
        click.echo(f"warming up: {reply['warming_up']}")
    for switch in reply["switches"]:
        what = f" of {switch['target']}" if switch["target"] else ""
        click.echo(f"{switch['order']}{what} by {switch['by']}: {switch['reason']}")
    for node, word in reply["nodes"].items():
        click.echo(f"  node {node}: {word}")
    for one in reply["circuits_open"]:
        click.echo(
            f"  node {one['node']}: circuit open, {one['attempts']} attempts against"
            f" {one['condition']} are used up (lifted by: {one['lifted_by']})"
        )
    for one in reply["approvals"]:
        what = f"{one['action']} on node {one['node']}" if one["node"] else one["action"]
        click.echo(f"{one['id']} asks to approve: {what}, until {one['until']}")
        click.echo(f"    kafka-self-healing approve {one['approve']}")
        for line in one["lifts"]:
            click.echo(f"    lifts {line}")
    if not reply["incidents"]:
        click.echo("no open incident")
    for incident in reply["incidents"]:
        click.echo(_incident(incident))


def _incident(incident: dict[str, Any]) -> str:
    state = incident["state"]
    if incident["acknowledged_by"]:
        state += f", taken by {incident['acknowledged_by']}"
    if incident["part_of"]:
        state += f", part of {incident['part_of']}"
    needs = f"\n    needs a person: {incident['needs']}" if incident["needs"] else ""
    nodes = ", ".join(incident["nodes"])
    return (
        f"{incident['id']}: {incident['condition']} ({state}) of node {nodes},"
        f" {incident['age_s']:.0f} s old, {len(incident['acts'])} acts{needs}\n"
        f"    {incident['last']}"
    )
