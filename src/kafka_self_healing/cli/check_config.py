"""`kafka-self-healing check-config`: all errors of a configuration, and what it cannot heal."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("check-config")
@click.argument("file", type=click.Path(path_type=Path))
def command(file: Path) -> None:
    """Check FILE whole: every error as file:line:col: path: message; exit 2 if there is one."""
    from kafka_self_healing.config import load
    from kafka_self_healing.config.coverage import unhealable

    settings = load(file)
    click.echo(
        f"{file}: cluster {settings.cluster.name}, {len(settings.cluster.nodes)} nodes,"
        f" mode {settings.mode.value}: no errors"
    )
    for note in settings.notes:
        click.echo(f"note: {note}")
    for gap in unhealable(settings):
        click.echo(f"cannot heal: {gap}")
