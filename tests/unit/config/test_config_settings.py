"""A valid file becomes the words of the model, with the model's defaults."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from tests.unit.config.config_files import ENVIRON, SERVICE, changed, read, refuse

from kafka_self_healing.config import load, state_dir_of
from kafka_self_healing.config.schema import BUDGETS, ELSEWHERE, PolicyKnobs
from kafka_self_healing.errors import ConfigError
from kafka_self_healing.model.access import CommandService
from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.model.incident import Condition
from kafka_self_healing.model.node import NodeConfig, Role
from kafka_self_healing.model.policy import DEFAULT_LADDERS, Budget, HungStop, Mode, Policy, Rung
from kafka_self_healing.model.recovery import RetryPolicy

ALL_KINDS = frozenset(
    {
        Kind.LISTENER,
        Kind.PROTOCOL,
        Kind.PEERS,
        Kind.QUORUM,
        Kind.JVM,
        Kind.SERVICE,
        Kind.HOST,
    }
)


def test_an_inventory_alone_gets_every_default_of_the_model(tmp_path: Path) -> None:
    """Nothing but a cluster gives the policy as the model has it, in mode observe."""
    settings = read(tmp_path, changed({}))

    assert settings.policy == Policy()
    assert settings.mode is Mode.OBSERVE
    assert settings.state_dir == Path("/var/lib/khs")
    assert settings.audit_file == Path("/var/lib/khs/audit.jsonl")
    assert settings.source == tmp_path / "config.yaml"
    assert settings.notification.email is None
    assert settings.notes == ()


def test_a_node_is_built_with_its_service_and_kinds(tmp_path: Path) -> None:
    """The service's placeholders are filled in, and the kinds are what the settings allow."""
    kill = ["k", "{host}:{id}", "{{id}}x", "$${id}", "{ id }"]

    settings = read(tmp_path, changed({"cluster.service.kill": kill}))

    assert settings.cluster.nodes["2"] == NodeConfig(
        id="2",
        roles=frozenset({Role.BROKER, Role.CONTROLLER}),
        kafka_port=9002,
        controller_port=9102,
        jmx_port=9202,
        data_dirs=("/data/2",),
        service=CommandService(
            start=("/bin/ctl", "start", "2"),
            stop=("/bin/ctl", "stop", "2"),
            kill=("k", "127.0.0.1:2", "{{id}}x", "${id}", "{ id }"),
            status=("/bin/ctl", "status", "2"),
        ),
        kinds=ALL_KINDS,
    )


def test_kinds_follow_the_role_and_the_settings_of_a_node(tmp_path: Path) -> None:
    """No JMX port, no JVM; no role, no word about it; service null takes the default away."""
    bare = {"id": 4, "roles": ["broker"], "host": "h", "kafka_port": 1, "service": None}
    text = changed({}).replace("  nodes:\n", f"  nodes:\n  - {bare}\n").replace("None", "null")

    nodes = read(tmp_path, text).cluster.nodes

    assert nodes["4"].service is None
    assert nodes["4"].kinds == {Kind.LISTENER, Kind.PROTOCOL, Kind.PEERS}


def test_listed_kinds_limit_what_is_possible(tmp_path: Path) -> None:
    """A kind that is not listed is not looked at."""
    settings = read(tmp_path, changed({"checks.kinds": ["PROTOCOL", "JVM"]}))

    assert settings.cluster.nodes["1"].kinds == {Kind.PROTOCOL, Kind.JVM}


def test_a_node_may_have_a_service_of_its_own(tmp_path: Path) -> None:
    """A node's service replaces the cluster's as a whole."""
    own = {**SERVICE, "start": ["/bin/other"], "stop_timeout_s": 5}

    service = read(tmp_path, changed({"cluster.nodes.0.service": own})).cluster.nodes["1"].service

    assert isinstance(service, CommandService)
    assert (service.start, service.stop_timeout_s) == (("/bin/other",), 5.0)


def test_policy_ladders_and_budgets_reach_the_policy(tmp_path: Path) -> None:
    """What is written replaces the default; what is not keeps it."""
    policy = read(
        tmp_path,
        changed(
            {
                "mode": "auto",
                "seed": 7,
                "policy": {"interval_s": 2, "gone_looks": 3, "hung_stop": "graceful"},
                "ladders.PROCESS_GONE": [{"action": "service:start", "attempts": 3, "limit_s": 60}],
                "budgets": {"node": {"acts": 4}, "fleet": {"window_s": 60}},
                "replicas.exempt_topics": ["scratch"],
            }
        ),
    ).policy

    assert policy == dataclasses.replace(
        Policy(),
        mode=Mode.AUTO,
        seed=7,
        interval_s=2.0,
        gone_looks=3,
        hung_stop=HungStop.GRACEFUL,
        exempt_topics=frozenset({"scratch"}),
        node_budget=Budget(4, 21600.0),
        fleet_budget=Budget(10, 60.0),
        ladders=DEFAULT_LADDERS
        | {Condition.PROCESS_GONE: (Rung("service:start", RetryPolicy(attempts=3), 60.0),)},
    )
    assert isinstance(policy.interval_s, float)


def test_a_ladder_of_nodes_of_one_sort_takes_the_place_of_the_common_one(tmp_path: Path) -> None:
    """Where a sort of nodes has no ladder of its own for a condition, the common one counts."""
    rung = {"action": "service:start", "attempts": 1, "jitter": 0.5}
    text = changed({"role_ladders.combined.PROCESS_GONE": [rung]})

    policy, cluster = (found := read(tmp_path, text)).policy, found.cluster
    node = next(iter(cluster.nodes.values()))
    own = dataclasses.replace(node, roles=frozenset({Role.BROKER, Role.CONTROLLER}))

    assert policy.ladder(own, Condition.PROCESS_GONE) == (
        Rung("service:start", RetryPolicy(attempts=1, jitter=0.5)),
    )
    assert policy.ladder(own, Condition.TERMINATED) == DEFAULT_LADDERS[Condition.TERMINATED]
    broker = dataclasses.replace(node, roles=frozenset({Role.BROKER}))
    assert policy.ladder(broker, Condition.PROCESS_GONE) == DEFAULT_LADDERS[Condition.PROCESS_GONE]


def test_each_field_of_the_policy_can_be_said_in_exactly_one_place() -> None:
    """A new threshold of the model is a knob of the file without being listed again."""
    fields = {field.name for field in dataclasses.fields(Policy)}
    knobs = set(PolicyKnobs.model_fields)

    assert knobs | set(ELSEWHERE) == fields
    assert not knobs & set(ELSEWHERE)
    assert set(BUDGETS.values()) < set(ELSEWHERE)


def test_sections_with_all_keys_commented_out_are_empty(tmp_path: Path) -> None:
    """`policy:` with nothing below it means the defaults."""
    text = changed({}) + "policy:\nladders:\nbudgets:\nlogging:\nnotifications:\n  email:\n"

    assert read(tmp_path, text).policy == Policy()


def test_paths_count_from_the_folder_of_the_file(tmp_path: Path) -> None:
    """It does not matter from where the daemon, or a command that asks it, is started."""
    path = tmp_path / "c.yml"
    path.write_text(changed({"state_dir": "state", "logging.file": "d.log", "audit.file": "/a"}))

    settings = load(str(path), ENVIRON)

    assert settings.state_dir == tmp_path / "state"
    assert settings.logging.file == tmp_path / "d.log"
    assert settings.audit_file == Path("/a")


def test_the_state_folder_has_a_default_without_systemd(tmp_path: Path) -> None:
    """Without STATE_DIRECTORY it lies beside the file; of several the first one is taken."""
    path = tmp_path / "c.yaml"
    path.write_text(changed({}))

    assert load(path, {}).state_dir == tmp_path / "kafka-self-healing-state"
    assert load(path, {"STATE_DIRECTORY": "/a:/b"}).state_dir == Path("/a")


def test_the_state_folder_is_found_without_the_secrets(tmp_path: Path) -> None:
    """Whoever asks a running daemon has not its variables; nothing else of the file counts."""
    path = tmp_path / "c.yaml"
    for text, folder in (
        ("state_dir: /var/lib/x\npassword: ${NONE}\nmode: autos\n", Path("/var/lib/x")),
        ("state_dir: ${DIR}/s\n", tmp_path / "d" / "s"),
        ("cluster: {}\n", Path("/from/systemd")),
        ("state_dir:\n", Path("/from/systemd")),
    ):
        path.write_text(text)
        assert state_dir_of(path, {"DIR": "d", "STATE_DIRECTORY": "/from/systemd"}) == folder


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("state_dir: ~/x\n", "state_dir: `~` is not expanded"),
        ("state_dir: ${NONE}\n", "state_dir: the environment variable NONE is not set"),
        ("state_dir: [x]\n", "state_dir: must be a text"),
        ("state_dir: x: y\n", "this is not YAML"),
    ],
)
def test_a_state_folder_that_cannot_be_read_is_told(
    text: str, message: str, tmp_path: Path
) -> None:
    """With its place, like any other mistake."""
    path = tmp_path / "c.yaml"
    path.write_text(text)

    with pytest.raises(ConfigError) as caught:
        state_dir_of(path, {})

    (problem,) = caught.value.problems
    assert message in str(problem)
    assert problem.line == 1


def test_unusual_inventories_are_noted(tmp_path: Path) -> None:
    """An even number of controllers, or a single one, is allowed and told."""
    broker = ["broker"]
    even = read(
        tmp_path,
        changed({"cluster.nodes.0.roles": broker, "cluster.nodes.0.controller_port": None}),
    )
    single = read(
        tmp_path,
        changed(
            {
                "cluster.nodes.0.roles": broker,
                "cluster.nodes.0.controller_port": None,
                "cluster.nodes.1.roles": broker,
                "cluster.nodes.1.controller_port": None,
            }
        ),
    )

    assert "2 controllers are an even number" in even.notes[0]
    assert "There is one controller" in single.notes[0]


def test_controllers_alone_are_noted(tmp_path: Path) -> None:
    """An inventory without brokers is allowed and told."""
    changes = {f"cluster.nodes.{n}.roles": ["controller"] for n in range(3)}
    text = changed(changes | {f"cluster.nodes.{n}.kafka_port": None for n in range(3)})

    assert read(tmp_path, text).notes == ("No node is a broker: only the controllers are watched.",)


def test_an_ipv6_address_is_a_host(tmp_path: Path) -> None:
    """Colons of an address are not taken for a port."""
    assert read(tmp_path, changed({"cluster.nodes.0.host": "fe80::1%eth0"})).cluster.nodes["1"].host


def test_reference_hosts_are_names_or_addresses_with_a_port(tmp_path: Path) -> None:
    """An IPv6 address stands in brackets, as in a URL."""
    said = ["gateway.example.org:22", "192.0.2.1:443", "[2001:db8::53]:53"]
    settings = read(tmp_path, changed({"viewpoint.reference_hosts": said}))
    assert settings.cluster.reference_hosts == (
        ("gateway.example.org", 22), ("192.0.2.1", 443), ("2001:db8::53", 53),
    )  # fmt: skip


@pytest.mark.parametrize("wrong", ["gateway", "gateway:0", "gateway:65536", "2001:db8::53", ":22"])
def test_a_reference_host_needs_its_port(wrong: str, tmp_path: Path) -> None:
    """What is no host:port is refused where it stands."""
    (problem,) = refuse(tmp_path, changed({"viewpoint.reference_hosts": ["ok:1", wrong]}))
    assert problem.path == "viewpoint.reference_hosts[1]"
