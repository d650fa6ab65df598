"""`Settings`: a checked configuration in the words of the model, ready for the composition root."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kafka_self_healing.config.schema import (
    BUDGETS,
    BudgetConfig,
    ClusterConfig,
    ConfigFile,
    LoggingConfig,
    NodeSection,
    NotificationConfig,
    RungConfig,
    ServiceConfig,
)
from kafka_self_healing.model.access import CommandService
from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.model.incident import Condition
from kafka_self_healing.model.node import Cluster, NodeConfig, Role
from kafka_self_healing.model.policy import DEFAULT_LADDERS, Budget, Mode, Policy, Rung
from kafka_self_healing.model.recovery import RetryPolicy

PLACEHOLDER = re.compile(r"(?<![{$])\{([A-Za-z_][A-Za-z0-9_]*)\}(?!\})")
"""`{name}` in an argument; `${name}`, `{{name}}` and braces around anything else are left alone."""

DEFAULT_STATE_DIR = "kafka-self-healing-state"


@dataclass(frozen=True, slots=True)
class Settings:
    """All that one file says. Paths are absolute; `mode` and `seed` are in `policy` too.

    `logging.file` is absolute as well. `notes` are sentences about what is allowed but unusual.
    """

    source: Path
    mode: Mode
    state_dir: Path
    cluster: Cluster
    policy: Policy
    notification: NotificationConfig
    logging: LoggingConfig
    audit_file: Path
    notes: tuple[str, ...] = ()


def settings_of(config: ConfigFile, source: Path, environ: Mapping[str, str]) -> Settings:
    """Build the settings from a file that passed all checks.

    A path without a leading `/` counts from the folder of the file, wherever the daemon is started.
    """
    folder = source.absolute().parent
    # systemd sets STATE_DIRECTORY, to several folders joined by colons if there are several.
    usual = environ.get("STATE_DIRECTORY", "").partition(":")[0] or DEFAULT_STATE_DIR
    state_dir = folder / (config.state_dir or usual)
    log_file = config.logging.file
    logging = config.logging
    if log_file is not None:
        logging = logging.model_copy(update={"file": folder / log_file})
    cluster = _cluster(config.cluster, config.checks.kinds)
    return Settings(
        source=source.absolute(),
        mode=config.mode,
        state_dir=state_dir,
        cluster=cluster,
        policy=_policy(config),
        notification=config.notifications,
        logging=logging,
        audit_file=folder / config.audit.file if config.audit.file else state_dir / "audit.jsonl",
        notes=_notes(cluster),
    )


def service_of(node: NodeSection, default: ServiceConfig | None) -> ServiceConfig | None:
    """Return a node's service: its own, even if that is `null`, else the cluster's."""
    return node.service if "service" in node.model_fields_set else default


def node_kinds(node: NodeSection, default: ServiceConfig | None) -> frozenset[Kind]:
    """Return the kinds of evidence that a node's settings make possible."""
    possible = {
        Kind.LISTENER: True,
        Kind.PROTOCOL: True,
        Kind.PEERS: Role.BROKER in node.roles,
        Kind.QUORUM: Role.CONTROLLER in node.roles,
        Kind.JVM: node.jmx_port is not None,
        Kind.SERVICE: service_of(node, default) is not None,
        Kind.HOST: bool(node.data_dirs),
    }
    return frozenset(kind for kind, yes in possible.items() if yes)


def policy_budgets(written: Mapping[str, BudgetConfig]) -> dict[str, Budget]:
    """Return the budgets by their keys in the file; what is not written keeps its default."""
    budgets = {}
    for name, field in BUDGETS.items():
        default: Budget = getattr(Policy(), field)
        own = written.get(name) or BudgetConfig()
        budgets[name] = Budget(own.acts or default.acts, own.window_s or default.window_s)
    return budgets


def policy_ladders(
    written: Mapping[Condition, tuple[RungConfig, ...]],
) -> dict[Condition, tuple[Rung, ...]]:
    """Return the ladders; a condition that is not written keeps its default."""
    own = {
        condition: tuple(
            Rung(rung.action, RetryPolicy(rung.attempts, rung.base_s, rung.cap_s), rung.limit_s)
            for rung in rungs
        )
        for condition, rungs in written.items()
    }
    return DEFAULT_LADDERS | own


def _cluster(config: ClusterConfig, kinds: tuple[Kind, ...] | None) -> Cluster:
    nodes = [_node(node, config.service, kinds) for node in config.nodes]
    return Cluster(
        name=config.name,
        mode=config.mode,
        nodes={node.id: node for node in nodes},
        session_timeout_s=config.session_timeout_s,
        fetch_timeout_s=config.fetch_timeout_s,
    )


def _node(
    node: NodeSection, default: ServiceConfig | None, kinds: tuple[Kind, ...] | None
) -> NodeConfig:
    service = service_of(node, default)
    possible = node_kinds(node, default)
    return NodeConfig(
        id=str(node.id),
        roles=frozenset(node.roles),
        host=node.host,
        rack=node.rack,
        kafka_port=node.kafka_port,
        controller_port=node.controller_port,
        jmx_port=node.jmx_port,
        data_dirs=node.data_dirs,
        service=_service(service, node) if service else None,
        kinds=possible if kinds is None else possible & frozenset(kinds),
    )


def _service(service: ServiceConfig, node: NodeSection) -> CommandService:
    values = {"id": str(node.id), "host": node.host}

    def filled(command: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(PLACEHOLDER.sub(lambda match: values[match[1]], part) for part in command)

    return CommandService(
        start=filled(service.start),
        stop=filled(service.stop),
        kill=filled(service.kill),
        status=filled(service.status),
        stop_timeout_s=service.stop_timeout_s,
    )


def _policy(config: ConfigFile) -> Policy:
    ladders = {
        Condition(name): rungs
        for name in type(config.ladders).model_fields
        if (rungs := getattr(config.ladders, name)) is not None
    }
    budgets = policy_budgets({name: getattr(config.budgets, name) for name in BUDGETS})
    knobs: dict[str, Any] = {field: budgets[name] for name, field in BUDGETS.items()}
    knobs |= {name: getattr(config.policy, name) for name in type(config.policy).model_fields}
    return Policy(
        mode=config.mode,
        seed=config.seed,
        exempt_topics=frozenset(config.replicas.exempt_topics),
        ladders=policy_ladders(ladders),
        **knobs,
    )


def _notes(cluster: Cluster) -> tuple[str, ...]:
    voters = len(cluster.voters)
    notes = []
    if voters > 1 and voters % 2 == 0:
        notes.append(
            f"{voters} controllers are an even number: they survive no more losses than "
            f"{voters - 1} would, and one more can fail."
        )
    if voters == 1:
        notes.append("There is one controller: when it is down, the cluster has no quorum.")
    if not cluster.brokers:
        notes.append("No node is a broker: only the controllers are watched.")
    return tuple(notes)
