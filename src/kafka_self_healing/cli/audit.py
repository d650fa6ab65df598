"""`kafka-self-healing audit`: can the journal and the audit file be trusted?"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click


@click.group("audit")
def command() -> None:
    """Check the journal and the audit file."""


@command.command("verify")
@click.option("--config", "-c", required=True, type=click.Path(path_type=Path), metavar="FILE")
def verify_command(config: Path) -> None:
    """Verify the journal's hash chain and compare the audit file with it, line by line."""
    from kafka_self_healing.config import load
    from kafka_self_healing.observability import verify
    from kafka_self_healing.storage import Journal, open_store

    settings = load(config)
    with closing(open_store(settings.state_dir, read_only=True)) as store:
        journal = Journal(store, settings.cluster.name)
        entries = journal.verify()
        compared = verify(settings.audit_file, journal)
    click.echo(f"the journal's {entries} entries are one unbroken chain")
    click.echo(f"{compared.compared} audit lines agree with it, {compared.behind} are to follow")
