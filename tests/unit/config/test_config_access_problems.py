"""Each contradiction in how nodes are reached is told where it stands, with the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.config.config_files import SERVICE, changed, refuse
from tests.unit.config.tls_store import KEY_PASSWORD, Store

Mistake = tuple[dict[str, Any], str, str]

SECURITY = "cluster.security"
NODE = "cluster.nodes.0"
FAR = {f"cluster.nodes.{n}.host": f"kafka-{n}" for n in range(3)}
SCRAM = {"mechanism": "SCRAM-SHA-512", "username": "healer", "password": "hunter2"}
PLAIN = {**SCRAM, "mechanism": "PLAIN"}
TOKEN = {"mechanism": "OAUTHBEARER", "token": "hunter2"}
ENDPOINT = {"url": "https://login/token", "client_id": "c", "client_secret": "hunter2"}
SYSTEMD = {"manager": "systemd", "unit": "kafka@{id}"}
DOCKER = {"manager": "docker", "container": "kafka-{id}"}


def _kafka(**keys: Any) -> dict[str, Any]:
    return {f"{SECURITY}.kafka": keys}


def _tls(**keys: Any) -> dict[str, Any]:
    return _kafka(tls=keys)


def _zookeeper(**more: Any) -> dict[str, Any]:
    """A ZooKeeper cluster of a broker and a member, with changes."""
    broker = {"id": 1, "roles": ["broker"], "host": "h", "kafka_port": 9092}
    member = {"id": "zk1", "roles": ["zookeeper"], "host": "h", "zookeeper_port": 2181}
    return {"cluster.mode": "zookeeper", "cluster.nodes": [broker, member], **more}


TLS: list[Mistake] = [
    (_kafka(tls=None), "cluster.security.kafka.tls", "is empty: write true"),
    (_kafka(tls="yes"), "cluster.security.kafka.tls", "must be true, false or a mapping"),
    (_kafka(tls=["x"]), "cluster.security.kafka.tls", "must be a mapping with the keys ca_file"),
    (_tls(ca_fil="x"), "cluster.security.kafka.tls.ca_fil", "did you mean `ca_file`?"),
    (_tls(ca_file="none.pem"), "cluster.security.kafka.tls.ca_file", "none.pem cannot be read: no"),
    (_tls(ca_file="."), "cluster.security.kafka.tls.ca_file", "is no ordinary file"),
    (_tls(ca_file="store.jks"), "cluster.security.kafka.tls.ca_file", "converted by `keytool"),
    (_tls(ca_file="key.pem"), "cluster.security.kafka.tls.ca_file", "holds no certificate"),
    (_tls(cert_file="cert.pem"), "cluster.security.kafka.tls.cert_file", "no key; add key_file"),
    (_tls(key_file="key.pem"), "cluster.security.kafka.tls.key_file", "belongs to a cert_file"),
    (_tls(key_password="hunter2"), "cluster.security.kafka.tls.key_password", "cert_file with a"),
    (
        _tls(cert_file="cert.pem", key_file="ca.pem"),
        "cluster.security.kafka.tls.key_file",
        "no private key in PEM form",
    ),
    (
        _tls(cert_file="store.jks", key_file="key.pem"),
        "cluster.security.kafka.tls.cert_file",
        "holds no certificate in PEM form",
    ),
    (
        _tls(cert_file="cert.pem", key_file="other-key.pem"),
        "cluster.security.kafka.tls.key_file",
        "not that of the certificate",
    ),
    (
        _tls(cert_file="cert.pem", key_file="locked.pem"),
        "cluster.security.kafka.tls.key_file",
        "is encrypted; add key_password",
    ),
    (
        _tls(cert_file="cert.pem", key_file="locked.pem", key_password="hunter2"),
        "cluster.security.kafka.tls.key_file",
        "is key_password right?",
    ),
    (_tls(cert_file="broken.pem"), "cluster.security.kafka.tls.cert_file", "cannot be used"),
    (_tls(server_name="{node}"), "cluster.security.kafka.tls.server_name", "is no placeholder"),
    ({f"{NODE}.security.kafka.tls": {"ca_file": "gone"}}, f"{NODE}.security.kafka.tls.ca_file",
     "gone cannot be read"),
    ({f"{NODE}.security.kafak": {}}, f"{NODE}.security.kafak", "did you mean `kafka`?"),
]  # fmt: skip

SASL: list[Mistake] = [
    (_kafka(sasl=None), "cluster.security.kafka.sasl", "is empty"),
    (_kafka(sasl={}), "cluster.security.kafka.sasl.mechanism", "for example `mechanism: SCRAM"),
    (_kafka(sasl={**SCRAM, "mechanism": "SCRAM"}), "cluster.security.kafka.sasl.mechanism",
     "known"),
    (_kafka(sasl={"mechanism": "PLAIN", "username": "u"}), "cluster.security.kafka.sasl.password",
     "is required by PLAIN"),
    (_kafka(sasl={**SCRAM, "token": "hunter2"}), "cluster.security.kafka.sasl.token",
     "not used by SCRAM-SHA-512"),
    (_kafka(sasl={**SCRAM, "service_name": "k"}), "cluster.security.kafka.sasl.service_name",
     "is used by GSSAPI"),
    (_kafka(sasl={**SCRAM, "mechanism": "GSSAPI"}), "cluster.security.kafka.sasl.username",
     "is not used by GSSAPI"),
    (_kafka(sasl={"mechanism": "OAUTHBEARER"}), "cluster.security.kafka.sasl.mechanism",
     "add one of: token, token_file, token_endpoint"),
    (_kafka(sasl={**TOKEN, "token_file": "token"}), "cluster.security.kafka.sasl.token_file",
     "token is there too; keep one"),
    (_kafka(sasl={"mechanism": "OAUTHBEARER", "token_file": "gone"}),
     "cluster.security.kafka.sasl.token_file", "gone cannot be read"),
    (_kafka(sasl={**TOKEN, "token_endpoint": {"url": "https://h"}}),
     "cluster.security.kafka.sasl.token_endpoint.client_id", "is required"),
    (_kafka(sasl={**TOKEN, "token": None, "token_endpoint": {**ENDPOINT, "url": "http://login/t"}}),
     "cluster.security.kafka.sasl.token_endpoint.url", "cross the network in clear; use https"),
    (_kafka(sasl={**TOKEN, "token_endpoint": {**ENDPOINT, "url": "http://localhost", "tls": True}}),
     "cluster.security.kafka.sasl.token_endpoint.tls", "the url is not https"),
    (_kafka(sasl={**TOKEN, "token_endpoint": {**ENDPOINT, "url": "https://u:hunter2@h"}}),
     "cluster.security.kafka.sasl.token_endpoint.url", "must not hold a login"),
    (_kafka(sasl={**TOKEN, "token_endpoint": {**ENDPOINT, "url": "login.example.org"}}),
     "cluster.security.kafka.sasl.token_endpoint.url", "begins with http:// or https://"),
    ({**FAR, **_kafka(sasl=PLAIN)}, "cluster.security.kafka.sasl.mechanism",
     "the password would cross the network to kafka-0 in clear"),
    ({**FAR, **_kafka(sasl=TOKEN)}, "cluster.security.kafka.sasl.mechanism",
     "the token would cross the network to kafka-0 in clear"),
    ({"cluster.nodes.1.host": "kafka-1", **_kafka(tls=True, sasl=PLAIN),
      "cluster.nodes.1.security": {"kafka": {"sasl": PLAIN}}},
     "cluster.nodes.1.security.kafka.sasl.mechanism", "allow_plaintext_password: true"),
]  # fmt: skip

OTHERS: list[Mistake] = [
    ({f"{SECURITY}.jmx": {"username": "u"}}, "cluster.security.jmx.password", "belong together"),
    ({f"{SECURITY}.jmx": {"registry_tls": False}}, "cluster.security.jmx.registry_tls",
     "only together with tls"),
    ({f"{SECURITY}.jmx": {}, **{f"cluster.nodes.{n}.jmx_port": None for n in range(3)}},
     "cluster.security.jmx", "no node has a jmx_port"),
    ({f"{SECURITY}.zookeeper": {}}, "cluster.security.zookeeper", "no node is a zookeeper"),
    ({f"{NODE}.roles": ["controller"], f"{NODE}.kafka_port": None,
      f"{NODE}.security": {"kafka": {}}}, f"{NODE}.security.kafka", "the node is no broker"),
    (_zookeeper(**{f"{SECURITY}.zookeeper": {"password": "hunter2"}}),
     "cluster.security.zookeeper.username", "belong together"),
    (_zookeeper(**{f"{SECURITY}.zookeeper": {"admin_tls": True}}),
     "cluster.security.zookeeper.admin_tls", "needs an admin_port"),
    (_zookeeper(**{f"{SECURITY}.zookeeper": {"admin_port": 9092}}),
     "cluster.nodes[1].security.zookeeper.admin_port", "h:9092 is already used"),
    ({f"{SECURITY}.jmx": {"rmi_port": 9001}}, "cluster.nodes[0].security.jmx.rmi_port", "already"),
    (_zookeeper(**{"cluster.nodes.1.zookeeper_port": None}), "cluster.nodes[1].zookeeper_port",
     "is required of a zookeeper; add it (ZooKeeper's usual one is 2181)"),
    (_zookeeper(**{"cluster.nodes.1.id": 1}), "cluster.nodes[1].id", "a name such as zk1"),
    (_zookeeper(**{"cluster.nodes.0.id": "broker1"}), "cluster.nodes[0].id", "whole number, Kafka"),
    (_zookeeper(**{"cluster.nodes.1.id": "healer"}), "cluster.nodes[1].id", "the healer itself"),
    (_zookeeper(**{"cluster.nodes.1.id": "orders"}), "cluster.nodes[1].id", "the cluster"),
    (_zookeeper(**{"cluster.nodes.1.id": "a b"}), "cluster.nodes[1].id", "must be a whole number"),
    (_zookeeper(**{"cluster.fetch_timeout_s": 2}), "cluster.fetch_timeout_s", "KRaft's controll"),
    ({"cluster.tick_s": 2}, "cluster.tick_s", "ZooKeeper's tickTime"),
    (_zookeeper(**{"cluster.nodes.1.roles": ["zookeeper", "broker"],
                   "cluster.nodes.1.kafka_port": 1}),
     "cluster.nodes[1].roles", "two processes; list them as two nodes"),
    ({"cluster.nodes.1.data_dirs": ["/data/1/"]}, "cluster.nodes[1].data_dirs[0]",
     "/data/1 is already the directory of another node on this host (line"),
    ({"cluster.data_dirs": ["/data"], **{f"cluster.nodes.{n}.data_dirs": None for n in range(3)}},
     "cluster.nodes[1].data_dirs[0]", "for example by {id}"),
    ({"cluster.kafka_port": 70000}, "cluster.kafka_port", "must be from 1 to 65535"),
]  # fmt: skip

HOSTS: list[Mistake] = [
    ({"cluster.access": "remote"}, "cluster.access", "local, or a mapping with the key ssh"),
    ({"cluster.access": {}}, "cluster.access", "is empty: write local"),
    ({"cluster.access": {"sh": {}}}, "cluster.access.sh", "did you mean `ssh`?"),
    ({"cluster.access": {"ssh": {"port": 0}}}, "cluster.access.ssh.port", "from 1 to 65535"),
    ({"cluster.access": {"ssh": {"user": "-oProxyCommand=x"}}}, "cluster.access.ssh.user",
     "does not begin with `-`"),
    ({"cluster.access": {"ssh": {"destination": "a b"}}}, "cluster.access.ssh.destination", "word"),
    ({"cluster.access": {"ssh": {"destination": "h-{nr}"}}}, "cluster.access.ssh.destination",
     "{nr} is no placeholder"),
    ({f"{NODE}.access": {"ssh": {"identity_file": "gone"}}},
     f"{NODE}.access.ssh.identity_file", "gone cannot be read: no such file"),
    ({"cluster.service": {"manager": "systemd"}}, "cluster.service.unit", "for example `unit: kaf"),
    ({"cluster.service": {**SYSTEMD, "unit": "kafka.timer"}}, "cluster.service.unit", "a service"),
    ({"cluster.service": {**SYSTEMD, "unit": "-kafka"}}, "cluster.service.unit", "systemd unit"),
    ({"cluster.service": {**SYSTEMD, "unit": "k@{nod}"}}, "cluster.service.unit", "{nod} is no"),
    ({"cluster.service": {**SYSTEMD, "container": "x"}}, "cluster.service.container",
     "use one of: manager, unit, sudo"),
    ({"cluster.service": {**SYSTEMD, "unit": "kafka"}}, "cluster.nodes[1].service",
     "starts and stops the same process as that of the node in line"),
    ({"cluster.service": {**DOCKER, "container": "k"}}, "cluster.nodes[2].service", "by {id}"),
    ({"cluster.service": {**SERVICE, "start": ["/ctl"]}}, "cluster.nodes[1].service", "by {id}"),
    ({"cluster.service": {**DOCKER, "container": "-k"}}, "cluster.service.container", "container"),
    ({"cluster.service": {**DOCKER, "stop_timeout_s": 200}}, "cluster.service.stop_timeout_s",
     "cut off after 180 s"),
    ({**FAR, "cluster.service": SYSTEMD}, "cluster.access", "write `access: local` if"),
    ({**FAR, "cluster.service": DOCKER}, "cluster.access", "else `access: {ssh: …}`"),
    ({"cluster.nodes.1.host": "kafka-1", "cluster.nodes.1.service": SYSTEMD},
     "cluster.nodes.1.access", "is required"),
    ({"cluster.service": "kafka"}, "cluster.service", "must be a mapping with the keys start,"),
    ({"cluster.log": {}}, "cluster.log", "file is required"),
    ({"cluster.log": {"file": "kafka.log"}}, "cluster.log.file", "absolute path"),
    ({"cluster.log": {"file": "/l/{x}"}}, "cluster.log.file", "{x} is no placeholder"),
]  # fmt: skip

URL = {"name": "rest", "url": "http://127.0.0.1/"}


def _http(**keys: Any) -> dict[str, Any]:
    return {"checks.http": [{**URL, **keys}]}


def _command(**keys: Any) -> dict[str, Any]:
    return {"checks.commands": [{"name": "load", "argv": ["/bin/true"], **keys}]}


CHECKS: list[Mistake] = [
    (_http(name="a b"), "checks.http[0].name", "must be letters"),
    (_http(url="ftp://h"), "checks.http[0].url", "begins with http:// or https://"),
    (_http(url="http://u:hunter2@h"), "checks.http[0].url", "use the keys for user and password"),
    (_http(url="http://h/{nr}"), "checks.http[0].url", "{nr} is no placeholder"),
    (_http(nodes=[4]), "checks.http[0].nodes[0]", "there is no node 4"),
    (_http(nodes=[1], roles=["broker"]), "checks.http[0].roles", "together with nodes"),
    (_http(roles=["zookeeper"]), "checks.http[0].roles[0]", "no node has the role zookeeper"),
    (_http(stands_for="PEERS"), "checks.http[0].stands_for", "what other nodes say"),
    (_http(stands_for="CUSTOM"), "checks.http[0].stands_for", "what the check is already"),
    (_http(status="ok"), "checks.http[0].status[0]", "must be a whole number"),
    (_http(status=[99]), "checks.http[0].status[0]", "from 100 to 599"),
    (_http(equals=1), "checks.http[0].equals", "add pointer (JSON) or metric"),
    (_http(pointer="/a"), "checks.http[0].pointer", "held against nothing"),
    (_http(pointer="a", equals=1), "checks.http[0].pointer", "JSON pointer"),
    (_http(pointer="/a", metric="m", equals=1), "checks.http[0].metric", "two checks"),
    (_http(pointer="/a", equals=1, at_most=2), "checks.http[0].equals", "keep one"),
    (_http(pointer="/a", equals=[1]), "checks.http[0].equals", "a text, a number, true or false"),
    (_http(metric="m", equals="x"), "checks.http[0].equals", "must be a number"),
    (_http(metric="m", at_least=2, at_most=1), "checks.http[0].at_least", "more than at_most (1)"),
    (_http(metric="m", at_least="x"), "checks.http[0].at_least", "must be a number"),
    (_http(password="hunter2"), "checks.http[0].username", "belong together"),
    (_http(username="u", password="hunter2", bearer="hunter2"), "checks.http[0].bearer",
     "keep one"),
    (_http(headers={"Authorization": "hunter2"}), "checks.http[0].headers", "secret_headers"),
    (_http(headers={"X-Api-Key": "hunter2"}), "checks.http[0].headers", "carries a credential"),
    (_http(headers={"a b": "x"}), "checks.http[0].headers", "no name of a header"),
    (_http(headers={"A": "x\ny"}), "checks.http[0].headers.A", "one line"),
    (_http(secret_headers={"X-Api-Key": ["hunter2"]}), "checks.http[0].secret_headers",
     "must be a text"),
    (_http(tls=True), "checks.http[0].tls", "the url is not https"),
    ({"checks.http": [URL, URL]}, "checks.http[1].name", "already used in line"),
    ({**_http(name="load"), **_command()}, "checks.commands[0].name", "already used in line"),
    (_command(argv=[]), "checks.commands[0].argv", "must not be empty"),
    (_command(argv="x"), "checks.commands[0].argv", "[program, argument, …]"),
    (_command(argv=["x", "{nr}"]), "checks.commands[0].argv[1]", "{nr} is no placeholder"),
    (_command(timeout_s=90), "checks.commands[0].timeout_s", "the next one is due after 60 s"),
    ({"checks.canary": {"topic": "a*"}}, "checks.canary.topic", "must name one topic"),
    ({"checks.canary": {"topic": "c", "interval_s": 90, "retention_s": 60}},
     "checks.canary.retention_s", "is less than interval_s (90)"),
    ({"checks.canary": {}}, "checks.canary.topic", "for example `topic: healer-canary`"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "path", "message"), [*TLS, *SASL, *OTHERS, *HOSTS, *CHECKS])
def test_each_contradiction_is_told_with_its_remedy(
    changes: dict[str, Any], path: str, message: str, tmp_path: Path
) -> None:
    """At its path, at a line of the file, in our own words, and no secret in them."""
    Store.make(tmp_path)
    text = changed(changes)

    problems = refuse(tmp_path, text)

    place = path.replace("cluster.nodes.0", "cluster.nodes[0]")
    place = place.replace("cluster.nodes.1", "cluster.nodes[1]")
    told = {problem.path: problem for problem in problems}
    assert place in told, problems
    assert message in told[place].message, problems
    assert all(1 <= problem.line <= text.count("\n") + 1 for problem in problems)
    everything = "\n".join(map(str, problems))
    for secret in ("hunter2", KEY_PASSWORD, "pydantic", "Input should"):
        assert secret not in everything


def test_a_mistake_that_all_nodes_take_over_is_told_once(tmp_path: Path) -> None:
    """A thousand nodes with the cluster's login are one line, not a thousand."""
    problems = refuse(tmp_path, changed({**FAR, **_kafka(sasl=PLAIN), "cluster.service": SYSTEMD}))

    assert [problem.path for problem in problems] == [
        "cluster.access",
        "cluster.security.kafka.sasl.mechanism",
    ]
