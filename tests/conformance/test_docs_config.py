"""The documentation of the configuration says what the code does."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel
from tests.unit.config.config_files import changed, read

from kafka_self_healing.config import load, unhealable
from kafka_self_healing.config.schema import (
    BUDGETS,
    BudgetConfig,
    ConfigFile,
    Ladders,
    PolicyKnobs,
    RungConfig,
)
from kafka_self_healing.config.schema_access import SaslSection, TlsSection
from kafka_self_healing.model.policy import Budget, Mode, Policy

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
ROWS = {
    name: row.split("|")
    for row in TEXT.splitlines()
    if row.startswith("| `")
    for name in re.findall(r"`([^`]+)`", row.split("|")[1])
}


ONCE = {TlsSection: "tls", SaslSection: "sasl", Ladders: "ladders"}
"""Sections that stand at several places and are documented once, under a name of their own."""

ABOVE = {f"cluster.nodes[].{name}" for name in ("security", "access", "service", "log")}
"""What a node says like its cluster."""


def _options(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        path = f"{above}{field.alias or name}"
        inner, listed = _models(field.annotation)
        first = inner[0] if inner else None
        if first is not BudgetConfig and not (first and path.startswith("notifications.")):
            yield path, field.default
        if first is RungConfig or path in ABOVE:
            continue
        for section in inner:
            prefix = ONCE.get(section, f"{path}[]" if listed else path)
            if not above.startswith(f"{prefix}."):  # the TLS of a login's own endpoint
                yield from _options(section, f"{prefix}.")


def _models(annotation: Any, *, listed: bool = False) -> tuple[list[type[BaseModel]], bool]:
    """Return every form that a field's section may have, and whether it is a list of them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation], listed
    listed = listed or Ellipsis in get_args(annotation)
    inner = [_models(part, listed=listed) for part in get_args(annotation)]
    found = [model for models, _ in inner for model in models]
    return found, listed or any(each for models, each in inner if models)


OPTIONS = dict(_options(ConfigFile))


@pytest.mark.parametrize("path", [path for path in OPTIONS if not path.startswith("policy.")])
def test_each_option_has_a_row_with_its_meaning(path: str) -> None:
    """Every key that the schema knows is in a table, with words about it."""
    assert path in ROWS
    assert len(ROWS[path][3].strip()) > 5


@pytest.mark.parametrize(
    ("path", "default"),
    [
        (path, default)
        for path, default in OPTIONS.items()
        if isinstance(default, bool | int | float | StrEnum) and not path.startswith("policy.")
    ],
)
def test_each_default_is_the_one_of_the_code(path: str, default: object) -> None:
    """A number, a truth value or a word that is the default stands in the second column."""
    match default:
        case bool():
            written = str(default).lower()
        case StrEnum():
            written = default.value
        case _:
            written = f"{default:.12g}"
    assert f"`{written}`" in ROWS[path][2]


@pytest.mark.parametrize("name", list(PolicyKnobs.model_fields))
def test_each_knob_has_a_row_with_its_default(name: str) -> None:
    """Every threshold of the model is in the table with the default that the model has."""
    default = getattr(Policy(), name)
    written = f"{default:g}" if isinstance(default, float) else str(default)
    written = written.lower() if isinstance(default, bool) else written

    row = ROWS[f"policy.{name}"]

    assert row[2].strip() == f"`{written}`"
    assert len(row[3].strip()) > 10


@pytest.mark.parametrize(("name", "field"), BUDGETS.items())
def test_each_budget_has_its_default(name: str, field: str) -> None:
    """The budgets' defaults are those of the model."""
    default: Budget = getattr(Policy(), field)

    assert f"`{default.acts}`, `{default.window_s:g}`" in "|".join(ROWS[f"budgets.{name}.acts"])


@pytest.mark.parametrize("name", list(RungConfig.model_fields))
def test_each_key_of_a_rung_has_a_row(name: str) -> None:
    """The keys of a rung and their defaults are documented."""
    default = RungConfig.model_fields[name].default
    written = "required" if name == "action" else f"`{default:g}`"

    assert ROWS[name][2].strip() == written


def test_the_documentation_names_no_option_that_does_not_exist() -> None:
    """A row about an option that was renamed or removed fails."""
    known = set(OPTIONS) | set(RungConfig.model_fields)

    assert {name for name in ROWS if name not in known} == set()


@pytest.mark.parametrize("example", re.findall(r"```yaml\n(.*?)```", TEXT, flags=re.DOTALL))
def test_each_documented_example_loads(example: str, tmp_path: Path) -> None:
    """Each fragment loads when it is put into a valid file."""
    sections = yaml.safe_load(example.replace("${SMTP_PASSWORD}", "${PASSWORD}"))
    inventory = sections.pop("cluster", {})
    changes = sections | {f"cluster.{key}": value for key, value in inventory.items()}

    assert read(tmp_path, changed(changes)).cluster.name == "orders"


EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


def test_there_is_an_example_for_each_sort_of_cluster() -> None:
    """The documentation links each of them."""
    assert [path.name for path in EXAMPLES] == [
        "docker.yaml",
        "secured-kraft-ssh.yaml",
        "three-node-kraft.yaml",
        "zookeeper-ssh.yaml",
    ]
    assert all(f"../examples/{path.name}" in TEXT for path in EXAMPLES)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_each_example_loads_and_can_heal_everything(path: Path) -> None:
    """An example has no problem, no note and no gap but its mode; not all write a canary."""
    settings = load(path, {})

    assert len(settings.cluster.nodes) >= 3
    assert settings.notes == ()
    gaps = unhealable(dataclasses.replace(settings, mode=Mode.AUTO))
    assert [one for one in gaps if not one.startswith("COUNTED_NOT_SERVING cannot be seen")] == []
