"""`kafka-self-healing simulate`: the mind in a seeded virtual world, judged by its invariants."""

from __future__ import annotations

import sys
from pathlib import Path

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
@click.option(
    "--report", is_flag=True, help="Compare ours with port checks and with systemd alone."
)
@click.option(
    "--page", type=click.Path(path_type=Path), metavar="FILE", help="Write the report there too."
)
def command(seeds: int, seed: int | None, report: bool, page: Path | None) -> None:
    """Run the mind through seeded failures; exit 1 and show the timeline if an invariant breaks."""
    from kafka_self_healing.simulation.runner import simulate, timeline

    if report:
        from kafka_self_healing.simulation.harm_page import write_report

        save = None if page is None else lambda text: _save(page, text)
        sys.exit(0 if write_report(seeds, click.echo, save) else 1)
    if seed is not None:
        click.echo(timeline(seed))
        return
    sys.exit(0 if simulate(range(seeds), click.echo) else 1)


def _save(page: Path, text: str) -> None:
    page.write_text(text, encoding="utf-8")
