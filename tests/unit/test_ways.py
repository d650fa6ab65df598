"""How a node is reached is said in words, and no secret is among them."""

from __future__ import annotations

import dataclasses

import pytest

from kafka_self_healing.model.access import (
    CommandProbe,
    CommandService,
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
    ZooKeeperAccess,
)
from kafka_self_healing.model.node import NodeConfig, Role
from kafka_self_healing.model.ways import ways_to
from kafka_self_healing.secret import Secret

SECRET = Secret("correct-horse")
PLAIN = NodeConfig("1", frozenset({Role.BROKER}), host="kafka-1", kafka_port=9092)


def test_a_plain_node_says_that_it_is_plain() -> None:
    """What is not configured is left out; a host without access may be anybody's."""
    assert ways_to(PLAIN) == {
        "kafka": "kafka-1:9092, plain text",
        "host": "here, if kafka-1 is this machine",
    }


def test_a_node_with_everything_shows_all_but_the_secrets() -> None:
    """Addresses, TLS, mechanism and user, ssh, manager, log, extra checks."""
    tls = TlsConfig(cert_file="/c.pem", key_password=SECRET, server_name="kafka-1.example.org")
    login = SaslConfig(SaslMechanism.SCRAM_SHA_512, "healer", SECRET)
    node = dataclasses.replace(
        PLAIN,
        host="::1",
        controller_port=9093,
        jmx_port=9999,
        kafka=ListenerAccess(tls, login),
        controller=ListenerAccess(TlsConfig(verify=False)),
        jmx=JmxAccess("monitor", SECRET, TlsConfig(), registry_tls=False, rmi_port=9998),
        access=SshAccess("kafka-1", "ops", 2222, jump="bastion", sudo=True),
        service=SystemdService("kafka"),
        log=LogSource("/var/log/kafka.log"),
        http=(HttpProbe("rest", "https://h", username="u", password=SECRET),),
        commands=(CommandProbe("raid", ("check", "secret-argument")),),
    )

    ways = ways_to(node)

    assert ways == {
        "kafka": "[::1]:9092, mutual TLS (as kafka-1.example.org), SCRAM-SHA-512 as healer",
        "controller": "[::1]:9093, TLS, not verified",
        "jmx": "[::1]:9999, TLS, its registry in plain text, password of monitor, RMI port 9998",
        "host": "ssh ops@kafka-1 port 2222 through bastion, with sudo",
        "service": "systemd kafka",
        "log": "/var/log/kafka.log",
        "checks": "rest, raid",
    }


def test_a_member_of_an_ensemble() -> None:
    """Its client port and its AdminServer."""
    access = ZooKeeperAccess(TlsConfig(), 8080, TlsConfig(), "healer", SECRET)
    node = NodeConfig(
        "zk1", frozenset({Role.ENSEMBLE}), host="h", zookeeper_port=2181, zookeeper=access
    )

    assert ways_to(node)["zookeeper"] == (
        "h:2181, TLS, password of healer, AdminServer 8080 by TLS"
    )


@pytest.mark.parametrize(
    ("service", "words"),
    [
        (CommandService(("/bin/ctl", "start", "secret"), (), (), ()), "command /bin/ctl"),
        (SystemdService("kafka@1"), "systemd kafka@1"),
        (DockerService("kafka-1"), "docker kafka-1"),
        (DockerService("kafka-1", endpoint="ssh://h"), "docker kafka-1 at ssh://h"),
    ],
)
def test_each_manager_is_named(
    service: CommandService | SystemdService | DockerService, words: str
) -> None:
    """Of a command only the program: its arguments may be telling."""
    node = dataclasses.replace(PLAIN, service=service, log=LogSource())

    assert ways_to(node)["service"] == words
    assert ways_to(node)["log"] == "that of its service manager"
