"""A failing scenario becomes small, and can be written down and read again."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from kafka_self_healing.cli.main import cli
from kafka_self_healing.errors import ReplayError
from kafka_self_healing.model.control import Order
from kafka_self_healing.model.evidence import Family, Kind
from kafka_self_healing.model.policy import Mode
from kafka_self_healing.simulation import faults
from kafka_self_healing.simulation.runner import play
from kafka_self_healing.simulation.scenario_file import from_text, to_text
from kafka_self_healing.simulation.scenarios import ALL_KINDS, Scenario, Shape, draw
from kafka_self_healing.simulation.shrinking import Shrinker
from kafka_self_healing.simulation.weakening import without

LONG = Scenario(
    3,
    Shape(combined=3, brokers=2, topics=2, tls=True, kinds=ALL_KINDS - {Kind.HOST}),
    (
        faults.JmxOff(48.0, "2", 20.0),
        faults.Says(61.37, Order.MAINTENANCE, "1"),
        faults.Crash(70.21, "1", recovery_s=20.0),
        faults.BadWeather(90.0, 10.0, 0.1),
        faults.Lie(120.0, "3", Family.OURS, 5.0),
    ),
    loss=0.002,
    horizon_s=300.0,
)


def _without_maintenance(scenario: Scenario) -> float | None:
    with without("not_in_maintenance"):
        broken = play(scenario).violations
    return next((v.at_s for v in broken if v.code == "I4" and "maintenance" in v.text), None)


def test_a_failing_scenario_becomes_small() -> None:
    """Proves that only what matters is left: the maintenance and the crash, in a small cluster."""
    smallest = Shrinker(_without_maintenance).shrink(LONG)
    assert [type(fault) for fault in smallest.faults] == [faults.Says, faults.Crash]
    assert smallest.shape.brokers < LONG.shape.brokers
    assert not smallest.shape.tls
    assert smallest.loss == 0.0
    assert smallest.horizon_s < 80.0
    assert _without_maintenance(smallest) is not None


def test_what_does_not_fail_is_not_shrunk() -> None:
    """Proves that a good scenario is an error, not a small scenario."""
    with pytest.raises(ValueError, match="nothing goes wrong"):
        Shrinker(lambda _: None).shrink(LONG)


@pytest.mark.parametrize("seed", range(0, 400, 7))
def test_a_scenario_is_read_as_it_was_written(seed: int) -> None:
    """Proves that nothing of a drawn scenario is lost in its file."""
    assert from_text(to_text(draw(seed))) == draw(seed)


def test_a_scenario_may_say_why() -> None:
    """Proves that a corpus line has room for a sentence."""
    text = to_text(LONG).replace("{", '{"why": "it broke once", ', 1)
    assert from_text(text) == LONG


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"seed": 1, "faults": [{"fault": "Rain"}]}', '{"seed": "x"}']
)
def test_what_is_no_scenario_is_refused(text: str) -> None:
    """Proves that an error names the file instead of a traceback."""
    with pytest.raises(ReplayError, match=r"^a\.json: not a scenario"):
        from_text(text, "a.json")


def test_the_command_plays_a_scenario(tmp_path: Path) -> None:
    """Proves `--scenario`: the timeline, and exit status 2 for what cannot be read."""
    scenario = Scenario(1, Shape(), (faults.Crash(60.0, "2"),), mode=Mode.AUTO, horizon_s=70.0)
    path = tmp_path / "one.json"
    path.write_text(to_text(scenario), encoding="utf-8")
    good = CliRunner().invoke(cli, ["simulate", "--scenario", str(path)])
    assert (good.exit_code, "Crash" in good.output) == (0, True)
    assert (
        CliRunner().invoke(cli, ["simulate", "--scenario", str(tmp_path / "none")]).exit_code == 2
    )


def test_the_command_shrinks_only_what_fails() -> None:
    """Proves that a good seed is said to be good."""
    found = CliRunner().invoke(cli, ["simulate", "--seed", "7", "--shrink"])
    assert found.exit_code == 2
    assert "seed 7 breaks no invariant" in found.output
    assert CliRunner().invoke(cli, ["simulate", "--shrink"]).exit_code == 2
