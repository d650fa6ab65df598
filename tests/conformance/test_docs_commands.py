"""docs/commands.md says what the command line does: each command, each option, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from kafka_self_healing.cli.main import cli

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
SECTIONS: dict[str, str] = dict(
    re.findall(r"^##+ `([a-z -]+)`\n(.*?)(?=^##+ |\Z)", TEXT, flags=re.MULTILINE | re.DOTALL)
)


def _commands(group: click.Group, above: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{above}{name}", command
        if isinstance(command, click.Group):
            yield from _commands(command, f"{above}{name} ")


COMMANDS = dict(_commands(cli))


def _options(command: click.Command) -> set[str]:
    options = [param for param in command.params if isinstance(param, click.Option)]
    return {name for option in options for name in option.opts if name.startswith("--")}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_a_section_with_its_options(name: str) -> None:
    """Every option stands in the section of its command, in code marks."""
    section = SECTIONS[name]

    written = {word for code in re.findall(r"`(--[^`]+)`", section) for word in code.split()[:1]}
    assert written == _options(COMMANDS[name])


@pytest.mark.parametrize(
    "name", [name for name, command in COMMANDS.items() if not isinstance(command, click.Group)]
)
def test_each_section_shows_an_example(name: str) -> None:
    """A block calls the command as one would."""
    blocks = re.findall(r"```\n(.*?)```", SECTIONS[name], flags=re.DOTALL)

    assert any(f"kafka-self-healing {name}" in block for block in blocks)


def test_no_section_is_about_a_command_that_does_not_exist() -> None:
    """A command that was renamed or removed fails here."""
    assert set(SECTIONS) == set(COMMANDS)


def test_the_sections_stand_in_the_order_of_the_help() -> None:
    """Whoever reads the help finds the same order here."""
    assert list(SECTIONS) == list(COMMANDS)


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_each_command_explains_itself(name: str) -> None:
    """`--help` and `-h` show usage and a sentence of purpose."""
    for option in ("--help", "-h"):
        shown = CliRunner().invoke(cli, [*name.split(), option], prog_name="kafka-self-healing")
        assert shown.exit_code == 0
        assert f"Usage: kafka-self-healing {name}".rstrip() in shown.output
        assert len(shown.output.splitlines()[2].strip()) > 10


def test_every_option_has_words_or_is_the_configuration() -> None:
    """An option without help is one whose name says all."""
    silent = {
        f"{name} {option.opts[0]}"
        for name, command in COMMANDS.items()
        for option in command.params
        if isinstance(option, click.Option) and not option.help
    }

    assert silent == {
        "run --config",
        "doctor --config",
        "audit verify --config",
        "demo --fault",
    }
