"""Cause before START: why a start would be in vain, or wrong, by its last words and its manager.

A permanent cause keeps PROCESS_GONE from being named: no start, a person is called with the last
log lines. A transient one waits. An unknown one gets its start.
"""

from __future__ import annotations

import re
from typing import Final

from kafka_self_healing.healing.assessment import ClusterView, Process, Quorum, Standing
from kafka_self_healing.healing.diagnosis.ending import (
    came_up,
    ended_of,
    found_lines,
    is_ended,
    last_words,
    lived_s,
    newest_lines,
)
from kafka_self_healing.healing.diagnosis.rule import Row
from kafka_self_healing.healing.diagnosis.words import service_words
from kafka_self_healing.healing.ensemble import quorum_words
from kafka_self_healing.healing.memory import Memory
from kafka_self_healing.healing.progress import recent_restarts
from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.model.incident import Condition, Diagnosis
from kafka_self_healing.model.node import ClusterMode
from kafka_self_healing.model.policy import Policy

NOT_FOUND: Final = "not-found"
"""`unit_file` of a unit or container that is not there."""

_CERTIFICATE: Final = re.compile(
    r"PKIX path|Certificate(Expired|NotYetValid)Exception|NotAfter:|unable to find valid certific"
    r"|[Kk]eystore (password was incorrect|was tampered)|KeyStoreException"
)
_CONFIG: Final = re.compile(
    r"ConfigException|Invalid config|requirement failed:|Could not create the Java Virtual Machine"
    r"|Unrecognized (VM )?option|Could not find or load main class|UnsupportedClassVersionError"
    r"|Password file read access must be restricted|Could not find a '\w+' .*JAAS"
    r"|(Config|Properties) file not found|No such file or directory.*\.properties"
)
_PORT: Final = re.compile(r"(Address|Port) already in use")
_IDENTITY: Final = re.compile(
    r"Inconsistent(ClusterId|BrokerId|BrokerMetadata|Cluster)Exception|INCONSISTENT_CLUSTER_ID"
    r"|doesn't match (stored|previous|the stored)|Invalid (cluster|node|broker)\.id in"
)
_NO_QUORUM: Final = re.compile(
    r"waiting for the controller to acknowledge|ZooKeeperClientTimeoutException"
    r"|Timed out waiting for connection while in state"
)


def unit_absent(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """The service manager knows nothing of the unit or the container."""
    service = node.service
    if service is None or node.process is not Process.ENDED or service.unit_file != NOT_FOUND:
        return None
    why = "its unit or container is not there: neither a crash nor a stop leaves that behind"
    return ended_of(node, view, policy, Condition.UNIT_ABSENT, (why,))


def not_commissioned(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """It has ended, and neither we nor the cluster ever saw it alive."""
    if node.process is not Process.ENDED or node.id in memory.seen:
        return None
    why = "neither we nor the cluster ever saw it alive: its first start is its operator's"
    return ended_of(node, view, policy, Condition.NOT_COMMISSIONED, (why,))


def duplicate_id(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """Its process is gone for three sessions, and the others still list its id."""
    if not is_ended(node) or not node.gone or not node.config.is_broker:
        return None
    if node.counted is not True or view.quorum is not Quorum.LED:
        return None
    end, reign = view.view.ends[node.id], view.view.reign
    since = end.since if reign is None else max(end.since, reign.since)
    sessions = policy.signs.sessions_listed
    need = sessions * view.view.cluster.session_timeout_s
    held = view.now.mono_s - since
    if held < need:
        return None
    why = f"the others still list it {held:.0f} s after its end, longer than {sessions} sessions"
    doubt = "does another process bear its id?"
    return ended_of(node, view, policy, Condition.DUPLICATE_ID, (why, doubt))


def wrong_identity(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """It does not belong to this cluster, or is not whom its directory says."""
    if not is_ended(node) or view.quorum is not Quorum.LED or came_up(node, view, policy):
        return None
    why = found_lines(last_words(node, view).fatal, _IDENTITY)
    return ended_of(node, view, policy, Condition.WRONG_IDENTITY, why) if why else None


def port_taken(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """Something else has its port."""
    if not is_ended(node) or came_up(node, view, policy):
        return None
    why = found_lines(last_words(node, view).fatal, _PORT)
    return ended_of(node, view, policy, Condition.PORT_TAKEN, why) if why else None


def config_broken(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """It cannot start as it is configured; a certificate that nobody accepts is part of that."""
    if not is_ended(node) or came_up(node, view, policy):
        return None
    words = last_words(node, view).fatal
    why = found_lines(words, _CERTIFICATE)
    if why:
        why = ("a certificate keeps it from starting", *why)
    why = why or found_lines(words, _CONFIG)
    return ended_of(node, view, policy, Condition.CONFIG_BROKEN, why) if why else None


def no_quorum_yet(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """A broker has given up because nobody leads; it is started once somebody does."""
    service, mode = node.service, view.view.cluster.mode
    if not is_ended(node) or service is None or service.exit_status != 1:
        return None
    if not node.config.is_broker or node.config.is_keeper or view.quorum is Quorum.LED:
        return None
    why = found_lines(last_words(node, view).fatal, _NO_QUORUM)
    signs, lived = policy.signs, lived_s(node, view)
    least = signs.no_quorum_exit_s if mode is ClusterMode.KRAFT else signs.no_ensemble_exit_s
    run = view.view.runs.get(node.id)
    waited = run is not None and not run.answered and not run.led
    if not why and (not waited or lived is None or lived < least):
        return None
    text = f"it ended by itself, and {quorum_words(mode)} has no leader that is known"
    return ended_of(node, view, policy, Condition.NO_QUORUM_YET, (text, *why))


def crash_loop(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """Its service manager starts it again and again."""
    recent = recent_restarts(view.view, node.id, view.now.mono_s, policy)
    if node.process is Process.ENDED or len(recent) < policy.signs.restarts:
        return None
    window = policy.signs.restarts_window_s
    text = f"its manager has started it {len(recent)} times in {window:.0f} s, and goes on"
    evidence = (service_words(view, node), text, *newest_lines(node, view))
    return Diagnosis(Condition.CRASH_LOOP, (node.id,), evidence, confirmed=True)


_ITS_LOG: Final = frozenset({Kind.SERVICE, Kind.LOG})
_ITS_MANAGER: Final = frozenset({Kind.SERVICE})
_TWO_LOOKS: Final = "two looks, 2 s apart"
_BY_ITSELF: Final = "an end by a signal, a run that had worked for a minute, or a later start"

ROWS: Final = (
    Row(
        Condition.KILLED_BY_KERNEL,
        frozenset({Kind.SERVICE, Kind.LISTENER}),
        "the process has ended as in PROCESS_GONE, and its manager says that the kernel killed it"
        " for want of memory (`Result=oom-kill`, of a container `OOMKilled`)",
        "whatever contradicts PROCESS_GONE. Status 137 alone proves nothing",
        _TWO_LOOKS,
        "`service:start`, as for PROCESS_GONE, and told by this name",
        "compare the heap (`-Xmx`) and what else the host runs with its memory (`free`,"
        " `journalctl -k | grep -i oom`). Kafka needs more than its heap: leave half to the page"
        " cache",
    ),
    Row(
        Condition.UNIT_ABSENT,
        _ITS_MANAGER,
        "the service manager does not know the unit, or the container is not there",
        "the manager finding it",
        _TWO_LOOKS,
        "nothing: there is nothing to start",
        "compare `service` in the configuration with `systemctl list-units --all`, or `docker ps"
        " -a`. If somebody removed it on purpose, take the node out of the inventory",
    ),
    Row(
        Condition.NOT_COMMISSIONED,
        _ITS_MANAGER,
        "the process does not run, and neither we nor the cluster ever saw the node alive",
        "seeing it alive once",
        _TWO_LOOKS,
        "nothing; `status` and `explain` say so. A person is called only while the quorum is lost",
        "start it yourself for the first time, or take it out of the inventory",
    ),
    Row(
        Condition.NO_QUORUM_YET,
        _ITS_MANAGER,
        "a pure broker has ended with status 1 a minute after its start (in ZooKeeper mode: after"
        " its connection timeout), and no leader of the quorum is known",
        "somebody leading: then it is PROCESS_GONE, and is started",
        _TWO_LOOKS,
        "nothing until there is a leader; its exit costs no attempt. A person is called when it"
        " lasts",
        "look at QUORUM_LOST or ENSEMBLE_QUORUM_LOST first: the brokers follow by themselves",
    ),
    Row(
        Condition.START_LIMIT_HIT,
        _ITS_MANAGER,
        "the process has ended as in PROCESS_GONE, and its manager has started it before and does"
        " not any more (`Result=start-limit-hit`, or failed with `NRestarts` above 0)",
        "a cause in its last words: that is named instead",
        "two looks, 2 s apart, and the unit's `StartLimitIntervalSec`",
        "one ordinary `service:start` after that interval, no `reset-failed`; if it ends again, a"
        " person is called",
        "read the log of its first failure (`journalctl -u UNIT`), repair, and start it. In"
        " ZooKeeper mode a manager that restarts within a second dies of NodeExists until its limit"
        " is hit: set `RestartSec=20`",
    ),
    Row(
        Condition.CRASH_LOOP,
        _ITS_MANAGER,
        "the manager has started it three times within ten minutes (`NRestarts` grows)",
        "the manager giving up (then its end is named), a start by hand (its count begins anew), or"
        " fewer than three restarts left within ten minutes: who is well for less is in its loop"
        " still",
        "three restarts",
        "nothing: its manager is at it, and one more start would change nothing",
        "read its log (`journalctl -u UNIT -n 200`). Stop the unit while you repair it: each start"
        " writes files and loads the others",
    ),
    Row(
        Condition.CONFIG_BROKEN,
        _ITS_LOG,
        "the process has ended by itself, and its last words are a ConfigException, a wrong option"
        " of the JVM, or a certificate or key store that nobody accepts",
        _BY_ITSELF,
        _TWO_LOOKS,
        "nothing: it would end again. A person is called at once, with the last log lines",
        "correct what the log names; compare the configuration with that of a node that runs, and"
        " find out who changed it last (`stat`, your configuration management). A certificate:"
        " renew it. Then start the node yourself",
    ),
    Row(
        Condition.PORT_TAKEN,
        _ITS_LOG,
        "the process has ended by itself, and its last words are that an address or port is in use",
        _BY_ITSELF,
        _TWO_LOOKS,
        "nothing: it would end again",
        "`ss -ltnp` on its host says who has the port: often an old process of the same node that"
        " was started by hand, or a JMX port that two processes share. End it, start the node",
    ),
    Row(
        Condition.WRONG_IDENTITY,
        _ITS_LOG | {Kind.QUORUM},
        "the process has ended by itself while another voter leads, and its last words are that its"
        " cluster id or node id is not the one of its directory or of the cluster",
        f"{_BY_ITSELF}; no leader: without one an exit after a minute is NO_QUORUM_YET",
        _TWO_LOOKS,
        "nothing. `meta.properties` is never touched",
        "a wrong disk, a wrong `node.id`, or a directory formatted for another cluster: compare"
        " `meta.properties` with that of its neighbours. Do not delete it: that makes an empty"
        " replica of a node that has acknowledged data",
    ),
    Row(
        Condition.DUPLICATE_ID,
        frozenset({Kind.SERVICE, Kind.LISTENER, Kind.PEERS}),
        "its process is proven gone for three sessions, and the others still list its id",
        "the id leaving the list, or no leader of the quorum: then nobody is ever dropped",
        "three sessions",
        "nothing: a second process of one id would fight with the first",
        "`kafka-broker-api-versions` and `kafka-metadata-quorum` of a living broker show the"
        " address under which the id is registered: end the process there, or correct its id",
    ),
)
