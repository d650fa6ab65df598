"""The daemon as operators run it, on a secured cluster and in ZooKeeper mode: file, run, heal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.integration.clusters.inventory import secured_inventory, zookeeper_inventory
from tests.integration.clusters.kraft import BROKERS
from tests.integration.clusters.secured import HEALER, MONITOR, USERS, SecuredCluster, Wrongs
from tests.integration.clusters.servers import CONTROLLER, JMX, RealCluster
from tests.integration.clusters.zookeeper import MEMBERS, SESSION_MS, TICK_MS, ZooKeeperCluster
from tests.integration.conftest import UP_LIMIT_S, MakeSecured
from tests.integration.real_daemon import HEAL_LIMIT_S, POLICY, RealDaemon

from kafka_self_healing.config import load
from kafka_self_healing.model.node import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.heavy]

SESSION_S = 3


@pytest.fixture(scope="module")
def guarded(make_secured: MakeSecured) -> SecuredCluster:
    """A secured cluster of our own, with nothing wrong on it, and a topic."""
    made = make_secured(Wrongs())
    made.start_all()
    made.wait_whole(timeout_s=UP_LIMIT_S)
    made.grant()
    with made.admin("SCRAM") as admin:
        admin.create_topics({"orders": {"num_partitions": 3, "replication_factor": 3}})
    made.wait_whole(timeout_s=UP_LIMIT_S)
    return made


def _written(path: Path, cluster: RealCluster, inventory: dict[str, Any]) -> Path:
    """Write a whole file: the inventory, the cluster's service, a short policy."""
    control = cluster.control_command(by="healer")
    service = {verb: [*control, verb, "{id}"] for verb in ("start", "stop", "kill", "status")}
    content = {
        "mode": "auto",
        "state_dir": "state",
        "cluster": {"name": "real", "service": service, **inventory},
        "policy": POLICY,
        "logging": {"json": False},
    }
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def _secured(folder: Path, cluster: SecuredCluster) -> Path:
    """Write the file for the secured cluster; its secrets are in a file and in a variable."""
    password = folder / "kafka-password"
    password.touch(mode=0o600)
    password.write_text(f"{HEALER[1]}\n", encoding="utf-8")
    pki = cluster.pki
    nodes = [
        {
            "id": int(server.id),
            "roles": ["broker", "controller"],
            "host": server.host,
            "kafka_port": server.ports["SCRAM"],
            "controller_port": server.ports[CONTROLLER],
            "jmx_port": server.ports[JMX],
            "data_dirs": [str(server.data_dir)],
        }
        for server in cluster.servers.values()
    ]
    login = {
        "mechanism": "SCRAM-SHA-512",
        "username": HEALER[0],
        "password": "${file:kafka-password}",
    }
    tls = {"ca_file": str(pki.ca)}
    mutual = {**tls, "cert_file": str(pki.healer), "key_file": str(pki.healer)}
    jmx = {"username": MONITOR[0], "password": "${JMX_PASSWORD}", "tls": tls}
    return _written(
        folder / "healer.yaml",
        cluster,
        {
            "session_timeout_s": SESSION_S,
            "security": {
                "kafka": {"tls": tls, "sasl": login},
                "controller": {"tls": mutual},
                "jmx": jmx,
            },
            "nodes": nodes,
        },
    )


def _zookeeper(folder: Path, cluster: ZooKeeperCluster) -> Path:
    """Write the file for the cluster in ZooKeeper mode."""
    nodes = []
    for server in cluster.servers.values():
        node: dict[str, Any] = {
            "id": int(server.id) if server.id in BROKERS else server.id,
            "roles": [role.value for role in server.roles],
            "host": server.host,
            "jmx_port": server.ports[JMX],
            "data_dirs": [str(server.data_dir)],
        }
        if server.id in BROKERS:
            node["kafka_port"] = server.ports["PLAINTEXT"]
        else:
            node["zookeeper_port"] = server.ports["CLIENT"]
        if "ADMIN" in server.ports:
            node["security"] = {"zookeeper": {"admin_port": server.ports["ADMIN"]}}
        nodes.append(node)
    times = {"session_timeout_s": SESSION_MS / 1000, "tick_s": TICK_MS / 1000}
    return _written(folder / "healer.yaml", cluster, {"mode": "zookeeper", **times, "nodes": nodes})


def _reached(cluster: Cluster) -> dict[str, tuple[Any, ...]]:
    """Return of each node all that says how it is reached."""
    return {
        id_: (
            node.roles, node.host, node.kafka_port, node.controller_port, node.zookeeper_port,
            node.jmx_port, node.data_dirs, node.kafka, node.controller, node.jmx, node.zookeeper,
        )
        for id_, node in cluster.nodes.items()
    }  # fmt: skip


def test_the_secured_cluster_is_healed(guarded: SecuredCluster, tmp_path: Path) -> None:
    """A crash is seen through TLS and logins, healed by one start, and no secret is written."""
    config, variables = _secured(tmp_path, guarded), {"JMX_PASSWORD": MONITOR[1]}
    settings = load(config, variables)
    assert _reached(settings.cluster) == _reached(secured_inventory(guarded))
    assert settings.notes == ()

    with RealDaemon(config, env=variables) as daemon:
        daemon.wait_warm()
        reach = daemon.kheal("nodes", "--reach").stdout
        guarded.fault(2, "KILL")
        daemon.wait_until(lambda s: bool(s["incidents"]), "an incident", HEAL_LIMIT_S)
        daemon.wait_healed(1)
        assert daemon.stop() == 0
        kept = [path for path in daemon.state_dir.rglob("*") if path.is_file()]
        written = [daemon.log.encode(), reach.encode(), *(path.read_bytes() for path in kept)]

    guarded.wait_whole(timeout_s=UP_LIMIT_S)
    assert "TLS, SCRAM-SHA-512 as healer" in reach
    assert "mutual TLS" in reach
    assert "password of monitor" in reach
    for _, secret in (*USERS, MONITOR):
        assert not any(secret.encode() in text for text in written)


def test_a_broker_and_a_member_are_healed_in_zookeeper_mode(
    zookeeper_cluster: ZooKeeperCluster, tmp_path: Path
) -> None:
    """Each is started once; the broker not before its registration is released."""
    # zk3 allows no word that tells how many followers are synced, so another one has to lead.
    zookeeper_cluster.stop(MEMBERS[2])
    zookeeper_cluster.wait_led(by=MEMBERS[:2], timeout_s=UP_LIMIT_S)
    zookeeper_cluster.start(MEMBERS[2])
    zookeeper_cluster.wait_whole(timeout_s=UP_LIMIT_S)
    config = _zookeeper(tmp_path, zookeeper_cluster)
    inventory = zookeeper_inventory(zookeeper_cluster)
    assert _reached(load(config, {}).cluster) == _reached(inventory)

    with RealDaemon(config) as daemon:
        daemon.wait_warm()
        for acts, victim in enumerate((BROKERS[1], MEMBERS[0]), start=1):
            zookeeper_cluster.fault(victim, "KILL")
            daemon.wait_until(lambda s: bool(s["incidents"]), "an incident", HEAL_LIMIT_S)
            daemon.wait_healed(acts)
        status = daemon.json("status")
        assert daemon.stop() == 0

    zookeeper_cluster.wait_whole(timeout_s=UP_LIMIT_S)
    assert status["acts_done"] == 2, json.dumps(status)
