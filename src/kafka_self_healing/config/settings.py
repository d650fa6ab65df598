"""`Settings`: a checked configuration in the words of the model, ready for the composition root."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kafka_self_healing.config.conversion import modelled
from kafka_self_healing.config.inheritance import complete, fill_in
from kafka_self_healing.config.kinds import is_meant, possible_kinds
from kafka_self_healing.config.notes import notes_of
from kafka_self_healing.config.policies import policy_of
from kafka_self_healing.config.schema import (
    ChecksConfig,
    ConfigFile,
    LoggingConfig,
    NodeSection,
    NotificationConfig,
)
from kafka_self_healing.model.node import Cluster, ClusterMode, NodeConfig, NodeId
from kafka_self_healing.model.policy import Mode, Policy

DEFAULT_STATE_DIR = "kafka-self-healing-state"

SESSION_S = {ClusterMode.KRAFT: Cluster("").session_timeout_s, ClusterMode.ZOOKEEPER: 18.0}
"""The brokers' session in each mode by Kafka's own defaults (seconds)."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All that one file says. Paths are absolute; `mode` and `seed` are in `policy` too.

    `logging.file` is absolute as well. `notes` are sentences about what is allowed but unusual.
    `here`: the nodes of which the file says that their host is this machine.
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
    here: frozenset[NodeId] = frozenset()


def settings_of(
    config: ConfigFile, source: Path, environ: Mapping[str, str], notes: tuple[str, ...] = ()
) -> Settings:
    """Build the settings from a file that passed all checks; `notes` come before our own.

    A path without a leading `/` counts from the folder of the file, wherever the daemon is started.
    """
    folder = source.absolute().parent
    state_dir = usual_state_dir(folder, config.state_dir, environ)
    log_file = config.logging.file
    logging = config.logging
    if log_file is not None:
        logging = logging.model_copy(update={"file": folder / log_file})
    nodes = [complete(node, config.cluster) for node in config.cluster.nodes]
    cluster = _cluster(config, nodes, folder)
    return Settings(
        source=source.absolute(),
        mode=config.mode,
        state_dir=state_dir,
        cluster=cluster,
        policy=policy_of(config),
        notification=config.notifications,
        logging=logging,
        audit_file=folder / config.audit.file if config.audit.file else state_dir / "audit.jsonl",
        notes=(*notes, *notes_of(cluster, config.checks)),
        here=frozenset(
            node.id for node in nodes if node.access is not None and node.access.ssh is None
        ),
    )


def usual_state_dir(folder: Path, written: Path | None, environ: Mapping[str, str]) -> Path:
    """Return the state folder of a file in `folder` that says `written`, or nothing of it."""
    # systemd sets STATE_DIRECTORY, to several folders joined by colons if there are several.
    usual = environ.get("STATE_DIRECTORY", "").partition(":")[0] or DEFAULT_STATE_DIR
    return folder / (written or usual)


def _cluster(file: ConfigFile, nodes: list[NodeSection], folder: Path) -> Cluster:
    config, checks = file.cluster, file.checks
    return Cluster(
        name=config.name,
        mode=config.mode,
        nodes={node.id: _node(node, checks, folder) for node in nodes},
        session_timeout_s=config.session_timeout_s or SESSION_S[config.mode],
        fetch_timeout_s=config.fetch_timeout_s,
        tick_s=config.tick_s,
        canary=modelled(checks.canary, folder),
        reference_hosts=file.viewpoint.reference_hosts,
    )


def _node(node: NodeSection, checks: ChecksConfig, folder: Path) -> NodeConfig:
    http = [fill_in(probe, node, url=True) for probe in checks.http if is_meant(node, probe)]
    commands = [fill_in(probe, node) for probe in checks.commands if is_meant(node, probe)]
    possible = possible_kinds(node, [*http, *commands], canary=checks.canary is not None)
    security = node.security
    return NodeConfig(
        id=node.id,
        roles=frozenset(node.roles),
        host=node.host,
        rack=node.rack,
        kafka_port=node.kafka_port,
        controller_port=node.controller_port,
        zookeeper_port=node.zookeeper_port,
        jmx_port=node.jmx_port,
        data_dirs=node.data_dirs,
        service=modelled(node.service, folder),
        access=modelled(node.access.ssh, folder) if node.access is not None else None,
        kafka=modelled(security.kafka, folder),
        controller=modelled(security.controller, folder),
        jmx=modelled(security.jmx, folder),
        zookeeper=modelled(security.zookeeper, folder),
        log=modelled(node.log, folder),
        http=modelled(tuple(http), folder),
        commands=modelled(tuple(commands), folder),
        kinds=possible if checks.kinds is None else possible & frozenset(checks.kinds),
    )
