"""The documentation of the configuration says what the code does."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
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
    PolicyKnobs,
    RungConfig,
)
from kafka_self_healing.model.policy import Budget, Policy

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
ROWS = {
    name: row.split("|")
    for row in TEXT.splitlines()
    if row.startswith("| `")
    for name in re.findall(r"`([^`]+)`", row.split("|")[1])
}


def _options(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        path = f"{above}{field.alias or name}"
        inner, listed = _model(field.annotation)
        if inner is RungConfig or inner is None or path == "cluster.nodes[].service":
            yield path, field.default
        else:
            if inner is not BudgetConfig and not path.startswith("notifications."):
                yield path, field.default
            yield from _options(inner, f"{path}[]." if listed else f"{path}.")


def _model(annotation: Any, *, listed: bool = False) -> tuple[type[BaseModel] | None, bool]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, listed
    for part in get_args(annotation):
        inner = _model(part, listed=listed or Ellipsis in get_args(annotation))
        if inner[0]:
            return inner
    return None, listed


OPTIONS = dict(_options(ConfigFile))


@pytest.mark.parametrize("path", [path for path in OPTIONS if not path.startswith("policy.")])
def test_each_option_has_a_row_with_its_meaning(path: str) -> None:
    """Every key that the schema knows is in a table, with words about it."""
    assert path in ROWS
    assert len(ROWS[path][3].strip()) > 5


@pytest.mark.parametrize("name", list(PolicyKnobs.model_fields))
def test_each_knob_has_a_row_with_its_default(name: str) -> None:
    """Every threshold of the model is in the table with the default that the model has."""
    default = getattr(Policy(), name)
    written = f"{default:g}" if isinstance(default, float) else str(default)

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

    assert read(tmp_path, changed(sections)).cluster.name == "orders"


def test_the_example_file_loads_and_can_heal_everything() -> None:
    """The three-node example has no problem, no note and no gap but its mode."""
    settings = load(ROOT / "examples" / "three-node-kraft.yaml", {})

    assert len(settings.cluster.nodes) == 3
    assert settings.notes == ()
    assert unhealable(dataclasses.replace(settings, mode=type(settings.mode).AUTO)) == ()
