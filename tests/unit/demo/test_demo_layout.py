"""How the embedded cluster's nodes are laid out."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from kafka_self_healing.demo.errors import DemoError
from kafka_self_healing.demo.layout import (
    ClusterSettings,
    plan_nodes,
    shortened_properties,
    write_properties,
)


def test_default_session_changes_nothing_of_kafka() -> None:
    """At the default session no timing of Kafka is touched; a shorter one shortens its kin."""
    short = shortened_properties(3000)

    assert shortened_properties(9000) == {}
    assert short["broker.session.timeout.ms"] == "3000"
    assert short["broker.heartbeat.interval.ms"] == "500"
    assert shortened_properties(18000) == {"broker.session.timeout.ms": "18000"}


def test_ports_are_free_distinct_and_not_the_kernels(tmp_path: Path) -> None:
    """Each node has three ports of its own, outside the range of outgoing connections."""
    nodes = plan_nodes(tmp_path, 3).values()

    ports = [p for node in nodes for p in (node.kafka_port, node.controller_port, node.jmx_port)]
    assert len(set(ports)) == 9
    assert max(ports) < 32768
    for port in ports:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_extra_properties_have_the_last_word(tmp_path: Path) -> None:
    """What the caller sets is what the node gets."""
    nodes = plan_nodes(tmp_path, 3)
    settings = ClusterSettings(extra_properties={"min.insync.replicas": "1"})

    write_properties(nodes, settings)

    lines = nodes[2].properties_file.read_text().splitlines()
    assert "min.insync.replicas=1" in lines
    assert "node.id=2" in lines
    assert f"log.dirs={nodes[2].data_dir}" in lines


def test_folder_that_is_not_ours_is_not_touched(tmp_path: Path) -> None:
    """A folder of the same name that no run of ours made is an error, and stays."""
    (tmp_path / "node-1").mkdir()

    with pytest.raises(DemoError, match="not ours"):
        write_properties(plan_nodes(tmp_path, 3), ClusterSettings())

    assert (tmp_path / "node-1").is_dir()
