"""Each mistake in a file is one problem that says where it stands and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.config.config_files import SERVICE, VALID, changed, read, refuse

from kafka_self_healing.config import load
from kafka_self_healing.config.loading import MAX_BYTES
from kafka_self_healing.errors import ConfigError

NODE = VALID["cluster"]["nodes"][0]
ONE_EMAIL = {"host": "localhost", "from": "a@b", "to": ["c@d"]}

MISTAKES: list[tuple[dict[str, Any], str, str]] = [
    ({"stat_dir": "x"}, "stat_dir", "did you mean `state_dir`?"),
    ({"cluster.nodes.0.kafka_prt": 1}, "cluster.nodes[0].kafka_prt", "did you mean `kafka_port`?"),
    ({"zzz": 1}, "zzz", "unknown key; remove it, or use one of: mode, state_dir"),
    ({"policy.zzz": 1}, "policy.zzz", "docs/configuration.md"),
    ({"policy.mode": "auto"}, "policy.mode", "say it as `mode`"),
    ({"policy.node_budget": 1}, "policy.node_budget", "say it as `budgets.node`"),
    ({"mode": "aut"}, "mode", "known: observe, approve, auto; did you mean `auto`?"),
    ({"seed": -1}, "seed", "must be from 0 to"),
    ({"seed": True}, "seed", "must be a whole number"),
    ({"state_dir": "~/state"}, "state_dir", "`~` is not expanded"),
    ({"cluster": "orders"}, "cluster", "must be a mapping with the keys name,"),
    ({"cluster": ["orders"]}, "cluster", "not a list"),
    ({"cluster": None}, "cluster", "is required; add it"),
    ({"cluster.name": None}, "cluster.name", "add it, for example `name: orders`"),
    ({"cluster.name": "a b"}, "cluster.name", "must be letters, digits"),
    ({"cluster.name": ["a"]}, "cluster.name", "must be a text, not a list"),
    ({"cluster.name": ""}, "cluster.name", "must not be empty"),
    (
        {"cluster.mode": "zookeeper"},
        "cluster.nodes[0].roles[1]",
        "a cluster in mode zookeeper has no controllers of its own",
    ),
    ({"cluster.mode": "raft"}, "cluster.mode", "`raft` is no cluster mode; known: kraft"),
    ({"cluster.session_timeout_s": "9s"}, "cluster.session_timeout_s", "a number of seconds"),
    ({"cluster.session_timeout_s": 0}, "cluster.session_timeout_s", "must be more than 0"),
    ({"cluster.nodes": []}, "cluster.nodes", "must not be empty; list at least one"),
    ({"cluster.nodes": {"a": 1}}, "cluster.nodes", "must be a list"),
    ({"cluster.nodes.1": "kafka-2"}, "cluster.nodes[1]", "must be a mapping"),
    ({"cluster.nodes.0.id": "a"}, "cluster.nodes[0].id", "must be a whole number"),
    ({"cluster.nodes.1.id": 1}, "cluster.nodes[1].id", "node id 1 is already used in line"),
    ({"cluster.nodes.0.roles": []}, "cluster.nodes[0].roles", "must not be empty"),
    ({"cluster.nodes.0.roles": None}, "cluster.nodes[0].roles", "is required"),
    ({"cluster.nodes.0.roles": ["brokr", "controller"]}, "cluster.nodes[0].roles[0]", "`broker`?"),
    ({"cluster.nodes.0.roles": ["zookeeper"]}, "cluster.nodes[0].roles[0]", "no ZooKeeper;"),
    ({"cluster.nodes.0.host": "h:9092"}, "cluster.nodes[0].host", "without a port"),
    ({"cluster.nodes.0.host": "a b"}, "cluster.nodes[0].host", "must be a host name"),
    ({"cluster.nodes.0.kafka_port": 70000}, "cluster.nodes[0].kafka_port", "not `70000`"),
    ({"cluster.nodes.0.kafka_port": 0}, "cluster.nodes[0].kafka_port", "from 1 to 65535"),
    ({"cluster.nodes.0.kafka_port": "9092"}, "cluster.nodes[0].kafka_port", "without quotes"),
    ({"cluster.nodes.0.kafka_port": 1.5}, "cluster.nodes[0].kafka_port", "whole number"),
    ({"cluster.nodes.0.kafka_port": None}, "cluster.nodes[0].kafka_port", "required of a broker"),
    (
        {"cluster.nodes.0.controller_port": None},
        "cluster.nodes[0].controller_port",
        "required of a controller; add it (Kafka's usual one is 9093)",
    ),
    (
        {"cluster.nodes.0.roles": ["controller"]},
        "cluster.nodes[0].kafka_port",
        "is given, but the node is no broker",
    ),
    (
        {"cluster.nodes.1.jmx_port": NODE["kafka_port"]},
        "cluster.nodes[1].jmx_port",
        "127.0.0.1:9001 is already used in line",
    ),
    (
        {"cluster.nodes.1.host": "LOCALHOST", "cluster.nodes.1.kafka_port": NODE["kafka_port"]},
        "cluster.nodes[1].kafka_port",
        "LOCALHOST:9001 is already used in line",
    ),
    (
        {"cluster.nodes": [{"id": 1, "roles": ["broker"], "host": "h", "kafka_port": 9092}]},
        "cluster.nodes",
        "no node has the role controller",
    ),
    ({"cluster.nodes.0.data_dirs": ["data"]}, "cluster.nodes[0].data_dirs[0]", "absolute path"),
    (
        {"cluster.service.manager": "systemctl"},
        "cluster.service.manager",
        "known: command, systemd, docker; did you mean `systemd`?",
    ),
    ({"cluster.service.start": "ctl start"}, "cluster.service.start", "[program, argument, …]"),
    ({"cluster.service.kill": []}, "cluster.service.kill", "must not be empty"),
    ({"cluster.service.stop": None}, "cluster.service.stop", "is required; add it, for example"),
    ({"cluster.service.stop": ["x", "{node}"]}, "cluster.service.stop[1]", "no placeholder"),
    (
        {"cluster.nodes.0.service": {**SERVICE, "start": ["x", "{hots}"]}},
        "cluster.nodes[0].service.start[1]",
        "did you mean {host}?",
    ),
    (
        {"cluster.service.stop_timeout_s": 200},
        "cluster.service.stop_timeout_s",
        "cut off after 180 s",
    ),
    (
        {"cluster.nodes.2.service": {**SERVICE, "stop_timeout_s": 200}},
        "cluster.nodes[2].service.stop_timeout_s",
        "raise limit_s of the rung or lower this",
    ),
    ({"checks.kinds": []}, "checks.kinds", "must not be empty"),
    ({"checks.kinds": ["PROTOCL"]}, "checks.kinds[0]", "did you mean `PROTOCOL`?"),
    ({"checks.kinds": ["LISTENER", "LOG"]}, "checks.kinds[1]", "no node has a log"),
    ({"checks.kinds": ["CANARY"]}, "checks.kinds[0]", "checks.canary is not written"),
    ({"checks.kinds": ["CUSTOM"]}, "checks.kinds[0]", "asks anything of any node"),
    ({"checks.kinds": ["CERTIFICATE"]}, "checks.kinds[0]", "no node has tls"),
    (
        {"checks.kinds": ["SERVICE"], "cluster.service": None},
        "checks.kinds[0]",
        "SERVICE is not possible: neither the cluster nor a node has a service",
    ),
    ({"policy.interval_s": 0}, "policy.interval_s", "must be more than 0 and at most 2592000"),
    ({"policy.gone_looks": 1.5}, "policy.gone_looks", "whole number"),
    ({"policy.storm_fraction": 1.1}, "policy.storm_fraction", "at most 1"),
    ({"policy.hung_stop": "kill"}, "policy.hung_stop", "kill-when-dropped, graceful"),
    ({"ladders.QUORUM_LOST": []}, "ladders.QUORUM_LOST", "never answered with an act"),
    ({"role_ladders.broker.QUORUM_LOST": []}, "role_ladders.broker.QUORUM_LOST", "never answered"),
    (
        {"role_ladders.combined.SESSION_LOST": [{"action": "service:start"}]},
        "role_ladders.combined.SESSION_LOST[0].action",
        "still runs does nothing",
    ),
    (
        {"role_ladders.broker.PROCESS_GONE": [{"action": "service:start", "attempts": 8}]},
        "role_ladders.broker.PROCESS_GONE",
        "may need 8 acts",
    ),
    ({"budgets.node.window_s": 90000}, "budgets.node.window_s", "remembered for 86400 s"),
    ({"policy.anti_flap_s": 90000}, "policy.anti_flap_s", "remembered for 86400 s"),
    ({"ladders.PROCESS_GON": []}, "ladders.PROCESS_GON", "did you mean `PROCESS_GONE`?"),
    ({"ladders.PROCESS_GONE": []}, "ladders.PROCESS_GONE", "must not be empty"),
    (
        {"ladders.PROCESS_GONE": [{"action": "service:strt"}]},
        "ladders.PROCESS_GONE[0].action",
        "no action; known: service:start, service:restart; did you mean `service:start`?",
    ),
    (
        {"ladders.TERMINATED": [{"action": "service:restart"}]},
        "ladders.TERMINATED[0].action",
        "started, not restarted",
    ),
    (
        {"ladders.PROCESS_GONE": [{"action": "service:restart"}]},
        "ladders.PROCESS_GONE[0].action",
        "use service:start",
    ),
    (
        {"ladders.PROCESS_HUNG": [{"action": "service:start"}]},
        "ladders.PROCESS_HUNG[0].action",
        "use service:restart",
    ),
    (
        {"ladders.PROCESS_HUNG": [{"action": "service:restart", "cap_s": 5}]},
        "ladders.PROCESS_HUNG[0].cap_s",
        "cap_s (5) is less than base_s (10)",
    ),
    (
        {"ladders.PROCESS_HUNG": [{"action": "service:restart", "base_s": 500}]},
        "ladders.PROCESS_HUNG[0].base_s",
        "raise it or lower base_s",
    ),
    ({"budgets.node.acts": 0}, "budgets.node.acts", "must be from 1 to 1000"),
    ({"budgets.fleet.window_s": -5}, "budgets.fleet.window_s", "must be more than 0"),
    ({"budgets.cluster_restart": 5}, "budgets.cluster_restart", "with the keys acts, window_s"),
    (
        {"ladders.PROCESS_GONE": [{"action": "service:start", "attempts": 7}]},
        "ladders.PROCESS_GONE",
        "may need 7 acts on one node, but budgets.node permits 6",
    ),
    (
        {
            "ladders.PROCESS_HUNG": [{"action": "service:restart", "attempts": 3}],
            "budgets.cluster_restart.acts": 2,
        },
        "budgets.cluster_restart.acts",
        "raise the budget or lower the attempts",
    ),
    (
        {"ladders.TERMINATED": [{"action": "service:start"}], "budgets.cluster_start.acts": 1},
        "budgets.cluster_start.acts",
        "the ladder of PROCESS_GONE may need 2 acts on one node, but budgets.cluster_start",
    ),
    ({"replicas.exempt_topics": [""]}, "replicas.exempt_topics[0]", "must name one topic"),
    ({"replicas.exempt_topics": ["a", "*"]}, "replicas.exempt_topics[1]", "would lift the guard"),
    ({"replicas.exempt_topics": ["a.*"]}, "replicas.exempt_topics[0]", "must name one topic"),
    ({"replicas.exempt_topics": ["a b"]}, "replicas.exempt_topics[0]", "must be a topic's name"),
    ({"replicas.exempt_topics": "a"}, "replicas.exempt_topics", "must be a list"),
    ({"notifications.email": {}}, "notifications.email.from", "example `from: kafka@example.org`"),
    ({"notifications.email": {**ONE_EMAIL, "to": ["ops"]}}, "notifications.email.to[0]", "mail"),
    (
        {"notifications.email": {**ONE_EMAIL, "username": "u"}},
        "notifications.email.password",
        "add password, or remove the other",
    ),
    (
        {"notifications.email": {**ONE_EMAIL, "password": "hunter2"}},
        "notifications.email.username",
        "username and password belong together",
    ),
    (
        {
            "notifications.email": {
                **ONE_EMAIL,
                "host": "mail",
                "username": "u",
                "password": "hunter2",
            }
        },
        "notifications.email.starttls",
        "the password would cross the network to mail in clear",
    ),
    ({"notifications.email": {**ONE_EMAIL, "starttls": "yes"}}, "notifications.email.starttls",
     "must be true or false"),
    ({"logging.level": "loud"}, "logging.level", "debug, info, warning, error"),
    ({"logging.max_bytes": 1}, "logging.max_bytes", "must be from 65536"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "path", "message"), MISTAKES)
def test_each_mistake_is_told_where_it_is_made(
    changes: dict[str, Any], path: str, message: str, tmp_path: Path
) -> None:
    """A mistake is told at its path, at a line of the file, in our own words."""
    text = changed(changes)

    problems = refuse(tmp_path, text)

    told = {problem.path: problem for problem in problems}
    assert path in told, problems
    assert message in told[path].message
    assert 1 <= told[path].line <= text.count("\n") + 1
    everything = "\n".join(map(str, problems))
    assert "pydantic" not in everything.lower()
    assert "pydantic.dev" not in everything
    assert "Input should" not in everything


def test_a_single_mistake_is_a_single_problem(tmp_path: Path) -> None:
    """One wrong port is told once, at the very value."""
    text = changed({"cluster.nodes.1.kafka_port": 70000})
    line = next(i for i, row in enumerate(text.split("\n"), 1) if "70000" in row)

    (problem,) = refuse(tmp_path, text)

    assert (problem.line, problem.column) == (line, text.split("\n")[line - 1].index("70000") + 1)


def test_all_problems_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    """Mistakes of the schema, of the rules and of the environment come together, in file order."""
    text = changed(
        {
            "cluster.nodes.0.kafka_port": 70000,
            "cluster.nodes.2.id": 2,
            "budgets.fleet.acts": 1,
            "cluster.nodes.0.rack": "${NOWHERE}",
            "typo": 1,
        }
    )

    problems = refuse(tmp_path, text)

    assert [problem.path for problem in problems] == [
        "cluster.nodes[0].kafka_port",
        "cluster.nodes[0].rack",
        "cluster.nodes[2].id",
        "budgets.fleet.acts",
        "typo",
    ]
    assert [p.line for p in problems] == sorted(p.line for p in problems)


def test_no_message_shows_a_secret(tmp_path: Path) -> None:
    """Neither a password nor the value of a variable is ever repeated in a message."""
    email = {**ONE_EMAIL, "password": ["hunter2"], "username": "${PASSWORD}", "port": "${PASSWORD}"}

    problems = refuse(
        tmp_path, changed({"notifications.email": email, "cluster.name": "${PASSWORD} x"})
    )

    everything = "\n".join(map(str, problems))
    assert len(problems) == 3
    assert "hunter2" not in everything
    assert "0123true" not in everything


def test_an_unreadable_file_is_told_with_its_reason(tmp_path: Path) -> None:
    """A missing file and a folder are problems of the file, not tracebacks."""
    folder = tmp_path / "folder.yaml"
    folder.mkdir()

    for path, reason in ((tmp_path / "none.yaml", "no such file"), (folder, "is a directory")):
        with pytest.raises(ConfigError, match=reason) as caught:
            load(path, {})
        assert str(caught.value).startswith(f"{path}:1:1: cannot be read")


def test_an_unknown_format_is_told_with_the_known_ones(tmp_path: Path) -> None:
    """The suffix chooses the format; one that nobody reads is refused."""
    with pytest.raises(ConfigError, match=r"end it in one of: \.yaml, \.yml"):
        load(tmp_path / "config.toml", {})


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    """A file above the limit is refused before it is parsed."""
    path = tmp_path / "config.yaml"
    path.write_bytes(b"#" * (MAX_BYTES + 1))

    with pytest.raises(ConfigError, match="larger than 1048576 bytes"):
        load(path, {})


def test_a_file_that_is_not_utf8_is_told_at_the_byte(tmp_path: Path) -> None:
    """The position of the first byte that is not UTF-8 is told; a byte order mark is no harm."""
    path = tmp_path / "config.yaml"
    path.write_bytes("cluster:\n  name: ä".encode() + b"\xff\n")

    with pytest.raises(ConfigError, match="not UTF-8") as caught:
        load(path, {})

    assert (caught.value.problems[0].line, caught.value.problems[0].column) == (2, 10)


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    """Files of some editors begin with a byte order mark."""
    assert read(tmp_path, "\ufeff" + changed({})).cluster.name == "orders"
