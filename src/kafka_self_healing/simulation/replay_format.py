"""The replay format `kafka-self-healing/replay-1`: JSON lines to inputs of the mind, strictly.

docs/replay.md describes it, `replay.schema.json` (beside this file) is its JSON Schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kafka_self_healing.errors import ReplayError
from kafka_self_healing.healing.guards import GUARDS
from kafka_self_healing.model.codec import CodecError, from_plain
from kafka_self_healing.model.control import OperatorCommand, Order
from kafka_self_healing.model.evidence import (
    CLUSTER_KINDS,
    FACT_TYPE,
    HEALER,
    CheckResult,
    Fact,
    Kind,
    Outcome,
)
from kafka_self_healing.model.node import Cluster, ClusterMode, NodeConfig, Role
from kafka_self_healing.model.recovery import ACT_CLASS, ActOutcome

FORMAT = "kafka-self-healing/replay-1"
MAX_LINE = 16 << 20
MAX_GAP_S = 7 * 86400.0
"""From one line to the next: the mind is woken all through a gap, every few seconds."""
SESSIONS_S = {ClusterMode.KRAFT: 9.0, ClusterMode.ZOOKEEPER: 18.0}
"""The default session of each mode (seconds): the broker's, and that of its ZooKeeper session."""

ROLES = {"broker": (Role.BROKER,), "controller": (Role.CONTROLLER,), "zookeeper": (Role.ENSEMBLE,),
         "combined": (Role.BROKER, Role.CONTROLLER)}  # fmt: skip


@dataclass(frozen=True, slots=True)
class HeaderNode:
    """A node of the header; ids may be numbers or texts."""

    id: str
    roles: tuple[str, ...]
    host: str = ""
    rack: str | None = None


@dataclass(frozen=True, slots=True)
class Header:
    """The first line."""

    format: str
    cluster: str
    nodes: tuple[HeaderNode, ...]
    mode: ClusterMode = ClusterMode.KRAFT
    session_timeout_s: float | None = None
    tick_s: float | None = None
    warm: bool = False


@dataclass(frozen=True, slots=True)
class CheckLine:
    """A look: its end is the line's `at`. `name`: of CUSTOM, which check it was."""

    subject: str | None
    kind: Kind
    outcome: Outcome
    observer: str = HEALER
    started: float | None = None
    fact: dict[str, Any] | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ResultLine:
    """The end of the act that is executing on a node."""

    node: str
    outcome: ActOutcome
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class OperatorLine:
    """An operator's command. `until`: seconds on the file's clock."""

    command: Order
    by: str = "operator"
    reason: str | None = None
    target: str | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True)
class AskLine:
    """A question to the guards; nothing is proposed by it."""

    id: str
    action: str
    node: str
    guards: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class OrderLine:
    """A question for the order in which nodes would be acted on."""

    id: str
    action: str
    nodes: tuple[str, ...]


Line = CheckResult | ResultLine | OperatorCommand | AskLine | OrderLine

LINE_TYPES: dict[str, type[Any]] = {
    "check": CheckLine,
    "result": ResultLine,
    "operator": OperatorLine,
    "ask": AskLine,
    "order": OrderLine,
}


@dataclass(frozen=True, slots=True)
class Recording:
    """A replay file, read. `ids` gives each id back as the file wrote it (number or text)."""

    header: Header
    cluster: Cluster
    lines: tuple[tuple[float, Line], ...]
    ids: Mapping[str, Any]


def read(path: Path, defaults: Cluster | None = None) -> Recording:
    """Read and check a file whole. Raises ReplayError with file, line and path of the value."""
    try:
        with path.open(encoding="utf-8") as file:
            rows = list(_rows(path, file))
    except (OSError, UnicodeDecodeError) as error:
        raise ReplayError(f"{path}: cannot be read: {error}") from None
    if not rows:
        raise ReplayError(f"{path}:1: the file is empty; its first line is the header")
    number, first = rows[0]
    header = _header(path, number, first)
    ids = {str(node["id"]): node["id"] for node in first["nodes"]}
    lines: list[tuple[float, Line]] = []
    for number, row in rows[1:]:
        at, line = _line(path, number, row, header)
        if lines and at < lines[-1][0]:
            raise ReplayError(
                f"{path}:{number}: at: {at:g} is before the line above ({lines[-1][0]:g})"
            )
        if lines and at - lines[-1][0] > MAX_GAP_S:
            raise ReplayError(
                f"{path}:{number}: at: {at:g} is more than {MAX_GAP_S:g} s after the line above"
            )
        lines.append((at, line))
    return Recording(header, _cluster(header, lines, defaults), tuple(lines), ids)


def _rows(path: Path, file: Iterator[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, text in enumerate(file, 1):
        if not text.strip():
            continue
        if len(text) > MAX_LINE:
            raise ReplayError(f"{path}:{number}: the line is longer than {MAX_LINE} characters")
        try:
            row = json.loads(text, parse_constant=_no_constant)
        except ValueError as error:
            raise ReplayError(f"{path}:{number}: not JSON: {error}") from None
        if not isinstance(row, dict):
            raise ReplayError(f"{path}:{number}: expected an object")
        yield number, row


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _header(path: Path, number: int, row: dict[str, Any]) -> Header:
    if row.get("format") != FORMAT:
        found = row.get("format")
        raise ReplayError(f"{path}:{number}: format: expected {FORMAT!r}, got {found!r}")
    header: Header = _decode(path, number, Header, row, "")
    if not header.nodes:
        raise ReplayError(f"{path}:{number}: nodes: the cluster is empty")
    seen: set[str] = set()
    for index, node in enumerate(header.nodes):
        where = f"{path}:{number}: nodes[{index}]"
        if node.id in seen:
            raise ReplayError(f"{where}.id: {node.id!r} is there twice")
        seen.add(node.id)
        unknown = [role for role in node.roles if role not in ROLES]
        if unknown or not node.roles:
            raise ReplayError(f"{where}.roles: expected some of {', '.join(ROLES)}")
    return header


def _line(path: Path, number: int, row: dict[str, Any], header: Header) -> tuple[float, Line]:
    at = row.get("at")
    if isinstance(at, bool) or not isinstance(at, (int, float)):
        raise ReplayError(f"{path}:{number}: at: expected seconds, got {at!r}")
    names = [key for key in row if key != "at"]
    if len(names) != 1 or names[0] not in LINE_TYPES:
        known = ", ".join(LINE_TYPES)
        raise ReplayError(f"{path}:{number}: expected 'at' and one of {known}; got {names}")
    name = names[0]
    value = _decode(path, number, LINE_TYPES[name], row[name], name)
    if isinstance(value, CheckLine):
        return float(at), _check(path, number, value, float(at), header)
    if isinstance(value, OperatorLine):
        return float(at), OperatorCommand(
            value.command, value.by, value.reason or "", value.target or "", value.until
        )
    _must_exist(path, number, value, header)
    return float(at), value


def _must_exist(path: Path, number: int, line: Line, header: Header) -> None:
    nodes = {node.id for node in header.nodes}
    named = line.nodes if isinstance(line, OrderLine) else (getattr(line, "node", ""),)
    for node in named:
        if node not in nodes:
            raise ReplayError(f"{path}:{number}: node {node!r} is not in the header")
    if isinstance(line, (AskLine, OrderLine)) and line.action not in ACT_CLASS:
        known = ", ".join(ACT_CLASS)
        raise ReplayError(f"{path}:{number}: action: {line.action!r} is none of {known}")
    for guard in line.guards or () if isinstance(line, AskLine) else ():
        if guard not in GUARDS:
            known = ", ".join(GUARDS)
            raise ReplayError(f"{path}:{number}: ask.guards: there is no guard {guard!r}; {known}")


def _check(path: Path, number: int, line: CheckLine, at: float, header: Header) -> CheckResult:
    started = at if line.started is None else line.started
    if started > at:
        raise ReplayError(f"{path}:{number}: check.started: {started:g} is after its end ({at:g})")
    if line.kind not in CLUSTER_KINDS and line.subject not in {n.id for n in header.nodes}:
        raise ReplayError(f"{path}:{number}: check.subject: {line.subject!r} is not in the header")
    fact: Fact | None = None
    if line.fact is not None:
        fact_type = FACT_TYPE.get(line.kind)
        if fact_type is not None:
            fact = _decode(path, number, fact_type, line.fact, "check.fact")
        elif line.fact:
            raise ReplayError(f"{path}:{number}: check.fact: {line.kind} has no fields")
    subject = line.subject if line.subject is not None else header.cluster
    return CheckResult(
        line.observer, subject, line.kind, line.outcome, started, at, fact, name=line.name or ""
    )


def _decode(path: Path, number: int, cls: type[Any], value: Any, where: str) -> Any:
    try:
        return from_plain(cls, value, where)
    except CodecError as error:
        raise ReplayError(f"{path}:{number}: {error}") from None


def _cluster(header: Header, lines: list[tuple[float, Line]], defaults: Cluster | None) -> Cluster:
    """Build the inventory. A kind counts as configured for a node that it is ever asked of."""
    kinds: dict[str, set[Kind]] = {node.id: set() for node in header.nodes}
    for _, line in lines:
        if isinstance(line, CheckResult) and line.outcome is not Outcome.NOT_ASKED:
            who = line.subject if line.subject in kinds else line.observer
            kinds.get(who, set()).add(line.kind)
    nodes = {
        node.id: NodeConfig(
            node.id,
            frozenset(role for name in node.roles for role in ROLES[name]),
            node.host,
            node.rack,
            kinds=frozenset(kinds[node.id]),
        )
        for node in header.nodes
    }
    base = defaults or Cluster(header.cluster, session_timeout_s=SESSIONS_S[header.mode])
    session = header.session_timeout_s
    if session is None:
        session = base.session_timeout_s
    tick = base.tick_s if header.tick_s is None else header.tick_s
    return Cluster(header.cluster, header.mode, nodes, session, base.fetch_timeout_s, tick)
