"""`kafka-self-healing`, or `kheal`: the command line. Each command is a file of this package."""

from __future__ import annotations

import importlib
import sys

import click

from kafka_self_healing import __version__
from kafka_self_healing.errors import ConfigError, KafkaSelfHealingError

COMMANDS = {
    "run": "run",
    "check-config": "check_config",
    "doctor": "doctor",
    "status": "status",
    "nodes": "nodes",
    "explain": "explain",
    "plan": "plan",
    "pause": "pause",
    "resume": "resume",
    "maintenance": "maintenance",
    "ack": "ack",
    "approve": "approve",
    "replay": "replay",
    "simulate": "simulate",
    "demo": "demo",
    "audit": "audit",
}
EXIT_USAGE = 2


class Commands(click.Group):
    """Loads a command when it is called: `status` must not wait for what `run` needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Return all commands, in the order of the documentation."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the file of one command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"kafka_self_healing.cli.{COMMANDS[cmd_name]}")
        command = module.command
        assert isinstance(command, click.Command)
        return command


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kafka-self-healing")
def cli() -> None:
    """Watch self-managed Kafka clusters, heal what can safely be healed, explain the rest."""


def main() -> None:
    """Run the command line; errors of ours are one clear message, never a traceback."""
    try:
        cli(prog_name="kafka-self-healing")
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_USAGE)
    except KafkaSelfHealingError as error:
        click.echo(f"kafka-self-healing: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
