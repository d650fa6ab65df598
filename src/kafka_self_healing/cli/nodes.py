"""`kafka-self-healing nodes`: a row a node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kafka_self_healing.cli.target import answer, daemon_options

COLUMNS = ("node", "state", "process", "pid", "answers", "counted_in", "in_sync", "leads")


@click.command("nodes")
@click.option("--reach", is_flag=True, help="Show how each node is reached instead, no secrets.")
@daemon_options
def command(config: Path | None, state_dir: Path | None, *, reach: bool, as_json: bool) -> None:
    """Show every node: process, own answer, what the others say, in sync or not."""
    reply = answer((config, state_dir), {"command": "nodes"}, as_json=as_json)
    if reply is None:
        return
    if reach:
        _show_reach(reply["nodes"])
        return
    rows = [COLUMNS, *([_cell(row[name]) for name in COLUMNS] for row in reply["nodes"])]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
    for row in reply["nodes"]:
        if row["recovery"]:
            click.echo(f"node {row['node']}: {row['recovery']}")


def _show_reach(rows: list[dict[str, Any]]) -> None:
    """Print by what ways the running daemon reaches each node."""
    for row in rows:
        click.echo(f"node {row['node']} ({', '.join(row['roles'])})")
        for name, words in row["reach"].items():
            click.echo(f"  {name:<10}  {words}")


def _cell(value: object) -> str:
    if value is None:
        return "?"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
