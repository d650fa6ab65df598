"""`kafka-self-healing explain NODE`: why it is, or is not, being healed."""

from __future__ import annotations

from pathlib import Path

import click

from kafka_self_healing.cli.target import answer, daemon_options


@click.command("explain")
@click.argument("node")
@daemon_options
def command(node: str, config: Path | None, state_dir: Path | None, *, as_json: bool) -> None:
    """Answer "why are you not healing NODE?": evidence, reasons with numbers, what lifts them."""
    request = {"command": "explain", "node": node}
    reply = answer((config, state_dir), request, as_json=as_json)
    if reply is None:
        return
    click.echo(f"node {node}: {reply['sentence']}")
    click.echo("what is seen:")
    for line in reply["looks"]:
        click.echo(f"  {line}")
    if reply["diagnosis"]:
        click.echo(f"diagnosis: {reply['diagnosis']['condition']}")
        for line in reply["diagnosis"]["evidence"]:
            click.echo(f"  {line}")
    if reply["reasons"]:
        click.echo(f"guards of {reply['act']}:")
    for reason in reply["reasons"]:
        word = "permits, but" if reason["allowed"] else "refuses:"
        lift = "" if reason["allowed"] else f" (lifted by: {reason['lifted_by']})"
        click.echo(f"  {reason['guard']} {word} {reason['text']}{lift}")
    if reply["story"]:
        click.echo("the story so far:")
    for line in reply["story"]:
        click.echo(f"  {line}")
