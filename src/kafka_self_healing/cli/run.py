"""`kafka-self-healing run`: the daemon."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path

import click


@click.command("run")
@click.option("--config", "-c", required=True, type=click.Path(path_type=Path), metavar="FILE")
@click.option(
    "--record",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Also write what the eyes see in the replay format (bounded, redacted).",
)
def command(config: Path, record: Path | None) -> None:
    """Watch and heal the cluster of FILE. SIGTERM ends it at a safe point, SIGHUP reloads FILE."""
    from kafka_self_healing import app
    from kafka_self_healing.clock import SystemClock
    from kafka_self_healing.config import ConfigurationManager

    manager = ConfigurationManager(config)
    with ExitStack() as stack:
        stack.enter_context(app.logging_service(manager.current, SystemClock()))
        if record is None:
            asyncio.run(app.run(manager))
            return
        from kafka_self_healing.simulation.recorder import Recorder

        recorder = stack.enter_context(Recorder(record, manager.current.cluster))
        asyncio.run(app.run(manager, hear=recorder.hear))
