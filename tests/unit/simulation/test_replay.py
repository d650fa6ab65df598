"""Replay: deterministic to the byte, strict about its input, and described by its schema."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from tests.unit.healing.write_examples import EXAMPLES, FOLDER, write_all

from kafka_self_healing.errors import ReplayError
from kafka_self_healing.healing.guards import GUARDS, MATRIX
from kafka_self_healing.model.evidence import FACT_TYPE, Kind, Outcome
from kafka_self_healing.model.policy import Mode, Policy
from kafka_self_healing.simulation import replay_schema
from kafka_self_healing.simulation.replay import Replay
from kafka_self_healing.simulation.replay_format import read

ROOT = Path(__file__).parents[3]
SCHEMA_FILE = Path(replay_schema.__file__).with_name("replay.schema.json")
SCHEMA = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
VALID = Draft202012Validator(SCHEMA)
AUTO = Policy(mode=Mode.AUTO)
Rows = list[dict[str, Any]]

HEADER: dict[str, Any] = {
    "format": "kafka-self-healing/replay-1", "cluster": "lab", "mode": "kraft",
    "session_timeout_s": 9, "warm": True,
    "expect": {"conditions": [["PROCESS_GONE"]], "required": [], "until": 9.5,
               "allowed": [{"action": "service:start", "nodes": [2]}]},
    "nodes": [{"id": i, "roles": ["combined"], "host": f"h{i}", "rack": None} for i in (1, 2, 3)],
}  # fmt: skip
PART = {"id": 0, "replicas": [1, 2, 3], "isr": [1, 2, 3], "leader": 1, "reassigning": False}
TOPIC = {"name": "t", "min_isr": 2, "unclean_election": False, "partitions": [PART]}
VOTERS = [{"id": i, "last_caught_up_ms": 9_900, "last_fetch_ms": 9_900} for i in (1, 2, 3)]
FACTS: dict[str, dict[str, Any]] = {
    "SERVICE": {
        "active": "active", "sub": "running", "result": "success", "exit_status": None,
        "signal": None, "pid": 7, "process_state": "S", "restarts": 0, "unit_file": "enabled",
        "job": "", "stop_requested": False, "tracer_pid": 0, "lock_held": True,
        "host_lock": False, "invocation": "a", "code": "exited", "start_limit_s": 10,
        "stop_timeout_s": 90, "success_exit": ["143"], "oom_killed": False, "health": None,
        "boot_id": "b", "started_s": 5.5, "read_bytes": 9,
    },
    "LOG": {"tail": ["one", "two"]},
    "PEERS": {"listed": [1, 2, 3], "fenced": [], "controller": None, "topics": [TOPIC]},
    "QUORUM": {
        "leader": 1, "epoch": 3, "fetch_timeout_ms": 2000, "now_ms": 10_000, "voters": VOTERS,
        "observers": [], "mode": None, "synced": None,
    },
    "JVM": {
        "broker_state": 3, "remaining_logs": None, "remaining_segments": None,
        "offline_log_dirs": 0, "raft_state": "follower", "raft_leader": 1,
        "active_controller": False, "under_replicated": 0, "offline_partitions": 0,
        "metadata_errors": 0, "applied_lag_ms": 10, "idle": 0.9, "request_queue": 0,
        "open_files": 9, "max_files": 99, "heap": 0.5, "session": None,
    },
    "HOST": {
        "reachable": True, "ping": True, "boot_id": "b", "uptime_s": 9, "clock_offset_s": 0.1,
        "disks": [{"path": "/d", "total": 9, "usable": 5, "read_only": False}],
        "data_dirs": [
            {"path": "/d", "same_device": True, "has_identity": True, "readable": True}
        ],
    },
    "PROTOCOL": {
        "ruok": True, "mode": "follower", "serving": True, "version": "3.8.4", "synced": 2,
        "latency_ms": 0.5, "outstanding": 0, "fsync_ms": 1.5, "open_files": 9, "max_files": 99,
        "refused": ["mntr"], "registered": [1, 2],
    },
    "CERTIFICATE": {
        "listeners": [
            {
                "listener": "kafka", "address": "h1:9092", "subject": "CN=b", "issuer": "CN=ca",
                "not_after": 9.5, "days_left": 30, "problem": "",
            }
        ],
        "own": [{"listener": "our own", "address": "/etc/healer.pem"}],
    },
    "CANARY": {"topic": "canary", "partition": 0, "produce_ms": 3, "consume_ms": 2.5},
    "CUSTOM": {
        "state": "ok", "text": "fine", "metrics": [{"name": "load", "value": 1.5}],
        "stands_for": "JVM",
    },
}  # fmt: skip
OTHERS: Rows = [
    {"at": 1, "result": {"node": 2, "outcome": "done", "exit_code": 0}},
    {
        "at": 1,
        "operator": {
            "command": "maintenance", "by": "ada", "reason": "r", "target": "2", "until": 9.5,
        },
    },
    {"at": 1, "ask": {"id": "q", "action": "service:restart", "node": 2, "guards": ["no_storm"]}},
    {"at": 1, "order": {"id": "o", "action": "service:start", "nodes": [1, 2]}},
]  # fmt: skip


def check(kind: str, subject: Any = 2, observer: Any = "healer", **more: Any) -> dict[str, Any]:
    """A look that answered, with the whole fact of its kind."""
    body = {
        "observer": observer, "subject": subject, "kind": kind, "outcome": "answered",
        "started": 0.9, "fact": copy.deepcopy(FACTS.get(kind)),
    }  # fmt: skip
    return {"at": 1.0, "check": {**body, **more}}


EVERY_LINE: Rows = [HEADER, *[check(kind.value) for kind in Kind], *OTHERS]


def write(path: Path, rows: Rows) -> Path:
    """Write rows as a replay file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def run(path: Path, policy: Policy = AUTO) -> Rows:
    """Replay a file and return what it said."""
    said: Rows = []
    Replay(read(path), policy, said.append).run()
    return said


def healthy(at: float) -> Rows:
    """One round of looks at three healthy combined nodes."""
    rows: Rows = []
    for node in (1, 2, 3):
        for kind in ("SERVICE", "PROTOCOL", "JVM", "HOST", "LISTENER"):
            rows.append(check(kind, node))
        rows.append(check("PEERS", "lab", node))
        quorum = FACTS["QUORUM"] if node == 1 else {}
        rows.append(check("QUORUM", "lab", node, fact=quorum))
    for row in rows:
        row["at"], row["check"]["started"] = at, at - 0.1
    return rows


def objects(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of every object inside a value."""
    found = [path] if isinstance(value, dict) else []
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in inner:
        if isinstance(item, (dict, list)):
            found += objects(item, (*path, key))
    return found


def put(row: dict[str, Any], path: tuple[Any, ...], key: str) -> dict[str, Any]:
    """Return the row with one more key in the object at `path`."""
    row = copy.deepcopy(row)
    inner: Any = row
    for step in path:
        inner = inner[step]
    inner[key] = 1
    return row


UNKNOWN = [
    (number, put(row, path, "surprise"))
    for number, row in enumerate(EVERY_LINE)
    for path in objects(row)
]


def test_the_published_schema_is_the_one_that_the_types_make() -> None:
    """Run `python -m kafka_self_healing.simulation.replay_schema` after a change."""
    Draft202012Validator.check_schema(SCHEMA)
    assert replay_schema.build() == SCHEMA


def test_every_line_of_the_format_is_valid_and_can_be_read(tmp_path: Path) -> None:
    """All kinds with all fields, and every other line."""
    for row in EVERY_LINE:
        assert [e.message for e in VALID.iter_errors(row)] == []
    assert len(list(read(write(tmp_path / "a.jsonl", EVERY_LINE)).lines)) == len(EVERY_LINE) - 1


@pytest.mark.parametrize("kind", [kind.value for kind in FACT_TYPE])
def test_every_field_of_a_fact_may_be_null_or_absent(kind: str, tmp_path: Path) -> None:
    """Not readable is a value of its own."""
    nulls = dict.fromkeys(FACTS[kind])
    rows = [HEADER, check(kind, fact=nulls), check(kind, fact={}), check(kind, fact=None)]
    assert all(VALID.is_valid(row) for row in rows)
    assert run(write(tmp_path / "a.jsonl", rows))[-1]["end"]["acts"] == 0


@pytest.mark.parametrize(("number", "row"), UNKNOWN)
def test_an_unknown_key_fails_in_schema_and_reader(
    number: int, row: dict[str, Any], tmp_path: Path
) -> None:
    """Wherever it stands; the error names file and line."""
    assert not VALID.is_valid(row)
    rows = [row] if number == 0 else [HEADER, row]
    path = write(tmp_path / "a.jsonl", rows)
    with pytest.raises(ReplayError, match=re.escape(f"{path}:{len(rows)}: ")) as caught:
        read(path)
    assert "surprise" in str(caught.value)


@pytest.mark.parametrize(
    ("row", "where"),
    [
        ({"at": 1, "check": {**check("JVM")["check"], "fact": {"broker_state": "3"}}},
         "check.fact.broker_state"),
        ({"at": 1, "check": {**check("SERVICE")["check"], "outcome": "perhaps"}}, "check.outcome"),
        ({"at": 1, "check": {**check("SERVICE")["check"], "kind": "WEATHER"}}, "check.kind"),
        ({"at": 1, "check": check("PEERS", fact={"topics": [{"name": "t", "partitions": [{}]}]})
          ["check"]}, "check.fact.topics[0].partitions[0].id"),
        ({"at": 1, "operator": {"command": "dance"}}, "operator.command"),
        ({"at": 1, "result": {"node": 2, "outcome": "perhaps"}}, "result.outcome"),
        ({"at": 1, "ask": {"id": "q", "action": "service:start", "node": 2, "guards": ["magic"]}},
         "ask.guards"),
        ({"at": 1, "ask": {"id": "q", "action": "", "node": 2}}, "action"),
        ({"at": "1", "result": {"node": 2, "outcome": "done"}}, "at"),
        ({"at": 1}, "at"),
    ],
)  # fmt: skip
def test_a_wrong_value_names_file_line_and_path(
    row: dict[str, Any], where: str, tmp_path: Path
) -> None:
    """What is wrong is found by its path; schema and reader agree."""
    assert not VALID.is_valid(row)
    path = write(tmp_path / "a.jsonl", [HEADER, row])
    with pytest.raises(ReplayError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert where in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1: the file is empty"),
        ("{}\n", ":1: format: expected"),
        ("[1]\n", ":1: expected an object"),
        ("{not json\n", ":1: not JSON"),
        (json.dumps(HEADER | {"nodes": []}), ":1: nodes: the cluster is empty"),
        (json.dumps(HEADER | {"nodes": [HEADER["nodes"][0]] * 2}), "is there twice"),
        (json.dumps(HEADER | {"nodes": [{"id": 1, "roles": ["king"]}]}), "nodes[0].roles"),
        (json.dumps(HEADER) + '\n{"at": NaN}\n', ":2: not JSON: NaN"),
        (json.dumps(HEADER) + '\n{"at": Infinity}\n', ":2: not JSON: Infinity"),
    ],
)
def test_a_broken_file_is_a_clear_error(text: str, message: str, tmp_path: Path) -> None:
    """Empty, not JSON, not ours, without nodes."""
    path = tmp_path / "a.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ReplayError) as caught:
        read(path)
    assert message in str(caught.value)


def test_time_goes_forward_and_not_too_far(tmp_path: Path) -> None:
    """Lines out of order, a look that ends before it begins, and a gap without end."""
    line = {"result": {"node": 2, "outcome": "done"}}
    cases: list[tuple[Rows, str]] = [
        ([{"at": 5, **line}, {"at": 4, **line}], ":3: at: 4 is before the line above (5)"),
        ([{"at": 5, **line}, {"at": 1e12, **line}], ":3: at: 1e+12 is more than"),
        ([check("JVM", started=2.0)], ":2: check.started: 2 is after its end (1)"),
        ([check("JVM", subject=9)], ":2: check.subject: '9' is not in the header"),
        ([{"at": 1, "result": {"node": 9, "outcome": "done"}}], ":2: node '9' is not in"),
    ]
    for rows, message in cases:
        with pytest.raises(ReplayError, match=re.escape(message)):
            read(write(tmp_path / "a.jsonl", [HEADER, *rows]))


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_are_what_the_scenes_write(name: str, tmp_path: Path) -> None:
    """They are valid by the schema and can be made anew."""
    write_all(tmp_path)
    assert (FOLDER / name).read_bytes() == (tmp_path / name).read_bytes()
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    assert all(VALID.is_valid(json.loads(line)) for line in lines)


@pytest.mark.parametrize(
    ("name", "action", "condition"),
    [
        ("crash.jsonl", "service:start", "PROCESS_GONE"),
        ("hang.jsonl", "service:restart", "PROCESS_HUNG"),
        ("zookeeper-crash.jsonl", "service:start", "PROCESS_GONE"),
    ],
)
def test_the_examples_are_healed_by_one_act(name: str, action: str, condition: str) -> None:
    """Suspected, confirmed, one act, healed, cleared."""
    said = run(FOLDER / name)
    found = [row["diagnosis"] for row in said if "diagnosis" in row]
    assert (found[0]["condition"], found[0]["state"]) == (condition, "suspected")
    assert (found[-1]["condition"], found[-1]["state"]) == (condition, "cleared")
    acts = [row["decision"] for row in said if row.get("decision", {}).get("verdict") == "act"]
    assert [(act["action"], act["node"]) for act in acts] == [(action, "2")]
    assert [row["healed"]["nodes"] for row in said if "healed" in row] == [["2"]]
    assert said[-1]["end"]["acts"] == 1


def test_the_registration_of_zookeeper_mode_is_waited_for() -> None:
    """The example's start comes no earlier than a session after the crash, and the wait is told."""
    said = run(FOLDER / "zookeeper-crash.jsonl")
    decisions = [(row["at"], row["decision"]) for row in said if "decision" in row]
    waits = [(at, d) for at, d in decisions if d["verdict"] == "wait"]
    acts = [at for at, d in decisions if d["verdict"] == "act"]
    assert {v["reason"] for _, d in waits for v in d["reasons"]} >= {"still_registered"}
    assert 5 + 18 <= acts[0] <= 5 + 18 + 4
    assert waits[0][1]["until"] == pytest.approx(6 + 18 + 2 * 2)


def test_a_header_of_zookeeper_mode(tmp_path: Path) -> None:
    """Mode and roles are read; session and tick have the defaults of the mode, or are given."""
    nodes = [{"id": 1, "roles": ["broker"]}, {"id": "z1", "roles": ["zookeeper"]}]
    head = {"format": HEADER["format"], "cluster": "lab", "mode": "zookeeper", "nodes": nodes}
    plain = read(write(tmp_path / "a.jsonl", [head])).cluster
    assert (plain.brokers, plain.members, plain.keepers) == (("1",), ("z1",), ("z1",))
    assert (plain.session_timeout_s, plain.tick_s) == (18.0, 2.0)
    given = read(write(tmp_path / "a.jsonl", [head | {"session_timeout_s": 6, "tick_s": 3}]))
    assert (given.cluster.session_timeout_s, given.cluster.tick_s) == (6.0, 3.0)


def test_a_custom_check_has_a_name(tmp_path: Path) -> None:
    """Two checks of the operator's own are two tracks; the name is the file's."""
    rows = [check("CUSTOM", name=name, fact={"state": "ok"}) for name in ("lag", "disk")]
    looks = [line for _, line in read(write(tmp_path / "a.jsonl", [HEADER, *rows])).lines]
    assert [getattr(look, "name", None) for look in looks] == ["lag", "disk"]


def test_equal_input_gives_equal_output_to_the_byte() -> None:
    """Twice over the same file."""
    for name in EXAMPLES:
        first, second = (json.dumps(run(FOLDER / name)).encode() for _ in range(2))
        assert first == second


def test_an_observing_healer_acts_in_no_replay() -> None:
    """The same diagnosis, zero acts."""
    said = run(FOLDER / "crash.jsonl", Policy(mode=Mode.OBSERVE))
    assert said[-1]["end"]["acts"] == 0
    reasons = [v["reason"] for row in said if "decision" in row for v in row["decision"]["reasons"]]
    assert "observe" in reasons


def test_warm_makes_what_the_first_lines_show_old(tmp_path: Path) -> None:
    """Warm: every guard agrees at once. Cold: the warm-up is named."""
    ask = {"at": 6, "ask": {"id": "q", "action": "service:restart", "node": 2}}
    for warm, reason in ((True, "others_sick"), (False, "warming_up")):
        rows = [HEADER | {"warm": warm}, *healthy(5.0), ask]
        answer = run(write(tmp_path / "a.jsonl", rows))[-2]["answer"]
        reasons = {v["reason"] for v in answer["reasons"]}
        assert (reason in reasons) is (not warm)
        assert "nothing_wrong" in reasons


def test_ask_evaluates_only_the_guards_that_it_names(tmp_path: Path) -> None:
    """An id comes back as it was written; nothing is proposed; unnamed guards are not asked."""
    asks = [
        {"at": 6, "ask": {"id": row.name, "action": action, "node": 2, "guards": [row.name]}}
        for row in MATRIX
        for action in ("service:start", "service:restart")
    ]
    said = run(write(tmp_path / "a.jsonl", [HEADER, *healthy(5.0), *asks]))
    answers = [row["answer"] for row in said if "answer" in row]
    assert len(answers) == len(asks)
    for answer in answers:
        assert answer["id"] in GUARDS
        assert {v["guard"] for v in answer["reasons"]} <= {answer["id"]}
        assert answer["allowed"] is not any(v["blocking"] for v in answer["reasons"])
    assert said[-1]["end"]["acts"] == 0
    assert not any("decision" in row for row in said)


def test_order_says_who_goes_first(tmp_path: Path) -> None:
    """The active controller last; ids as the file wrote them."""
    line = {"at": 6, "order": {"id": "o", "action": "service:restart", "nodes": [1, 3, 2]}}
    said = run(write(tmp_path / "a.jsonl", [HEADER, *healthy(5.0), line]))
    order = next(row["order"] for row in said if "order" in row)
    assert order["order"] == [2, 3, 1]
    assert order["id"] == "o"


def test_the_page_lists_every_field_and_outcome() -> None:
    """docs/replay.md names each kind, fact field, outcome and line."""
    text = (ROOT / "docs" / "replay.md").read_text(encoding="utf-8")
    for kind, cls in FACT_TYPE.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| {kind.value} |"))
        assert all(f"`{name}`" in row for name in cls.__dataclass_fields__)
    assert all(outcome.value in text for outcome in Outcome)
    assert all(kind.value in text for kind in Kind)
