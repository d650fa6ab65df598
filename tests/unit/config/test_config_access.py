"""How nodes are reached: what the file says becomes the words of the model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from tests.unit.config.config_files import changed, read
from tests.unit.config.tls_store import KEY_PASSWORD, Store

from kafka_self_healing.config.conversion import BESIDE, WORDS
from kafka_self_healing.model import access
from kafka_self_healing.model.access import (
    CanaryConfig,
    CommandProbe,
    DockerService,
    HttpProbe,
    JmxAccess,
    ListenerAccess,
    LogSource,
    SaslConfig,
    SaslMechanism,
    SshAccess,
    SystemdService,
    TlsConfig,
    TokenEndpoint,
    ZooKeeperAccess,
)
from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.model.node import ClusterMode, NodeConfig, Role
from kafka_self_healing.secret import Secret

SECURITY = "cluster.security"
SCRAM = {"mechanism": "SCRAM-SHA-512", "username": "healer", "password": "hunter2"}
LOGIN = SaslConfig(SaslMechanism.SCRAM_SHA_512, "healer", Secret("hunter2"))


def _node(folder: Path, changes: dict[str, Any], id_: str = "1") -> NodeConfig:
    return read(folder, changed(changes)).cluster.nodes[id_]


def test_true_means_the_certificates_of_the_system(tmp_path: Path) -> None:
    """`tls: true` is TLS with every default, `false` is none."""
    node = _node(
        tmp_path, {f"{SECURITY}.kafka": {"tls": True}, f"{SECURITY}.controller": {"tls": False}}
    )

    assert node.kafka == ListenerAccess(tls=TlsConfig())
    assert node.controller == ListenerAccess()


def test_tls_with_all_its_keys(tmp_path: Path) -> None:
    """Paths count from the folder of the file; the name of the server may be each node's own."""
    Store.make(tmp_path)
    tls = {
        "ca_file": "ca.pem",
        "cert_file": str(tmp_path / "cert.pem"),
        "key_file": "locked.pem",
        "key_password": KEY_PASSWORD,
        "server_name": "kafka-{id}.example.org",
        "verify": True,
        "strict": False,
    }

    node = _node(tmp_path, {f"{SECURITY}.kafka": {"tls": tls, "sasl": SCRAM}}, "2")

    assert node.kafka == ListenerAccess(
        TlsConfig(
            ca_file=str(tmp_path / "ca.pem"),
            cert_file=str(tmp_path / "cert.pem"),
            key_file=str(tmp_path / "locked.pem"),
            key_password=Secret(KEY_PASSWORD),
            server_name="kafka-2.example.org",
            strict=False,
        ),
        LOGIN,
    )
    assert Kind.CERTIFICATE in node.kinds


def test_a_certificate_file_may_hold_the_key(tmp_path: Path) -> None:
    """One PEM file with key and certificates needs no key_file."""
    Store.make(tmp_path)

    node = _node(tmp_path, {f"{SECURITY}.kafka": {"tls": {"cert_file": "both.pem"}}})

    assert node.kafka.tls == TlsConfig(cert_file=str(tmp_path / "both.pem"))


def test_a_token_comes_from_an_endpoint(tmp_path: Path) -> None:
    """OAUTHBEARER with the client's own credentials."""
    endpoint = {"url": "https://login/token", "client_id": "c", "client_secret": "s3cret",
                "scope": "kafka", "tls": True}  # fmt: skip
    sasl = {"mechanism": "OAUTHBEARER", "token_endpoint": endpoint}

    node = _node(tmp_path, {f"{SECURITY}.kafka": {"tls": True, "sasl": sasl}})

    token = TokenEndpoint("https://login/token", "c", Secret("s3cret"), "kafka", TlsConfig())
    assert node.kafka.sasl == SaslConfig(SaslMechanism.OAUTHBEARER, token_endpoint=token)


def test_a_section_of_a_node_replaces_the_cluster_s_of_the_same_name(tmp_path: Path) -> None:
    """One node may be reached in another way; what it does not say it takes over."""
    settings = read(
        tmp_path,
        changed(
            {
                f"{SECURITY}.kafka": {"tls": True, "sasl": SCRAM},
                f"{SECURITY}.jmx": {"username": "monitor", "password": "hunter2"},
                "cluster.nodes.1.security": {"kafka": {"tls": True}, "jmx": None},
            }
        ),
    )

    first, second = settings.cluster.nodes["1"], settings.cluster.nodes["2"]
    assert (first.kafka.sasl, second.kafka) == (LOGIN, ListenerAccess(tls=TlsConfig()))
    assert (first.jmx, second.jmx) == (JmxAccess("monitor", Secret("hunter2")), JmxAccess())


def test_ports_and_directories_of_the_cluster_are_those_of_every_node(tmp_path: Path) -> None:
    """A thousand nodes are short to write; a node's own word counts, and null takes away."""
    nodes: list[dict[str, Any]] = [
        {"id": n, "roles": ["broker"], "host": f"kafka-{n}"} for n in (1, 2)
    ]
    nodes[0] |= {"kafka_port": 9192, "jmx_port": None, "data_dirs": ["/own"]}
    nodes.append({"id": 11, "roles": ["controller"], "host": "kafka-1"})
    settings = read(
        tmp_path,
        changed(
            {
                "cluster.nodes": nodes,
                "cluster.kafka_port": 9092,
                "cluster.controller_port": 9093,
                "cluster.jmx_port": 9999,
                "cluster.data_dirs": ["/data/{id}"],
            }
        ),
    )

    one, two, controller = settings.cluster.nodes.values()
    assert (one.kafka_port, one.controller_port, one.jmx_port) == (9192, None, None)
    assert (two.kafka_port, two.controller_port, two.jmx_port) == (9092, None, 9999)
    assert (controller.kafka_port, controller.controller_port) == (None, 9093)
    assert [node.data_dirs for node in (one, two, controller)] == [
        ("/own",), ("/data/2",), ("/data/11",)]  # fmt: skip
    assert Kind.JVM not in one.kinds


def test_zookeeper_mode(tmp_path: Path) -> None:
    """Brokers and members, the session of ZooKeeper's default, and who is asked for what."""
    tls = {"tls": True, "admin_port": 8080, "username": "healer", "password": "hunter2"}
    broker = {"id": 1, "roles": ["broker"], "host": "h", "kafka_port": 9092}
    member = {"id": "zk-1", "roles": ["zookeeper"], "host": "h", "zookeeper_port": 2181,
              "security": {"zookeeper": tls}}  # fmt: skip
    cluster = read(
        tmp_path, changed({"cluster.mode": "zookeeper", "cluster.nodes": [broker, member]})
    ).cluster

    assert (cluster.mode, cluster.session_timeout_s, cluster.tick_s) == (
        ClusterMode.ZOOKEEPER, 18.0, 2.0)  # fmt: skip
    assert (cluster.brokers, cluster.members, cluster.voters) == (("1",), ("zk-1",), ())
    assert cluster.nodes["zk-1"].zookeeper == ZooKeeperAccess(
        tls=TlsConfig(), admin_port=8080, username="healer", password=Secret("hunter2")
    )
    own = {Kind.LISTENER, Kind.PROTOCOL, Kind.SERVICE}
    assert cluster.nodes["1"].kinds == own | {Kind.PEERS}
    assert cluster.nodes["zk-1"].kinds == own | {Kind.QUORUM, Kind.CERTIFICATE}


def test_the_session_of_zookeeper_mode_can_be_said(tmp_path: Path) -> None:
    """What is written counts in either mode."""
    broker = {"id": 1, "roles": ["broker"], "host": "h", "kafka_port": 9092}
    changes = {"cluster.mode": "zookeeper", "cluster.nodes": [broker]}
    said = {"cluster.session_timeout_s": 6, "cluster.tick_s": 1.5}

    cluster = read(tmp_path, changed(changes | said)).cluster

    assert (cluster.session_timeout_s, cluster.tick_s) == (6.0, 1.5)
    assert read(tmp_path, changed({})).cluster.session_timeout_s == 9.0


def test_ssh_and_local(tmp_path: Path) -> None:
    """A host is asked over ssh, or is this machine; a node's own word replaces the cluster's."""
    Store.make(tmp_path)
    ssh = {"destination": "ops-{id}", "user": "kafka", "port": 2222, "identity_file": "key.pem",
           "jump": "bastion", "sudo": True, "connect_timeout_s": 2}  # fmt: skip
    settings = read(
        tmp_path,
        changed({
            "cluster.access": {"ssh": ssh},
            "cluster.nodes.1.access": "local",
            "cluster.nodes.2.access": {"ssh": None},
        }),
    )  # fmt: skip

    nodes = settings.cluster.nodes
    assert nodes["1"].access == SshAccess(
        "ops-1", "kafka", 2222, str(tmp_path / "key.pem"), jump="bastion", sudo=True,
        connect_timeout_s=2.0,
    )  # fmt: skip
    assert (nodes["2"].access, nodes["3"].access) == (None, SshAccess())
    assert settings.here == {"2"}


def test_the_three_service_managers(tmp_path: Path) -> None:
    """systemd and docker have their own keys, with the node's placeholders."""
    systemd = {"manager": "systemd", "unit": "kafka@{id}", "sudo": True}
    docker = {"manager": "docker", "container": "kafka-{id}", "program": "podman",
              "endpoint": "ssh://{host}", "stop_timeout_s": 40}  # fmt: skip
    nodes = read(
        tmp_path,
        changed({"cluster.service": systemd, "cluster.nodes.2.service": docker}),
    ).cluster.nodes

    assert nodes["2"].service == SystemdService("kafka@2", sudo=True)
    assert nodes["3"].service == DockerService("kafka-3", "podman", "ssh://127.0.0.1", 40.0)


def test_logs_come_from_a_file_or_from_the_manager(tmp_path: Path) -> None:
    """Both give LOG evidence; `null` at a node takes it away."""
    nodes = read(
        tmp_path,
        changed(
            {
                "cluster.log": {"file": "/var/log/kafka/{id}.log", "lines": 20},
                "cluster.nodes.1.service": {"manager": "systemd", "unit": "kafka"},
                "cluster.nodes.1.log": {},
            }
        ),
    ).cluster.nodes

    assert nodes["1"].log == LogSource("/var/log/kafka/1.log", 20)
    assert nodes["2"].log == LogSource()
    assert Kind.LOG in nodes["2"].kinds


def test_extra_checks_reach_the_nodes_that_they_are_about(tmp_path: Path) -> None:
    """By ids, by roles, or all; each node gets its own address."""
    http = [
        {"name": "rest", "url": "https://{host}:8082/", "nodes": [1], "status": 204,
         "pointer": "/brokers/0", "equals": 1, "username": "u", "password": "hunter2",
         "headers": {"Accept": "application/json"}, "secret_headers": {"X-Api-Key": "k3y"},
         "tls": True, "stands_for": "PROTOCOL"},
        {"name": "exporter", "url": "http://{host}/", "metric": "up", "at_least": 1},
    ]  # fmt: skip
    commands = [{"name": "load", "argv": ["check", "{id}"], "roles": ["controller"],
                 "on_host": True, "interval_s": 30}]  # fmt: skip
    canary = {"topic": "canary", "create": True, "retention_s": 600}
    changes = {"checks.http": http, "checks.commands": commands, "checks.canary": canary,
               "cluster.nodes.0.host": "::1"}  # fmt: skip

    cluster = read(tmp_path, changed(changes)).cluster

    one, two = cluster.nodes["1"], cluster.nodes["2"]
    assert one.http == (
        HttpProbe(
            "rest", "https://[::1]:8082/", (204,), pointer="/brokers/0", equals=1.0,
            username="u", password=Secret("hunter2"), headers={"Accept": "application/json"},
            secret_headers={"X-Api-Key": Secret("k3y")}, tls=TlsConfig(), stands_for=Kind.PROTOCOL,
        ),
        HttpProbe("exporter", "http://[::1]/", metric="up", at_least=1.0),
    )  # fmt: skip
    assert [probe.name for probe in two.http] == ["exporter"]
    assert two.commands == (CommandProbe("load", ("check", "2"), on_host=True, interval_s=30.0),)
    assert cluster.canary == CanaryConfig("canary", create=True, retention_s=600.0)
    assert {Kind.CUSTOM, Kind.CANARY} <= one.kinds


@pytest.mark.parametrize(("text", "value"), [("1", 1.0), ("1.5", 1.5), ("true", True),
                                             ("'1'", "1"), ("RUNNING", "RUNNING")])  # fmt: skip
def test_an_expected_value_is_what_it_looks_like(text: str, value: object, tmp_path: Path) -> None:
    """Numbers and truth values without quotes are such; all else is a text."""
    probe = {"name": "n", "url": "http://h/", "pointer": "/a", "equals": "VALUE"}
    written = changed({"checks.http": [probe]}).replace("VALUE", text)

    (found,) = read(tmp_path, written).cluster.nodes["1"].http

    assert (found.equals, type(found.equals)) == (value, type(value))


def test_a_host_that_is_asked_gives_host_evidence(tmp_path: Path) -> None:
    """Also without data directories: its boot, its clock."""
    node = _node(tmp_path, {"cluster.nodes.0.data_dirs": None, "cluster.access": "local"})

    assert Kind.HOST in node.kinds


SAID_OF = [
    ({f"{SECURITY}.jmx": {"username": "u", "password": "hunter2"}}, "The JMX password crosses"),
    (
        {f"{SECURITY}.kafka": {"sasl": {**SCRAM, "mechanism": "PLAIN",
                                        "allow_plaintext_password": True}}},
        "A Kafka password or token crosses the network in clear",
    ),
    ({f"{SECURITY}.kafka": {"tls": {"verify": False}}}, "Certificates are not verified"),
    ({f"{SECURITY}.kafka": {"tls": True}}, "The controller listener is spoken to without TLS"),
    (
        {"checks.http": [{"name": "n", "url": "http://{host}/", "bearer": "hunter2"}]},
        "The credentials of a check in checks.http cross",
    ),
    (
        {"checks.http": [{"name": "n", "url": "http://h/"}], "checks.kinds": ["PROTOCOL"]},
        "checks.http and checks.commands has no effect: checks.kinds does not list CUSTOM",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "sentence"), SAID_OF)
def test_what_is_weaker_than_it_looks_is_noted(
    changes: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    """It is allowed and told, with the nodes; what stays on this machine is not."""
    far = {f"cluster.nodes.{n}.host": f"kafka-{n}" for n in range(3)}

    told = read(tmp_path, changed(changes | far)).notes

    assert any(note.startswith(sentence) for note in told), told
    if "cross" in sentence:
        assert read(tmp_path, changed(changes)).notes == ()


def test_zookeeper_mode_without_members_is_noted(tmp_path: Path) -> None:
    """The brokers alone can be watched; what is not seen then is said."""
    broker = {"id": 1, "roles": ["broker"], "host": "h", "kafka_port": 9092}

    (note,) = read(
        tmp_path, changed({"cluster.mode": "zookeeper", "cluster.nodes": [broker]})
    ).notes

    assert note.startswith("No node has the role zookeeper: the ensemble's quorum is not seen")


def test_every_word_of_the_model_can_be_said_in_the_file() -> None:
    """A new field of `model.access` is a key of its section, under the same name."""
    words = {
        word for word in vars(access).values()
        if dataclasses.is_dataclass(word) and word.__module__ == access.__name__
    }  # fmt: skip
    assert words == set(WORDS.values())
    for section, word in WORDS.items():
        fields = {field.name for field in dataclasses.fields(word)}
        assert set(section.model_fields) - BESIDE.get(section, set()) == fields, section


def test_roles_are_those_of_the_model(tmp_path: Path) -> None:
    """A pure controller is neither broker nor member."""
    node = _node(
        tmp_path, {"cluster.nodes.0.roles": ["controller"], "cluster.nodes.0.kafka_port": None}
    )

    assert node.roles == {Role.CONTROLLER}
