"""`kafka-self-healing maintenance`: a node, or the whole cluster, is left alone."""

from __future__ import annotations

from pathlib import Path

import click

from kafka_self_healing.cli.commands import give, until_s
from kafka_self_healing.cli.target import daemon_options


@click.command("maintenance")
@click.argument("node", required=False, default="")
@click.option("--end", is_flag=True, help="End it.")
@click.option("--reason", default="", help="Why.")
@click.option(
    "--for", "seconds", type=click.FloatRange(min=1), help="Seconds; default: until --end."
)
@daemon_options
def command(
    node: str,
    reason: str,
    seconds: float | None,
    config: Path | None,
    state_dir: Path | None,
    *,
    end: bool,
    as_json: bool,
) -> None:
    """Leave NODE (without it: the cluster) alone while somebody works on it."""
    request = {
        "command": "maintenance-end" if end else "maintenance",
        "target": node,
        "reason": reason,
        "until": until_s(seconds),
    }
    what = f"node {node}" if node else "the cluster"
    done = f"maintenance of {what} " + ("ended" if end else "begun")
    give((config, state_dir), request, as_json=as_json, done=done)
