"""`kafka-self-healing demo`: a real Kafka cluster, broken and healed before your eyes."""

from __future__ import annotations

import sys
from pathlib import Path

import click

NAMES = ("crash", "hang", "stop", "quorum-loss", "two-crashes", "slow-start", "none")
EXIT_INTERRUPTED = 130


@click.command("demo")
@click.option("--fault", type=click.Choice(NAMES), default="crash", show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True,
              help="Chooses the victims; the same seed strikes the same nodes.")  # fmt: skip
@click.option("--keep", is_flag=True, help="Keep the brokers' data too.")
@click.option("--paused", is_flag=True, help="Pause the healer before the blow, resume it later.")
@click.option("--no-heal", is_flag=True, help="The healer only observes, for comparison.")
@click.option(
    "--dir",
    "root",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="The folder of the run.  [default: ~/.local/state/kafka-self-healing/demo]",
)
def command(
    *, fault: str, seed: int, keep: bool, paused: bool, no_heal: bool, root: Path | None
) -> None:
    """Start three Kafka nodes, break one, watch it healed; exit 0 only if all went right."""
    from kafka_self_healing.demo.faults import FAULTS
    from kafka_self_healing.demo.folder import default_root
    from kafka_self_healing.demo.interruption import Interrupted
    from kafka_self_healing.demo.tour import Wishes, run

    if paused and no_heal:
        raise click.UsageError("--paused and --no-heal exclude each other")
    if paused and not FAULTS[fault].right.heals:
        raise click.UsageError(f"--paused shows nothing with --fault {fault}: no act is right")
    wishes = Wishes(
        FAULTS[fault], root or default_root(), seed=seed, keep=keep, paused=paused, heal=not no_heal
    )
    try:
        right = run(wishes, sys.stdout)
    except Interrupted as end:
        click.echo(f"ended by {end}; nothing is left running", err=True)
        sys.exit(EXIT_INTERRUPTED)
    sys.exit(0 if right else 1)
