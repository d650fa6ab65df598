"""Variables of the environment are filled in after parsing, in values only."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.config.config_files import changed, read, refuse

from kafka_self_healing.config.secret_files import SecretFiles
from kafka_self_healing.config.substitution import substitute

FILES = SecretFiles(Path("/nowhere"))
VARIABLES = {"A": "1", "EMPTY": "", "YAML": "x: [y, # z"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain $A $ {A}", "plain $A $ {A}"),
        ("${A}", "1"),
        ("${A}${A}-${A}", "11-1"),
        ("${EMPTY}", ""),
        ("${EMPTY:-d}", "d"),
        ("${NONE:-d e}", "d e"),
        ("${NONE:-}", ""),
        ("$${A}", "${A}"),
        ("$$${A}", "$${A}"),
        ("${YAML}", "x: [y, # z"),
    ],
)
def test_references_are_replaced(text: str, expected: str) -> None:
    """Each form gives its text; a value is never parsed again."""
    result = substitute(text, VARIABLES, FILES)

    assert result.text == expected
    assert not result.problems


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${NONE}", "the environment variable NONE is not set"),
        ("${}", "write $${"),
        ("${A", "write $${"),
        ("${1A}", "write $${"),
        ("${A-B}", "write $${"),
    ],
)
def test_what_is_no_reference_is_told(text: str, message: str) -> None:
    """A missing variable and a broken reference are problems, not empty texts."""
    (problem,) = substitute(text, VARIABLES, FILES).problems

    assert message in problem


def test_a_missing_variable_is_told_once_at_its_value(tmp_path: Path) -> None:
    """The problem names the variable and stands at its line and column, and nothing follows."""
    text = changed({"cluster.nodes.0.kafka_port": "${NONE}"})
    rows = text.split("\n")
    line = next(number for number, row in enumerate(rows, 1) if "NONE" in row)

    (problem,) = refuse(tmp_path, text)

    assert "NONE is not set" in problem.message
    assert problem.path == "cluster.nodes[0].kafka_port"
    assert (problem.line, problem.column) == (line, rows[line - 1].index("$") + 1)


def test_a_variable_may_hold_a_number_or_a_password_of_digits(tmp_path: Path) -> None:
    """The field decides what a value is: a port is a number, a password of digits stays a text."""
    email = {"host": "localhost", "from": "a@b", "to": ["c@d"], "username": "${PORT}",
             "password": "${PASSWORD}"}  # fmt: skip
    text = changed({"cluster.nodes.0.kafka_port": "${PORT}", "notifications.email": email})

    settings = read(tmp_path, text)

    mail = settings.notification.email
    assert settings.cluster.nodes["1"].kafka_port == 9092
    assert mail is not None
    assert mail.password is not None
    assert (mail.username, mail.password.reveal()) == ("9092", "0123true")
    assert "0123true" not in repr(settings)
