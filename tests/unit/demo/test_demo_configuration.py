"""The demo's configuration file is an ordinary one, and what it shortened is computed from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from kafka_self_healing.config import Settings, load
from kafka_self_healing.config.coverage import unhealable
from kafka_self_healing.demo.configuration import (
    KAFKA_DEFAULTS,
    SHORTENED,
    Surroundings,
    shortened,
    write_configuration,
)
from kafka_self_healing.demo.layout import plan_nodes, shortened_properties
from kafka_self_healing.model.access import CommandService
from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.model.policy import Mode, Policy


def written(tmp_path: Path, folder: str = "state") -> Settings:
    """Write the file for three nodes and load it as the daemon does."""
    nodes = plan_nodes(tmp_path / "cluster", 3)
    path = tmp_path / "demo.yaml"
    around = Surroundings(
        control=["/usr/bin/env", "ctl", "--dir", str(tmp_path / "cluster")],
        session_timeout_s=3.0,
        fetch_timeout_s=1.0,
        mail_port=2525,
        state_dir=tmp_path / folder,
        log_file=tmp_path / "daemon.log",
        seed=7,
    )
    write_configuration(path, nodes, around)
    return load(path)


def test_file_loads_and_can_heal_everything(tmp_path: Path) -> None:
    """The file has no problem, mode auto, mail on loopback, and all evidence that a demo needs."""
    settings = written(tmp_path)

    assert settings.mode is Mode.AUTO
    assert settings.policy.seed == 7
    assert list(settings.cluster.nodes) == ["1", "2", "3"]
    assert {Kind.JVM, Kind.SERVICE, Kind.HOST, Kind.PEERS, Kind.QUORUM} <= (
        settings.cluster.nodes["1"].kinds
    )
    assert settings.notification.email is not None
    assert settings.notification.email.port == 2525
    assert [one.rpartition("without ")[2][:6] for one in unhealable(settings)] == [
        "LOG ev",
        "CANARY",
    ]


def test_commands_name_the_node(tmp_path: Path) -> None:
    """Each node's commands end in the verb and its own id."""
    service = written(tmp_path).cluster.nodes["2"].service

    assert isinstance(service, CommandService)
    assert service.start[-2:] == ("start", "2")
    assert service.kill[-2:] == ("kill", "2")
    assert service.status[:2] == ("/usr/bin/env", "ctl")


def test_strange_folder_is_taken_literally(tmp_path: Path) -> None:
    """A folder whose name looks like a variable is no variable."""
    assert written(tmp_path, "${HOME}: #x").state_dir == tmp_path / "${HOME}: #x"


def test_shortened_knobs_are_exactly_those_that_differ(tmp_path: Path) -> None:
    """Sessions, the shortened policy, what follows from them, and the brokers' own values."""
    settings = written(tmp_path)
    properties = shortened_properties(3000)
    knobs = {knob.name: knob for knob in shortened(settings, properties)}

    own = {f"policy.{name}" for name in SHORTENED}
    sessions = {"cluster.session_timeout_s", "cluster.fetch_timeout_s"}
    brokers = {f"brokers: {name}" for name in KAFKA_DEFAULTS}
    assert set(knobs) == own | sessions | brokers | {"stable window that follows (s)"}
    assert knobs["policy.stable_floor_s"].value == SHORTENED["stable_floor_s"]
    assert knobs["policy.stable_floor_s"].default == Policy().stable_floor_s
    assert knobs["cluster.session_timeout_s"].default == 9.0


def test_a_knob_at_its_default_is_not_listed(tmp_path: Path) -> None:
    """It is computed: a policy of defaults lists none of the policy."""
    settings = replace(written(tmp_path), policy=Policy())

    assert not [one for one in shortened(settings, {}) if one.name.startswith("policy.")]
