"""What a configuration cannot heal is said before it is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.config.config_files import changed, read

from kafka_self_healing.config import unhealable
from kafka_self_healing.healing.diagnosis.table import TABLE
from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.model.incident import Condition

AUTO = {"mode": "auto"}
WHOLE = {
    **AUTO,
    "cluster.log": {"file": "/var/log/kafka/{id}.log"},
    "checks.canary": {"topic": "healer-canary"},
}
BROKERS = [{"id": 1, "roles": ["broker"], "host": "127.0.0.1", "kafka_port": 9092}]
MEMBER = {"id": "zk1", "roles": ["zookeeper"], "host": "127.0.0.1", "zookeeper_port": 2181}


GONE = "PROCESS_GONE, KILLED_BY_KERNEL, TERMINATED and START_LIMIT_HIT "


def test_a_complete_configuration_has_no_gap(tmp_path: Path) -> None:
    """With three combined nodes, a service, JMX and data directories there is nothing to say."""
    assert unhealable(read(tmp_path, changed(WHOLE))) == ()


@pytest.mark.parametrize("how", ["local", {"ssh": {}}])
def test_a_host_that_is_said_how_to_ask_is_no_gap(how: object, tmp_path: Path) -> None:
    """`local` is a promise, ssh a way: both are enough."""
    far = {f"cluster.nodes.{n}.host": f"kafka-{n}" for n in range(3)}

    assert unhealable(read(tmp_path, changed({**WHOLE, **far, "cluster.access": how}))) == ()


def test_an_ensemble_of_three_has_no_gap_but_its_directories(tmp_path: Path) -> None:
    """What is of Kafka's JVM alone is not said of ZooKeeper's servers."""
    nodes = [
        {**BROKERS[0], "id": n, "kafka_port": 9000 + n, "jmx_port": 9200 + n,
         "data_dirs": [f"/data/{n}"]} for n in (1, 2, 3)
    ] + [{**MEMBER, "id": f"zk{n}", "zookeeper_port": 2180 + n} for n in (1, 2, 3)]  # fmt: skip
    text = changed({**WHOLE, "cluster.mode": "zookeeper", "cluster.nodes": nodes})

    gone, disks = unhealable(read(tmp_path, text))

    assert gone.startswith(GONE + "cannot be healed on node zk1, zk2, zk3: without data_dirs")
    assert "HOST_FROZEN cannot be seen on node zk1, zk2, zk3: without HOST" in disks


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"mode": "observe"}, "Nothing is healed: the mode is observe"),
        ({"mode": "approve"}, "each act waits for a person"),
        (
            {"cluster.service": None},
            "CONTROLLER_WEDGED and HEAP_EXHAUSTED cannot be healed on any node",
        ),
        (
            {"cluster.service": None},
            "STOPPED_BY_OPERATOR and STORAGE_HUNG cannot be seen on any node",
        ),
        (
            {"cluster.nodes.1.data_dirs": None},
            GONE + "cannot be healed on node 2: without data_dirs",
        ),
        (
            {"cluster.nodes.0.jmx_port": None, "cluster.nodes.2.jmx_port": None},
            "SERVING_NOT_COUNTED and CONTROLLER_WEDGED cannot be seen on node 1, 3:",
        ),
        (
            {"checks.kinds": ["SERVICE", "LISTENER", "PEERS", "QUORUM", "JVM"]},
            "PROCESS_HUNG cannot be healed on any node: without PROTOCOL evidence",
        ),
        (
            {"checks.kinds": ["SERVICE", "JVM"]},
            GONE + "cannot be healed on any node: neither LISTENER nor",
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
            "and HEAP_EXHAUSTED are not healed without a person on any node: a restart needs",
        ),
        (
            {"cluster.nodes.1.host": "kafka-2"},
            GONE + "may not be healed on node 2: no access says how its host",
        ),
        (
            {"cluster.nodes.1.host": "kafka-2"},
            "STORAGE_HUNG may not be seen on node 2: no access says how its host is asked",
        ),
        (
            {
                "cluster.security.controller": {"tls": True},
                "cluster.security.kafka": {"tls": True},
                "checks.kinds": ["SERVICE", "PROTOCOL", "PEERS", "QUORUM", "JVM"],
            },
            "HEAP_EXHAUSTED are not healed without a person on any node: without CERTIFICATE",
        ),
        (
            {"cluster.mode": "zookeeper", "cluster.nodes": BROKERS},
            "ENSEMBLE_QUORUM_LOST cannot be seen on any node: no ZooKeeper server is asked",
        ),
        (
            {"cluster.mode": "zookeeper", "cluster.nodes": [*BROKERS, MEMBER]},
            "PROCESS_HUNG cannot be healed on node zk1: no other ZooKeeper server is asked",
        ),
        (
            {"cluster.mode": "zookeeper", "cluster.nodes": [*BROKERS, MEMBER]},
            "approval where there are 2 ZooKeeper servers or fewer",
        ),
    ],
)
def test_each_gap_is_a_sentence(changes: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    """A gap names the conditions, the nodes and the reason."""
    told = unhealable(read(tmp_path, changed(AUTO | changes)))

    assert any(sentence in said for said in told), told
    assert all(said.endswith(".") for said in told)


@pytest.mark.parametrize("kind", [Kind.JVM, Kind.HOST, Kind.LOG, Kind.CANARY])
def test_what_is_told_is_what_the_rules_need(kind: Kind, tmp_path: Path) -> None:
    """Each condition that needs a kind is missed without it, in one mode or the other."""
    zookeeper = {
        "cluster.mode": "zookeeper",
        "cluster.nodes": [{**BROKERS[0], "jmx_port": 9901, "data_dirs": ["/data"]}, MEMBER],
    }
    left = [one.value for one in Kind if one not in {kind, Kind.CERTIFICATE, Kind.CUSTOM}]
    texts = [changed({**WHOLE, **mode, "checks.kinds": left}) for mode in ({}, zookeeper)]
    told = " ".join(s for text in texts for s in unhealable(read(tmp_path, text)) if "seen" in s)
    needing = {condition for condition, row in TABLE.items() if kind in row.needs}
    assert {one for one in needing if one.value not in told} <= {Condition.JMX_UNREACHABLE}
