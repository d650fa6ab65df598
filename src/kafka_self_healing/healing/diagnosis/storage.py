"""Rules about a node's storage: not there, lost, full, filling, and one directory of several."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from kafka_self_healing.healing.assessment import ClusterView, Process, Standing
from kafka_self_healing.healing.diagnosis.beside import stands
from kafka_self_healing.healing.diagnosis.ending import (
    ended_of,
    found_lines,
    host_fact,
    is_ended,
    last_words,
)
from kafka_self_healing.healing.diagnosis.rule import Row
from kafka_self_healing.healing.diagnosis.words import service_words
from kafka_self_healing.healing.memory import Memory
from kafka_self_healing.model.evidence import DataDirFact, DiskFact, HostFact, Kind
from kafka_self_healing.model.incident import Condition, Diagnosis
from kafka_self_healing.model.policy import Policy

MEBIBYTE: Final = 1 << 20

_NO_SPACE: Final = re.compile(r"No space left on device")
_LOST: Final = re.compile(
    r"all log dirs in .* have failed|none of the specified log dirs|Input/output error"
    r"|Read-only file system|Structure needs cleaning",
    re.IGNORECASE,
)
_MISSING: Final = re.compile(
    r"No (readable )?`?meta\.properties`? (files? )?found|formatted your directory"
    r"|is not formatted|myid file is missing",
    re.IGNORECASE,
)


def missing(node: Standing, view: ClusterView, memory: Memory, policy: Policy) -> Diagnosis | None:
    """A data directory is not on its device, or has no identity: a start would make it anew."""
    if not is_ended(node):
        return None
    fact = host_fact(node, view, policy)
    why: list[str] = []
    for directory in identified(node, fact.data_dirs or ()) if fact is not None else ():
        if directory.same_device is False:
            why.append(f"{directory.path} is not on the device last seen")
        if directory.has_identity is False:
            why.append(f"{directory.path} has no {identity_file(node)}")
    why.extend(found_lines(last_words(node, view).fatal, _MISSING))
    return ended_of(node, view, policy, Condition.STORAGE_MISSING, tuple(why)) if why else None


def lost(node: Standing, view: ClusterView, memory: Memory, policy: Policy) -> Diagnosis | None:
    """The storage itself fails: a real read does, or its last words say so."""
    if not is_ended(node):
        return None
    fact = host_fact(node, view, policy)
    dirs, disks = _of(fact)
    why = [f"{one.path} cannot be read" for one in dirs if one.readable is False]
    why += [f"{disk.path} is mounted read-only" for disk in disks if disk.read_only is True]
    words = last_words(node, view)
    if not found_lines(words.lines, _NO_SPACE):
        why.extend(found_lines(words.lines, _LOST))
    return ended_of(node, view, policy, Condition.STORAGE_LOST, tuple(why)) if why else None


def full(node: Standing, view: ClusterView, memory: Memory, policy: Policy) -> Diagnosis | None:
    """A data disk is full, whether its process still runs or has ended of it."""
    fact = host_fact(node, view, policy)
    disks = _of(fact)[1]
    limit = policy.signs.full_bytes
    why = [
        f"the disk of {disk.path} is full: {disk.usable / MEBIBYTE:.1f} MiB left"
        for disk in disks
        if disk.usable is not None and disk.usable < limit
    ]
    if not is_ended(node):
        if not why or node.process is Process.ENDED:
            return None
        evidence = (service_words(view, node), *why)
        return Diagnosis(Condition.DISK_FULL, (node.id,), evidence, confirmed=True)
    freed = bool(disks) and all(disk.usable is not None for disk in disks) and not why
    if not freed:  # what was freed since is no reason any more
        why.extend(found_lines(last_words(node, view).lines, _NO_SPACE))
    return ended_of(node, view, policy, Condition.DISK_FULL, tuple(why)) if why else None


def filling(node: Standing, view: ClusterView, memory: Memory, policy: Policy) -> Diagnosis | None:
    """A data disk has little left. One that is full has its own incident."""
    if Kind.HOST not in node.config.kinds:
        return None
    own = memory.incident_of(node.id)
    told = own is not None and own.condition is Condition.DISK_FULL
    least = policy.signs.full_bytes if told else 0
    disks = [
        (disk.path, disk.usable, disk.usable / disk.total)
        for disk in _of(host_fact(node, view, policy))[1]
        if disk.total and disk.usable is not None
    ]
    evidence = tuple(
        f"{part:.1%} of the disk of {path} is left ({usable / MEBIBYTE:.0f} MiB)"
        for path, usable, part in disks
        if part < policy.disk_filling and usable >= least
    )
    low = bool(evidence) if disks else None
    return stands(node, view, memory, policy, Condition.DISK_FILLING, low, evidence)


def log_dir_failed(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """One of several log directories is offline; the broker goes on with the others."""
    if Kind.JVM not in node.config.kinds:
        return None
    count = node.jvm.offline_log_dirs if node.jvm is not None else None
    failed = None if count is None else count > 0
    evidence: tuple[str, ...] = ()
    if failed:
        evidence = (f"JVM: {count} of its log directories offline", *_bad_dirs(node, view, policy))
    return stands(node, view, memory, policy, Condition.LOG_DIR_FAILED, failed, evidence)


def _bad_dirs(node: Standing, view: ClusterView, policy: Policy) -> tuple[str, ...]:
    dirs, _ = _of(host_fact(node, view, policy))
    return tuple(f"{one.path} cannot be read" for one in dirs if one.readable is False)


def _of(fact: HostFact | None) -> tuple[Sequence[DataDirFact], Sequence[DiskFact]]:
    return ((fact.data_dirs or ()), (fact.disks or ())) if fact is not None else ((), ())


def identity_file(node: Standing) -> str:
    """Return the name of the file that says whose directory it is."""
    return "myid" if node.config.is_member else "meta.properties"


def identified(node: Standing, dirs: Sequence[DataDirFact]) -> Sequence[DataDirFact]:
    """A member's transaction log may have a directory of its own: one of them holds the myid."""
    if node.config.is_member and any(directory.has_identity for directory in dirs):
        return [replace(directory, has_identity=True) for directory in dirs]
    return dirs


_MACHINE: Final = frozenset({Kind.SERVICE, Kind.HOST})

ROWS: Final = (
    Row(
        Condition.STORAGE_MISSING,
        _MACHINE,
        "the process has ended, and a configured data directory is not on the device last seen, or"
        " has no `meta.properties` (of a member: `myid`), or its last words say that it is not"
        " formatted",
        "a look at its host that finds all of them",
        "two looks, 2 s apart",
        "nothing: a start on an unmounted disk would make an empty replica",
        "mount the disk (`findmnt`, `journalctl -k`). If it is mounted and empty, find out why"
        " before you format it: a new broker with an old id loses what it had acknowledged. It is"
        " started by itself once the directory is back; a new node you start yourself",
    ),
    Row(
        Condition.STORAGE_LOST,
        _MACHINE,
        "the process has ended, and a real read of a data directory fails, or it is mounted"
        " read-only, or its last words say that all its log directories have failed",
        "a process that runs: one directory of several is LOG_DIR_FAILED",
        "two looks, 2 s apart",
        "nothing: it would end again at once",
        "look at the kernel's log (`journalctl -k`), the disk and the controller. Replace or repair"
        " it, check the file system, and start the broker yourself: with an empty directory it"
        " fetches its replicas from the others, so be sure that they are in sync first",
    ),
    Row(
        Condition.DISK_FULL,
        _MACHINE,
        "a data disk has less than 16 MiB left, or the process ended with `No space left on"
        " device` and the space is not known to be free again",
        "a look at the host that finds space",
        "at once while it runs; two looks, 2 s apart, once it has ended",
        "nothing: a start has to write before it can serve. No data are deleted, ever",
        "make room: enlarge the volume, or delete what is not Kafka's. Shorten the retention of the"
        " largest topics (`kafka-configs --alter --add-config retention.ms=…`) rather than deleting"
        " segments by hand. A broker that has ended is started by itself once there is space",
    ),
    Row(
        Condition.DISK_FILLING,
        frozenset({Kind.HOST}),
        "a data disk has less than a tenth left (`policy.disk_filling`)",
        "a look at the host that finds more; a disk that is full: DISK_FULL tells of it",
        "30 s",
        "nothing; told. It stands beside whatever else the node has",
        "find the topics that grow (`kafka-log-dirs --describe`), shorten their retention, move"
        " partitions, or enlarge the volume, while there is time",
    ),
    Row(
        Condition.LOG_DIR_FAILED,
        frozenset({Kind.JVM}),
        "the JVM counts log directories that are offline, and the broker goes on with the others",
        "the JVM counting none",
        "30 s",
        "nothing: a restart would bring the directory back only if its disk is well again, and the"
        " broker serves with the others",
        "look at the kernel's log and the disk. Repair or replace it, then restart the broker"
        " yourself: the directory does not come back while it runs, nor when space is freed",
    ),
)  # fmt: skip
