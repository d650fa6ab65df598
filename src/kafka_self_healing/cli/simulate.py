"""`kafka-self-healing simulate`: the mind in a seeded virtual world, judged by its invariants."""

from __future__ import annotations

import sys

import click


@click.command("simulate")
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="How many seeds, from 0.",
)
@click.option("--seed", type=click.IntRange(min=0), help="One seed, with its timeline.")
def command(seeds: int, seed: int | None) -> None:
    """Run the mind through seeded failures; exit 1 and show the timeline if an invariant breaks."""
    from kafka_self_healing.simulation.runner import simulate, timeline

    if seed is not None:
        click.echo(timeline(seed))
        return
    sys.exit(0 if simulate(range(seeds), click.echo) else 1)
