"""`kafka-self-healing doctor`: every access that healing will need, and what to put right."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command("doctor")
@click.option(
    "--config", "-c", type=click.Path(path_type=Path), required=True, envvar="KHEAL_CONFIG"
)
@click.option("--all", "everything", is_flag=True, help="Show also what is as it must be.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a finding.")
def command(config: Path, *, everything: bool, as_json: bool) -> None:
    """Look once at everything that healing will need; exit 1 if something is missing or wrong.

    It changes nothing, and needs no daemon.
    """
    import asyncio

    problems = asyncio.run(_examine(config, everything=everything, as_json=as_json))
    sys.exit(1 if problems else 0)


async def _examine(config: Path, *, everything: bool, as_json: bool) -> int:
    """Print the findings and return how many problems there are."""
    import json
    from dataclasses import asdict

    from kafka_self_healing.config import load
    from kafka_self_healing.doctor.examination import examining
    from kafka_self_healing.doctor.finding import Level

    counts = dict.fromkeys(Level, 0)
    async with examining(load(config)) as examination:
        async for one in examination.run():
            counts[one.level] += 1
            if as_json:
                click.echo(json.dumps(asdict(one)))
            elif everything or one.level is not Level.GOOD:
                click.echo(f"{one.level.value}: {one.about}: {one.what}")
                if one.remedy:
                    click.echo(f"    → {one.remedy}")
    if not as_json:
        click.echo(
            f"{counts[Level.PROBLEM]} problems, {counts[Level.NOTE]} notes, "
            f"{counts[Level.GOOD]} good"
        )
    return counts[Level.PROBLEM]
