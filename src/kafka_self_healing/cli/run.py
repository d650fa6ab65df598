"""`kafka-self-healing run`: the daemon."""

from __future__ import annotations

import asyncio
import logging
from contextlib import ExitStack
from pathlib import Path

import click

from kafka_self_healing.errors import KafkaSelfHealingError
from kafka_self_healing.secret import keep_out_of_cores

EXIT_BUG = 70
"""The exit status of a daemon that a bug has ended (EX_SOFTWARE)."""


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

    keep_out_of_cores()
    manager = ConfigurationManager(config)
    with ExitStack() as stack:
        log = stack.enter_context(app.logging_service(manager.current, SystemClock()))
        hear = None
        if record is not None:
            from kafka_self_healing.simulation.recorder import Recorder

            hear = stack.enter_context(Recorder(record, manager.current.cluster)).hear
        try:
            asyncio.run(app.run(manager, hear=hear, redactor=log.redactor))
        except KafkaSelfHealingError:
            raise
        except Exception:
            # border: the top of the daemon. A bug ends it, loudly; its supervisor starts it again
            # and it goes on from the journal.
            logging.getLogger(__name__).critical("the daemon ended by a bug", exc_info=True)
            raise SystemExit(EXIT_BUG) from None
