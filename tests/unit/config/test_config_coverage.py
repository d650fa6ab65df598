"""What a configuration cannot heal is said before it is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.config.config_files import changed, read

from kafka_self_healing.config import unhealable

AUTO = {"mode": "auto"}


def test_a_complete_configuration_has_no_gap(tmp_path: Path) -> None:
    """With three combined nodes, a service, JMX and data directories there is nothing to say."""
    assert unhealable(read(tmp_path, changed(AUTO))) == ()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"mode": "observe"}, "Nothing is healed: the mode is observe"),
        ({"mode": "approve"}, "each act waits for a person"),
        (
            {"cluster.service": None},
            "PROCESS_GONE and TERMINATED and PROCESS_HUNG cannot be healed on any node: without",
        ),
        (
            {"cluster.service": None},
            "STOPPED_BY_OPERATOR and STORAGE_HUNG cannot be seen on any node",
        ),
        (
            {"cluster.nodes.1.data_dirs": None},
            "PROCESS_GONE and TERMINATED cannot be healed on node 2: without data_dirs",
        ),
        (
            {"cluster.nodes.0.jmx_port": None, "cluster.nodes.2.jmx_port": None},
            "RECOVERING_LOGS cannot be seen on node 1, 3: without JVM evidence",
        ),
        (
            {"checks.kinds": ["SERVICE", "LISTENER", "PEERS", "QUORUM", "JVM"]},
            "PROCESS_HUNG cannot be healed on any node: without PROTOCOL evidence",
        ),
        (
            {"checks.kinds": ["SERVICE", "JVM"]},
            "PROCESS_GONE and TERMINATED cannot be healed on any node: neither LISTENER nor",
        ),
        (
            {"checks.kinds": ["SERVICE", "PROTOCOL", "QUORUM"]},
            "PROCESS_HUNG cannot be healed on any node: no other broker is asked (PEERS)",
        ),
        (
            {"checks.kinds": ["SERVICE", "PROTOCOL", "QUORUM"]},
            "UNDER_REPLICATED cannot be seen on any node",
        ),
        (
            {"checks.kinds": ["SERVICE", "PROTOCOL", "PEERS"]},
            "PROCESS_HUNG cannot be healed on any node: no other controller is asked (QUORUM)",
        ),
        ({"checks.kinds": ["SERVICE", "PROTOCOL"]}, "QUORUM_LOST cannot be seen on any node"),
        (
            {"cluster.nodes.2": None},
            "PROCESS_HUNG is not healed by itself on any node: a restart needs a person's approval",
        ),
    ],
)
def test_each_gap_is_a_sentence(changes: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    """A gap names the conditions, the nodes and the reason."""
    told = unhealable(read(tmp_path, changed(AUTO | changes)))

    assert any(sentence in said for said in told), told
    assert all(said.endswith(".") for said in told)
