"""Writes the ordinary configuration file of the demo's cluster, and says what it shortened."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from kafka_self_healing.config import Settings
from kafka_self_healing.demo.layout import Node
from kafka_self_healing.model.node import Cluster
from kafka_self_healing.model.policy import Mode, Policy

CLUSTER_NAME: Final = "demo"
SHORTENED: Final = {"warm_floor_s": 8.0, "stable_floor_s": 10.0, "notice_group_s": 5.0}
"""The demo's own `policy`: a viewer should not wait for what protects a production cluster."""

# Kafka 4.3's own defaults of what `layout.shortened_properties` sets.
KAFKA_DEFAULTS: Final = {
    "broker.session.timeout.ms": 9000,
    "broker.heartbeat.interval.ms": 2000,
    "controller.quorum.election.timeout.ms": 1000,
    "controller.quorum.election.backoff.max.ms": 1000,
    "controller.quorum.fetch.timeout.ms": 2000,
}
_HEADER: Final = """\
# The configuration of the demo's cluster: an ordinary file, written by `kafka-self-healing demo`.
# What it shortens is listed in the demo's report. Every option: docs/configuration.md
"""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the file must name besides the nodes: commands, session lengths (s), mail, folders."""

    control: Sequence[str]
    session_timeout_s: float
    fetch_timeout_s: float
    mail_port: int
    state_dir: Path
    log_file: Path
    mode: Mode = Mode.AUTO
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Knob:
    """One value that differs from its default."""

    name: str
    value: float | int | str
    default: float | int | str


def write_configuration(path: Path, nodes: Mapping[int, Node], around: Surroundings) -> None:
    """Write the file; it is checked by nobody here, the daemon reads it like any other."""
    text = yaml.safe_dump(_content(nodes, around), sort_keys=False, allow_unicode=True, width=100)
    path.write_text(_HEADER + text, encoding="utf-8")


def shortened(settings: Settings, server_properties: Mapping[str, str]) -> list[Knob]:
    """Return every threshold and session length that differs from its default, computed.

    `server_properties`: what the demo set in the brokers' own configuration.
    """
    usual, plain = Policy(), Cluster("")
    knobs = [
        Knob(f"cluster.{name}", getattr(settings.cluster, name), getattr(plain, name))
        for name in ("session_timeout_s", "fetch_timeout_s")
    ]
    for field in dataclasses.fields(Policy):
        value, default = getattr(settings.policy, field.name), getattr(usual, field.name)
        if isinstance(default, float | int) and field.name != "seed":
            knobs.append(Knob(f"policy.{field.name}", value, default))
    session = settings.cluster.session_timeout_s
    knobs.append(
        Knob(
            "stable window that follows (s)",
            settings.policy.stable_window_s(session),
            usual.stable_window_s(plain.session_timeout_s),
        )
    )
    knobs += [
        Knob(f"brokers: {name}", int(server_properties[name]), default)
        for name, default in KAFKA_DEFAULTS.items()
        if name in server_properties
    ]
    return [knob for knob in knobs if knob.value != knob.default]


def _content(nodes: Mapping[int, Node], around: Surroundings) -> dict[str, Any]:
    return {
        "mode": around.mode.value,
        "state_dir": _literal(around.state_dir),
        "seed": around.seed,
        "cluster": {
            "name": CLUSTER_NAME,
            "session_timeout_s": around.session_timeout_s,
            "fetch_timeout_s": around.fetch_timeout_s,
            "service": {
                "manager": "command",
                **{
                    verb: [*(_literal(word) for word in around.control), verb, "{id}"]
                    for verb in ("start", "stop", "kill", "status")
                },
            },
            "nodes": [_node(node) for node in nodes.values()],
        },
        "checks": {"kinds": ["LISTENER", "PROTOCOL", "PEERS", "QUORUM", "JVM", "SERVICE", "HOST"]},
        "policy": dict(SHORTENED),
        "notifications": {
            "email": {
                "host": "127.0.0.1",
                "port": around.mail_port,
                "from": "kafka-self-healing@demo.example",
                "to": ["operators@demo.example"],
            }
        },
        "logging": {"level": "info", "json": False, "file": _literal(around.log_file)},
    }


def _node(node: Node) -> dict[str, Any]:
    return {
        "id": node.id,
        "roles": ["broker", "controller"],
        "host": node.host,
        "rack": f"rack-{node.id}",
        "kafka_port": node.kafka_port,
        "controller_port": node.controller_port,
        "jmx_port": node.jmx_port,
        "data_dirs": [_literal(node.data_dir)],
    }


def _literal(word: object) -> str:
    """Return a word as it is meant, where `${` would be read as a variable."""
    return str(word).replace("${", "$${")
