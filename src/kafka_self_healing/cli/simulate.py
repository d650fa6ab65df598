"""`kafka-self-healing simulate`: the mind in a seeded virtual world, judged by its invariants."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from kafka_self_healing.errors import KafkaSelfHealingError


@click.command("simulate")
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="How many seeds, from 0.",
)
@click.option(
    "--tier",
    type=click.Choice(("a", "b")),
    default="a",
    show_default=True,
    help="Of --seeds and --seed: the mind alone, or the whole daemon.",
)
@click.option("--tier-b", type=click.IntRange(min=0), default=0, help="How many seeds of tier B.")
@click.option("--seed", type=click.IntRange(min=0), help="One seed, with its timeline.")
@click.option(
    "--report", is_flag=True, help="Compare ours with port checks and with systemd alone."
)
@click.option(
    "--page", type=click.Path(path_type=Path), metavar="FILE", help="Write the report there too."
)
@click.option("--shrink", is_flag=True, help="Of --seed: the smallest scenario that fails alike.")
@click.option(
    "--scenario", type=click.Path(path_type=Path), metavar="FILE", help="Play a scenario."
)
def command(
    seeds: int,
    tier_b: int,
    seed: int | None,
    *,
    tier: str,
    report: bool,
    page: Path | None,
    shrink: bool,
    scenario: Path | None,
) -> None:
    """Run the mind through seeded failures; exit 1 and show the timeline if an invariant breaks."""
    from kafka_self_healing.simulation.full_run import full_run
    from kafka_self_healing.simulation.runner import timeline

    if scenario is not None:
        sys.exit(0 if _play(scenario) else 1)
    if shrink:
        _shrink(seed)
        return
    save = None if page is None else lambda text: _save(page, text)
    if report:
        from kafka_self_healing.simulation.harm_page import write_report

        sys.exit(0 if write_report(seeds, click.echo, save) else 1)
    if tier == "b":
        sys.exit(0 if _tier_b(seeds, seed) else 1)
    if seed is not None:
        click.echo(timeline(seed))
        return
    sys.exit(0 if full_run(seeds, tier_b, click.echo, save) else 1)


def _tier_b(seeds: int, seed: int | None) -> bool:
    from kafka_self_healing.simulation.tier_b import runner

    if seed is None:
        return runner.simulate(range(seeds), click.echo)
    click.echo(runner.timeline(seed))
    return True


def _save(page: Path, text: str) -> None:
    page.write_text(text, encoding="utf-8")


def _play(path: Path) -> bool:
    from kafka_self_healing.simulation.runner import play, story_of
    from kafka_self_healing.simulation.scenario_file import from_text

    try:
        scenario = from_text(path.read_text(encoding="utf-8"), path.name)
    except (OSError, KafkaSelfHealingError) as error:
        click.echo(str(error), err=True)
        raise SystemExit(2) from None
    click.echo(story_of(scenario))
    return play(scenario).good


def _shrink(seed: int | None) -> None:
    from kafka_self_healing.simulation.runner import shrink
    from kafka_self_healing.simulation.scenario_file import to_text

    if seed is None:
        raise click.UsageError("--shrink: which --seed?")
    try:
        smallest = shrink(seed)
    except ValueError as error:
        click.echo(str(error), err=True)
        raise SystemExit(2) from None
    click.echo(f"# {smallest}")
    click.echo(to_text(smallest), nl=False)
