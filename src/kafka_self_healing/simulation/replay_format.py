"""The replay format `kafka-self-healing/replay-1`: JSON lines to inputs of the mind, strictly.

docs/replay.md describes it, `replay.schema.json` (beside this file) is its JSON Schema.
"""

from __future__ import annotations

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
from kafka_self_healing.model.incident import Condition
from kafka_self_healing.model.node import Cluster, ClusterMode, NodeConfig, Role
from kafka_self_healing.model.recovery import ACT_CLASS, ActOutcome
from kafka_self_healing.simulation.json_lines import rows_of

FORMAT = "kafka-self-healing/replay-1"
MAX_AT_S = 1e9
"""About 32 years on either side of the file's zero."""

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
class ExpectedAct:
    """An act that is right on one of these nodes."""

    action: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Expect:
    """What is right, for `--judge`: every act that is neither required nor allowed is wrong.

    `conditions`: of each list one must be confirmed or suspected; `required`: on one of its nodes,
    and on each at most once; `allowed`: on each of its nodes once. `until`: the last second that
    is judged (None: the end), because what follows shows what somebody else did.
    """

    conditions: tuple[tuple[Condition, ...], ...] = ()
    required: tuple[ExpectedAct, ...] = ()
    allowed: tuple[ExpectedAct, ...] = ()
    until: float | None = None


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
    expect: Expect | None = None


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
    """A replay file that was read once and found right; its lines are read anew, one by one.

    `ids` gives each id back as the file wrote it (number or text).
    """

    path: Path
    header: Header
    cluster: Cluster
    ids: Mapping[str, Any]

    @property
    def lines(self) -> Iterator[tuple[float, Line]]:
        """Each line with its `at`. Raises ReplayError if the file is no longer what it was."""
        rows = rows_of(self.path)
        next(rows, None)
        return _lines(self.path, rows, self.header)


def read(path: Path, defaults: Cluster | None = None) -> Recording:
    """Check a file whole, a line at a time. Raises ReplayError with file, line and path.

    It is read twice, so that no more than a line is ever held, whatever its size.
    """
    rows = rows_of(path)
    number, first = next(rows, (1, None))
    if first is None:
        raise ReplayError(f"{path}:1: the file is empty; its first line is the header")
    header = _header(path, number, first)
    ids = {str(node["id"]): node["id"] for node in first["nodes"]}
    kinds: dict[str, set[Kind]] = {node.id: set() for node in header.nodes}
    for _, line in _lines(path, rows, header):
        if isinstance(line, CheckResult) and line.outcome is not Outcome.NOT_ASKED:
            who = line.subject if line.subject in kinds else line.observer
            kinds.get(who, set()).add(line.kind)
    return Recording(path, header, _cluster(header, kinds, defaults), ids)


def _lines(
    path: Path, rows: Iterator[tuple[int, dict[str, Any]]], header: Header
) -> Iterator[tuple[float, Line]]:
    last: float | None = None
    for number, row in rows:
        at, line = _line(path, number, row, header)
        if last is not None and at < last:
            raise ReplayError(
                f"{path}:{number}: at: {at:g} is before the line above ({last:g});"
                " sort the lines by `at`, which is the end of a look"
            )
        if last is not None and at - last > MAX_GAP_S:
            raise ReplayError(
                f"{path}:{number}: at: {at:g} is more than {MAX_GAP_S:g} s after the line above;"
                " cut the file there in two"
            )
        last = at
        yield at, line


def _header(path: Path, number: int, row: dict[str, Any]) -> Header:
    if row.get("format") != FORMAT:
        found = row.get("format")
        raise ReplayError(f"{path}:{number}: format: expected {FORMAT!r}, got {found!r:.60}")
    header: Header = _decode(path, number, Header, row, "")
    if not header.nodes:
        raise ReplayError(f"{path}:{number}: nodes: the cluster is empty")
    seen: set[str] = set()
    for index, node in enumerate(header.nodes):
        where = f"{path}:{number}: nodes[{index}]"
        if node.id in seen:
            raise ReplayError(f"{where}.id: {node.id!r} is there twice")
        seen.add(node.id)
        if not node.id or "/" in node.id or node.id in {HEALER, header.cluster}:
            taken = f"it must not be empty, {HEALER!r}, the cluster's name, nor contain a slash"
            raise ReplayError(f"{where}.id: {node.id!r} is no id: {taken}")
        unknown = [role for role in node.roles if role not in ROLES]
        if unknown or not node.roles:
            raise ReplayError(f"{where}.roles: expected some of {', '.join(ROLES)}")
    for name in ("session_timeout_s", "tick_s"):
        value = getattr(header, name)
        if value is not None and not 0 < value <= MAX_GAP_S:
            raise ReplayError(f"{path}:{number}: {name}: {value:g} is not between 0 and a week")
    _expected(f"{path}:{number}: expect", header.expect or Expect(), seen)
    return header


def _expected(where: str, expect: Expect, nodes: set[str]) -> None:
    for name, acts in (("required", expect.required), ("allowed", expect.allowed)):
        for index, act in enumerate(acts):
            unknown = sorted(set(act.nodes) - nodes)
            if unknown or not act.nodes or not act.action:
                what = f"node {unknown[0]!r} is not in the header" if unknown else "name an act's"
                what += "" if unknown else " action and at least one node"
                raise ReplayError(f"{where}.{name}[{index}]: {what}")


def _line(path: Path, number: int, row: dict[str, Any], header: Header) -> tuple[float, Line]:
    at = row.get("at")
    if isinstance(at, bool) or not isinstance(at, (int, float)):
        raise ReplayError(f"{path}:{number}: at: expected seconds, got {at!r:.40}")
    if not abs(at) <= MAX_AT_S:
        raise ReplayError(f"{path}:{number}: at: {at:g} is more than {MAX_AT_S:g} s from zero")
    names = [key for key in row if key != "at"]
    if len(names) != 1 or names[0] not in LINE_TYPES:
        known = ", ".join(LINE_TYPES)
        got = ", ".join(names)[:80] or "nothing else"
        raise ReplayError(f"{path}:{number}: expected 'at' and one of {known}; got {got}")
    name = names[0]
    value = _decode(path, number, LINE_TYPES[name], row[name], name)
    if isinstance(value, CheckLine):
        return float(at), _check(path, number, value, float(at), header)
    if isinstance(value, OperatorLine):
        if value.until is not None and not abs(value.until) <= MAX_AT_S:
            text = f"{value.until:g} is more than {MAX_AT_S:g} s from zero; null: not by itself"
            raise ReplayError(f"{path}:{number}: operator.until: {text}")
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
            known = ", ".join(sorted(nodes)[:8])
            text = f"node {node!r} is not in the header, which has {known}"
            raise ReplayError(f"{path}:{number}: {text}")
    if isinstance(line, (AskLine, OrderLine)) and not line.action:
        known = ", ".join(ACT_CLASS)
        raise ReplayError(f"{path}:{number}: action: it is empty; {known}, or one of a ladder")
    for guard in line.guards or () if isinstance(line, AskLine) else ():
        if guard not in GUARDS:
            known = ", ".join(GUARDS)
            raise ReplayError(f"{path}:{number}: ask.guards: there is no guard {guard!r}; {known}")


def _check(path: Path, number: int, line: CheckLine, at: float, header: Header) -> CheckResult:
    started = at if line.started is None else line.started
    if not abs(started) <= MAX_AT_S:
        text = f"{started:g} is more than {MAX_AT_S:g} s from zero"
        raise ReplayError(f"{path}:{number}: check.started: {text}")
    if started > at:
        raise ReplayError(f"{path}:{number}: check.started: {started:g} is after its end ({at:g})")
    known = {n.id for n in header.nodes} | (
        {header.cluster} if line.kind is Kind.LISTENER else set()
    )
    if line.kind not in CLUSTER_KINDS and line.subject not in known:
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
    except RecursionError:
        raise ReplayError(f"{path}:{number}: {where}: too deeply nested") from None


def _cluster(header: Header, kinds: Mapping[str, set[Kind]], defaults: Cluster | None) -> Cluster:
    """Build the inventory. A kind counts as configured for a node that it is ever asked of."""
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
