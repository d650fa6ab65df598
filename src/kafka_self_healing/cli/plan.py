"""`kafka-self-healing plan`: the ordered cold start that waits, runs, or ran last."""

from __future__ import annotations

from pathlib import Path

import click

from kafka_self_healing.cli.target import answer, daemon_options


@click.command("plan")
@daemon_options
def command(config: Path | None, state_dir: Path | None, *, as_json: bool) -> None:
    """Show the ordered cold start after a mass failure: its steps, why, and how far it is."""
    reply = answer((config, state_dir), {"command": "plan"}, as_json=as_json)
    if reply is None:
        return
    plan = reply["plan"]
    if plan is None:
        click.echo("there is no plan: none was called for")
        return
    by = f", approved by {plan['approved_by']}" if plan["approved_by"] else ""
    why = f": {plan['reason']}" if plan["reason"] else ""
    left = f", until {plan['until']} ({plan['left_s']:.0f} s left)" if plan["left_s"] else ""
    click.echo(f"{plan['id']} of {plan['incident']} is {plan['state']}{by}{left}{why}")
    for number, step in enumerate(plan["steps"], 1):
        mark = f"done, {step['done']}" if step["done"] else "now" if step["now"] else "waits"
        click.echo(f"  {number}. start node {step['node']} ({step['why']}): {mark}")
    if plan["state"] == "proposed":
        click.echo(f"approve the whole of it: kafka-self-healing approve {plan['id']}")
