"""Cause before START: last words, storage and manager keep a vain or wrong start from being made.

For each cause: confirmed; suspected; contradicted; what it needs not readable; and no act in any.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from tests.unit.healing.scenes import NODE_EXISTS, Scene, combined, split, zookeeper

from kafka_self_healing.model.event import CLEARED
from kafka_self_healing.model.evidence import (
    CheckResult,
    DataDirFact,
    DiskFact,
    HostFact,
    Kind,
    LogFact,
    Outcome,
    PeersFact,
    ServiceFact,
)
from kafka_self_healing.model.incident import Condition, Reply, reply
from kafka_self_healing.model.node import Cluster
from kafka_self_healing.model.notification import NoticeKind
from kafka_self_healing.model.policy import Policy

C = Condition
EXIT = {"result": "exit-code", "signal": None, "exit_status": 1}
START = ("service:start", "2")


def with_log(cluster: Cluster) -> Cluster:
    """The same cluster, with the log of every node configured."""
    nodes = {
        id_: replace(node, kinds=node.kinds | {Kind.LOG}) for id_, node in cluster.nodes.items()
    }
    return replace(cluster, nodes=nodes)


def scene(cluster: Cluster | None = None) -> Scene:
    """Three combined nodes with logs, watched for a while."""
    made = Scene(with_log(cluster or combined()))
    made.run(5)
    return made


def named(broken: Scene, node: str = "2") -> tuple[Condition | None, bool]:
    """What is diagnosed of a node, and whether it is confirmed."""
    found = broken.found(node)
    return (found.condition, found.confirmed) if found is not None else (None, False)


def ends_young(broken: Scene, words: str, node: str = "2") -> None:
    """Somebody restarts a node, and the new process ends by itself within seconds."""
    broken.crash(node)
    broken.nodes[node].last_words = words
    broken.start(node, boot_s=10_000)
    broken.nodes[node].last_words = words
    broken.run(2)
    broken.crash(node, **EXIT)
    broken.nodes[node].last_words = words


@dataclass(frozen=True)
class Words:
    """Last words as Kafka writes them, and what they mean."""

    condition: Condition
    text: str


FATAL = "ERROR Exiting Kafka due to fatal exception during startup. (kafka.Kafka$)\n"
WORDS = (
    Words(C.CONFIG_BROKEN, FATAL + "org.apache.kafka.common.config.ConfigException: Invalid value"),
    Words(C.CONFIG_BROKEN, FATAL + "java.lang.IllegalArgumentException: requirement failed: x"),
    Words(C.CONFIG_BROKEN, "Unrecognized VM option 'UseG2GC'\nError: Could not create the Java"),
    Words(C.CONFIG_BROKEN, FATAL + "SSLHandshakeException: PKIX path validation failed: NotAfter"),
    Words(C.PORT_TAKEN, FATAL + "Socket server failed to bind to :9092: Address already in use."),
    Words(C.PORT_TAKEN, "java.rmi.server.ExportException: Port already in use: 9999"),
    Words(
        C.WRONG_IDENTITY,
        FATAL + "InconsistentClusterIdException: The Cluster ID a doesn't match"
        " stored clusterId Some(b) in meta.properties",
    ),
    Words(C.WRONG_IDENTITY, FATAL + "Stored node id 1 doesn't match previous node id 2 in /data"),
    Words(C.STORAGE_MISSING, FATAL + "RuntimeException: No readable meta.properties files found."),
    Words(C.STORAGE_LOST, "ERROR Shutdown broker because all log dirs in /data have failed"),
    Words(C.STORAGE_LOST, "java.io.IOException: Input/output error"),
    Words(
        C.DISK_FULL, "java.io.IOException: No space left on device\nall log dirs in /d have failed"
    ),
)


@pytest.mark.parametrize("words", WORDS)
def test_last_words_name_a_permanent_cause_and_nothing_is_started(words: Words) -> None:
    """The condition is the one that they tell, a person is called, and the lines are shown."""
    broken = scene()
    ends_young(broken, words.text)
    broken.run(40)
    assert named(broken) == (words.condition, True)
    assert broken.acted() == []
    assert reply(words.condition) is Reply.PAGE
    assert broken.incident("2").escalation
    last = words.text.splitlines()[-1]
    assert last[:60] in str(broken.incident("2").evidence)


@pytest.mark.parametrize("words", WORDS)
def test_a_cause_is_only_suspected_until_two_looks_agree(words: Words) -> None:
    """One look of an end confirms nothing, whatever the log says."""
    broken = scene()
    ends_young(broken, words.text)
    states = []
    for _ in range(4):
        broken.run(1)
        states.append(named(broken))
    assert (words.condition, False) in states
    assert states.index((words.condition, False)) < states.index((words.condition, True))


@pytest.mark.parametrize("words", WORDS)
def test_who_was_killed_wrote_nothing_down(words: Words) -> None:
    """Of a process that a signal ended the log is not read: what it says is older."""
    broken = scene()
    broken.nodes["2"].last_words = words.text
    broken.crash("2")
    broken.until(lambda: broken.acts, 30)
    assert broken.acted() == [START]


@pytest.mark.parametrize("words", WORDS)
def test_lines_of_an_earlier_run_are_not_its_last_words(words: Words) -> None:
    """What stands above the first line of the new process explains nothing."""
    newer = "INFO Registered `kafka:type=kafka.Log4jController` MBean\nINFO all is well"
    broken = scene(zookeeper())
    broken.nodes["2"].last_words = f"{words.text}\n{newer}"
    broken.crash("2", **EXIT)
    broken.until(lambda: broken.acts, 60)


@pytest.mark.parametrize("words", [w for w in WORDS if "STORAGE" not in w.condition][:-1])
def test_a_process_that_had_worked_was_not_kept_from_starting(words: Words) -> None:
    """Such words in the log of a broker that served for minutes are about something else."""
    broken = scene()
    broken.run(90)
    broken.nodes["2"].last_words = words.text
    broken.crash("2", **EXIT)
    broken.until(lambda: broken.acts, 30)


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("lost", ["failed", "older", "empty"])
def test_without_a_readable_log_the_cause_is_unknown(words: Words, lost: str) -> None:
    """A log that cannot be read is waited for a few seconds, and then there is one start."""
    broken = scene(zookeeper())

    def lens(look: CheckResult) -> CheckResult | None:
        if look.kind is not Kind.LOG:
            return look
        if lost == "older":
            return None
        if lost == "empty":
            return replace(look, fact=LogFact(()))
        return replace(look, outcome=Outcome.AUTHORISATION, fact=None)

    broken.lens = lens
    broken.nodes["2"].last_words = words.text
    broken.crash("2", **EXIT)
    took = broken.until(lambda: broken.acts, 60)
    assert took >= broken.policy.signs.last_words_s or lost != "older"
    assert broken.acted() == [START]


def test_a_log_that_is_awaited_is_not_awaited_for_ever() -> None:
    """PROCESS_GONE says what it waits for, and for how long at most."""
    broken = scene(zookeeper())
    broken.lens = lambda look: None if look.kind is Kind.LOG else look
    broken.crash("2", **EXIT)
    broken.run(4)
    found = broken.found("2")
    assert found is not None
    assert (found.confirmed, found.waiting) == (False, "a look of LOG begun since")
    broken.run(4)
    assert named(broken) == (C.PROCESS_GONE, True)


def test_a_stop_by_an_operator_goes_before_every_cause() -> None:
    """Whatever the log says: somebody stopped it, hands off."""
    broken = scene()
    broken.nodes["2"].last_words = WORDS[0].text
    broken.operator_stop("2")
    broken.run(60)
    assert named(broken) == (C.STOPPED_BY_OPERATOR, True)


def test_an_identity_without_a_leader_is_not_judged() -> None:
    """Without a quorum nobody can say whose identity is wrong."""
    broken = scene()
    broken.crash("1", "3")
    ends_young(broken, WORDS[6].text)
    broken.run(5)
    assert named(broken)[0] is not C.WRONG_IDENTITY


# --- storage ---------------------------------------------------------------------------------

Change = Callable[[HostFact], HostFact]


def _dir(**changes: Any) -> Change:
    known = DataDirFact("/data", same_device=True, has_identity=True, readable=True)
    return lambda fact: replace(fact, data_dirs=(replace(known, **changes),))


def _disk(**changes: Any) -> Change:
    disk = DiskFact("/data", total=1 << 40, usable=1 << 39, read_only=False)
    return lambda fact: replace(fact, disks=(replace(disk, **changes),))


STORAGE: tuple[tuple[Condition, Change, Change], ...] = (
    (C.STORAGE_MISSING, _dir(same_device=False), _dir(same_device=None)),
    (C.STORAGE_MISSING, _dir(has_identity=False), _dir(has_identity=None)),
    (C.STORAGE_LOST, _dir(readable=False), _dir(readable=None)),
    (C.STORAGE_LOST, _disk(read_only=True), _disk(read_only=None)),
    (C.DISK_FULL, _disk(usable=1 << 20), _disk(usable=None)),
)


def _host(broken: Scene, change: Change, node: str = "2") -> None:
    def lens(look: CheckResult) -> CheckResult:
        if look.subject != node or not isinstance(look.fact, HostFact):
            return look
        return replace(look, fact=change(look.fact))

    broken.lens = lens


@pytest.mark.parametrize(("condition", "bad", "unknown"), STORAGE)
def test_storage_that_is_bad_is_named_and_not_started_on(
    condition: Condition, bad: Change, unknown: Change
) -> None:
    """Also of a process that was killed; once it is well again, the node is healed."""
    broken = scene()
    _host(broken, bad)
    broken.crash("2")
    broken.run(40)
    assert named(broken) == (condition, True)
    assert broken.acted() == []
    assert broken.incident("2").escalation
    broken.lens = lambda look: look
    broken.until(lambda: broken.acts, 30)


@pytest.mark.parametrize(("condition", "bad", "unknown"), STORAGE)
def test_storage_that_cannot_be_read_is_not_called_bad(
    condition: Condition, bad: Change, unknown: Change
) -> None:
    """Unknown is neither lost nor well."""
    broken = scene()
    _host(broken, unknown)
    broken.crash("2")
    broken.run(3)
    assert named(broken)[0] is C.PROCESS_GONE


def test_space_that_was_freed_is_no_reason_any_more() -> None:
    """It died of a full disk; there is space again: it is started."""
    broken = scene()
    broken.nodes["2"].last_words = "java.io.IOException: No space left on device"
    _host(broken, _disk(usable=0))
    broken.crash("2", **EXIT)
    broken.run(30)
    assert (named(broken), broken.acted()) == ((C.DISK_FULL, True), [])
    _host(broken, _disk())
    broken.until(lambda: broken.acts, 30)


def test_a_full_disk_is_told_while_its_process_still_runs() -> None:
    """It serves for a few seconds more; the page comes before the end."""
    broken = scene()
    _host(broken, _disk(usable=3 << 20))
    broken.run(3)
    assert named(broken) == (C.DISK_FULL, True)
    assert broken.incident("2").escalation
    broken.lens = lambda look: look
    broken.run(30)
    assert broken.found("2") is None


# --- its manager, its id, the quorum -----------------------------------------------------------


def test_a_unit_that_is_not_there_is_not_started() -> None:
    """UNIT_ABSENT, not a stop and not a crash."""
    broken = scene()
    broken.crash("2", active="inactive", result=None, signal=None, unit_file="not-found")
    broken.run(200)
    assert (named(broken), broken.acted()) == ((C.UNIT_ABSENT, True), [])
    assert broken.incident("2").escalation


def test_where_the_quorum_is_lost_who_was_never_seen_alive_is_told_to_a_person() -> None:
    """We came too late to see them live, and start no stranger: nothing else would end it."""
    made = Scene(with_log(combined()), topics_shown=False)
    for id_ in ("2", "3"):
        made.crash(id_)
        made.nodes[id_].heart = -1000.0
    made.run(20)
    assert (named(made), made.acted()) == ((C.NOT_COMMISSIONED, True), [])
    assert "the quorum is lost" in made.incident("2").escalation


def test_who_was_never_seen_alive_is_noted_and_nobody_is_called() -> None:
    """NOT_COMMISSIONED: its first start is its operator's."""
    made = Scene(with_log(split()), topics_shown=False)
    made.crash("6")
    made.nodes["6"].heart = -1000.0
    made.run(60)
    assert (named(made, "6"), made.acted()) == ((C.NOT_COMMISSIONED, True), [])
    assert not made.incident("6").escalation
    assert [notice for notice in made.notices if "6" in notice.nodes] == []
    made.start("6")
    made.run(60)
    made.crash("6")
    made.until(lambda: made.acts, 30)


def _listed(look: CheckResult) -> CheckResult:
    if not isinstance(look.fact, PeersFact):
        return look
    return replace(look, fact=replace(look.fact, listed=("1", "2", "3")))


def test_an_id_that_stays_listed_is_somebody_elses() -> None:
    """DUPLICATE_ID in KRaft too: a start that was held back is not offered any more."""
    broken = Scene(with_log(combined()), policy=Policy())
    broken.run(5)
    broken.lens = _listed
    broken.crash("2")
    broken.run(3 * 9)
    assert named(broken) == (C.PROCESS_GONE, True)
    broken.run(6)
    assert named(broken) == (C.DUPLICATE_ID, True)
    broken.lens = lambda look: look
    broken.run(5)
    assert named(broken) == (C.PROCESS_GONE, True)


@pytest.mark.parametrize("told", [True, False])
def test_a_broker_that_found_no_quorum_waits_for_one(*, told: bool) -> None:
    """NO_QUORUM_YET by its words, or by the minute that it waited; it follows the quorum."""
    broken = scene(split())
    broken.crash("1", "2", "3")
    broken.hands = "idle"
    broken.run(10)
    broken.crash("4")
    broken.start("4", boot_s=10_000)
    broken.run(10 if told else 62)
    broken.crash("4", **EXIT)
    words = "Received a fatal error while waiting for the controller to acknowledge that"
    broken.nodes["4"].last_words = words if told else "INFO shut down completely"
    broken.run(10)
    assert named(broken, "4") == (C.NO_QUORUM_YET, True)
    assert "4" not in {node for _, node in broken.acted()}
    broken.hands = "work"
    for voter in ("1", "2", "3"):
        broken.start(voter)
    broken.run(10)
    assert named(broken, "4")[0] is C.PROCESS_GONE


def test_a_voter_that_ends_without_a_quorum_is_started() -> None:
    """It is the way back to one."""
    broken = scene()
    broken.crash("1", "3")
    broken.crash("2", **EXIT)
    broken.nodes["2"].last_words = "waiting for the controller to acknowledge"
    broken.run(10)
    assert named(broken)[0] is C.PROCESS_GONE


# --- restarts by its manager ---------------------------------------------------------------------


def test_a_manager_that_starts_it_again_and_again_is_told() -> None:
    """CRASH_LOOP at the third restart within ten minutes; nothing is done."""
    broken = scene()
    for count in (1, 2, 3):
        broken.crash("2", active="activating", sub="auto-restart", restarts=count - 1, **EXIT)
        broken.run(2)
        assert named(broken)[0] is not C.CRASH_LOOP
        broken.start("2", boot_s=10_000)
        broken.edit("2", restarts=count)
        broken.nodes["2"].last_words = "INFO what it says"
        broken.run(2)
    assert named(broken) == (C.CRASH_LOOP, True)
    assert "log: INFO what it says" in str(broken.found("2"))
    assert broken.acted() == []
    broken.run(700)
    assert named(broken)[0] is not C.CRASH_LOOP


def looping(broken: Scene) -> None:
    """Node 2 is ended and started by its manager three times, and then is well for a while."""
    first = broken.nodes["2"].service.restarts or 0
    for count in range(first, first + 3):
        broken.crash("2", active="activating", sub="auto-restart", restarts=count, **EXIT)
        broken.run(2)
        broken.start("2", boot_s=1.0)
        broken.edit("2", restarts=count + 1)
        broken.run(2)
    broken.run(100)


def test_a_loop_is_told_once_however_well_the_node_is_between_its_ends() -> None:
    """CRASH_LOOP is over when its manager has been still for ten minutes, and then it is told."""
    broken = scene()
    looping(broken)
    looping(broken)
    (told,) = broken.notices
    assert (told.kind, told.condition) == (NoticeKind.ESCALATION, C.CRASH_LOOP)
    assert broken.step
    assert broken.step.cluster.nodes["2"].ok
    assert C.CRASH_LOOP not in dict(broken.closed)
    broken.run(600)
    assert broken.closed[-1] == (C.CRASH_LOOP, CLEARED)
    assert [one.kind for one in broken.notices] == [NoticeKind.ESCALATION, NoticeKind.RECOVERY]


def test_a_unit_that_was_started_by_hand_is_no_longer_in_a_loop() -> None:
    """Its manager counts from zero then: what an operator has repaired is over at once."""
    broken = scene()
    looping(broken)
    looping(broken)
    assert broken.incident("2").condition is C.CRASH_LOOP
    broken.crash("2", **EXIT)
    broken.start("2", boot_s=1.0)
    broken.edit("2", restarts=0)
    broken.run(30)
    assert broken.notices[-1].kind is NoticeKind.RECOVERY
    assert not broken.memory.incidents


def test_a_count_of_long_ago_is_no_loop() -> None:
    """What its manager did before we looked, or over days, says nothing."""
    broken = scene()
    for count in (7, 8, 9, 10):
        broken.edit("2", restarts=count)
        broken.run(400)
    broken.nodes["2"].ready_at = broken.now.mono_s + 20
    broken.run(10)
    assert named(broken)[0] is C.STARTING


def test_a_start_limit_is_waited_for_and_then_there_is_one_start() -> None:
    """START_LIMIT_HIT: the unit's interval, one ordinary start, and a person if that ends too."""
    broken = scene(zookeeper())
    broken.crash("2", restarts=4, start_limit_s=45.0, **EXIT)
    broken.nodes["2"].last_words = "INFO nothing that explains it"
    broken.run(40)
    assert (named(broken), broken.acted()) == ((C.START_LIMIT_HIT, True), [])
    broken.hands = "die"
    broken.until(lambda: broken.acts, 30)
    broken.run(200)
    assert broken.acted() == [START]
    assert broken.incident("2").escalation


def test_what_the_kernel_killed_is_started_and_told() -> None:
    """KILLED_BY_KERNEL: like PROCESS_GONE, with its name."""
    broken = scene()
    broken.crash("2", result="oom-kill")
    broken.until(lambda: broken.acts, 30)
    assert broken.acted() == [START]
    assert broken.incident("2").condition is C.KILLED_BY_KERNEL
    broken.until(lambda: broken.closed, 300)
    assert broken.closed == [(C.KILLED_BY_KERNEL, "healed")]


@pytest.mark.parametrize(
    "lie",
    [
        ServiceFact(active="failed", result="oom-kill", lock_held=False, unit_file="enabled"),
        ServiceFact(active="failed", restarts=5, lock_held=False, unit_file="enabled"),
        ServiceFact(active="inactive", unit_file="not-found"),
    ],
)
def test_a_manager_that_lies_about_a_living_node_moves_nothing(lie: ServiceFact) -> None:
    """Its word alone is one family: the node answers, and is not touched."""
    broken = scene()

    def lens(look: CheckResult) -> CheckResult:
        of_2 = look.subject == "2" and look.kind is Kind.SERVICE
        return replace(look, fact=lie) if of_2 else look

    broken.lens = lens
    broken.run(120)
    assert broken.acted() == []


def test_a_start_of_unknown_end_that_died_of_its_old_registration_costs_no_attempt() -> None:
    """What became of it is read from its log, as of a start whose end is known."""
    broken = scene(zookeeper())
    broken.hands = "unknown"
    broken.crash("2")
    broken.until(lambda: broken.acts, 60)
    broken.run(1)
    broken.start("2", boot_s=10_000)
    broken.crash("2", **EXIT)
    broken.nodes["2"].last_words = NODE_EXISTS
    broken.hands = "work"
    broken.until(lambda: len(broken.acts) == 2, 60)
    assert "NodeExists" in str(broken.incident("2").story)
    assert broken.acts[-1][1].attempt == 1
