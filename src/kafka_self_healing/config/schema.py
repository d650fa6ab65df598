"""What may be written in a configuration file: one frozen pydantic model a section.

Single values are checked here; what concerns several values is in `rules`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

from pydantic import Field, create_model

from kafka_self_healing.config.scalars import (
    AbsolutePath,
    Bytes,
    ClusterName,
    Count,
    Endpoint,
    FilePath,
    Flag,
    Fraction,
    HostName,
    Hour,
    Id,
    MailAddress,
    Port,
    Seconds,
    SecretText,
    Seed,
    Text,
    TopicName,
    choice,
)
from kafka_self_healing.config.schema_access import Access, Optional, SecuritySection, Service
from kafka_self_healing.config.schema_probes import (
    CanarySection,
    CommandProbeSection,
    HttpSection,
    LogSection,
    RoleName,
)
from kafka_self_healing.config.section import FILLED, Section
from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.model.incident import HEALABLE
from kafka_self_healing.model.node import Cluster, ClusterMode, Duty
from kafka_self_healing.model.policy import HungStop, Mode, Policy, Rung
from kafka_self_healing.model.recovery import RetryPolicy
from kafka_self_healing.secret import Secret


class LogLevel(StrEnum):
    """The least severe line that the daemon's own log keeps."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


MetadataMode = Annotated[ClusterMode, choice(ClusterMode, "cluster mode")]
KindName = Annotated[Kind, choice(Kind, "kind")]

_RUNG = Rung("service:start")
_RETRY = RetryPolicy()


class NodeDefaults(Section):
    """What a node says, or the cluster for every node that does not say it itself.

    A port counts for the nodes of its role alone. `null` at a node takes the cluster's away.
    """

    kafka_port: Port | None = None
    controller_port: Port | None = None
    zookeeper_port: Port | None = None
    jmx_port: Port | None = None
    data_dirs: Annotated[tuple[AbsolutePath, ...], FILLED] = ()
    security: Annotated[SecuritySection, Optional] = SecuritySection()
    access: Access = None
    service: Service | None = None
    log: LogSection | None = None


class NodeSection(NodeDefaults):
    """One node of the inventory."""

    id: Id = Field(examples=["1"])
    roles: Annotated[tuple[RoleName, ...], Field(min_length=1)] = Field(
        examples=["[broker, controller]"]
    )
    host: HostName = Field(examples=["kafka-1.example.org"])
    rack: Text | None = None


class ClusterConfig(NodeDefaults):
    """The `cluster` section: the inventory and the session lengths (seconds).

    `session_timeout_s` None: the default of the mode.
    """

    name: ClusterName = Field(examples=["orders"])
    mode: MetadataMode = ClusterMode.KRAFT
    session_timeout_s: Seconds | None = None
    fetch_timeout_s: Seconds = Cluster("").fetch_timeout_s
    tick_s: Seconds = Cluster("").tick_s
    nodes: Annotated[tuple[NodeSection, ...], Field(min_length=1)] = Field(
        examples=["[{id: 1, roles: [broker, controller], host: kafka-1, …}]"]
    )


class ChecksConfig(Section):
    """The `checks` section: None means every kind that a node's settings make possible."""

    kinds: Annotated[tuple[KindName, ...], Field(min_length=1)] | None = None
    http: tuple[HttpSection, ...] = ()
    commands: tuple[CommandProbeSection, ...] = ()
    canary: CanarySection | None = None


class ViewpointConfig(Section):
    """The `viewpoint` section: where we look from."""

    reference_hosts: tuple[Endpoint, ...] = ()


ELSEWHERE = {
    "mode": "mode",
    "seed": "seed",
    "exempt_topics": "replicas.exempt_topics",
    "node_budget": "budgets.node",
    "start_budget": "budgets.cluster_start",
    "restart_budget": "budgets.cluster_restart",
    "fleet_budget": "budgets.fleet",
    "ladders": "ladders",
    "role_ladders": "role_ladders",
    "signs": "",
}
"""The fields of `Policy` that are no scalar knobs, and where the file says them ("": nowhere)."""

BUDGETS = {
    "node": "node_budget",
    "cluster_start": "start_budget",
    "cluster_restart": "restart_budget",
    "fleet": "fleet_budget",
}
"""The keys of `budgets` and the fields of `Policy` that they set."""


def _knob_type(name: str, hint: Any) -> Any:
    if hint is HungStop:
        return Annotated[HungStop, choice(HungStop, "way to stop")]
    if hint is bool:
        return Flag
    if hint is int:
        return Hour if name.endswith("_hour") else Count
    assert hint is float, f"Policy.{name} has a type that the configuration cannot read"
    return Seconds if name.endswith("_s") else Fraction


def _knobs() -> dict[str, Any]:
    hints = get_type_hints(Policy)
    return {
        field.name: (_knob_type(field.name, hints[field.name]), field.default)
        for field in dataclasses.fields(Policy)
        if field.name not in ELSEWHERE
    }


class RungConfig(Section):
    """One rung of a ladder."""

    action: Text = Field(examples=["service:start"])
    attempts: Count = _RETRY.attempts
    base_s: Seconds = _RETRY.base_s
    cap_s: Seconds = _RETRY.cap_s
    jitter: Fraction = _RETRY.jitter
    limit_s: Seconds = _RUNG.limit_s


class BudgetConfig(Section):
    """At most `acts` in any window of `window_s`; what is not said keeps its default."""

    acts: Count | None = None
    window_s: Seconds | None = None


if TYPE_CHECKING:

    class PolicyKnobs(Section):
        """The `policy` section: every scalar of `model.policy.Policy` by its name."""

    class Ladders(Section):
        """The `ladders` section: rungs for each condition that an act can heal."""

    class RoleLadders(Section):
        """The `role_ladders` section: ladders of nodes of one sort, in place of `ladders`."""

    class Budgets(Section):
        """The `budgets` section."""

else:
    # Made from the dataclasses of the model, so that no knob is listed twice.
    _LADDER = Annotated[tuple[RungConfig, ...], Field(min_length=1)] | None
    PolicyKnobs = create_model("PolicyKnobs", __base__=Section, **_knobs())
    Ladders = create_model(
        "Ladders",
        __base__=Section,
        **{condition.value: (_LADDER, None) for condition in sorted(HEALABLE)},
    )
    RoleLadders = create_model(
        "RoleLadders",
        __base__=Section,
        **{duty.value: (Annotated[Ladders, Optional], Ladders()) for duty in Duty},
    )
    Budgets = create_model(
        "Budgets",
        __base__=Section,
        **{name: (BudgetConfig, BudgetConfig()) for name in BUDGETS},
    )


class ReplicasConfig(Section):
    """The `replicas` section: topics whose replicas need not be kept safe."""

    exempt_topics: tuple[TopicName, ...] = ()


class EmailConfig(Section):
    """Mail by SMTP. `sender` is `from` in the file."""

    host: HostName = Field(examples=["mail.example.org"])
    port: Port = 25
    sender: MailAddress = Field(alias="from", examples=["kafka@example.org"])
    to: Annotated[tuple[MailAddress, ...], Field(min_length=1)] = Field(
        examples=["[ops@example.org]"]
    )
    username: Text | None = None
    password: SecretText | None = None
    starttls: Flag = False
    timeout_s: Seconds = 10.0
    hello_name: HostName | None = None


class NotificationConfig(Section):
    """The `notifications` section: the channels. Grouping and repetition are policy."""

    email: EmailConfig | None = None


class LoggingConfig(Section):
    """The `logging` section. `file` None: standard error. `as_json` is `json` in the file."""

    level: Annotated[LogLevel, choice(LogLevel, "level")] = LogLevel.INFO
    as_json: Flag = Field(default=True, alias="json")
    file: FilePath | None = None
    max_bytes: Bytes = 10_000_000
    keep: Count = 5


class AuditConfig(Section):
    """The `audit` section. `file` None: `audit.jsonl` in the state folder."""

    file: FilePath | None = None


class ConfigFile(Section):
    """A whole file."""

    mode: Annotated[Mode, choice(Mode, "mode")] = Mode.OBSERVE
    state_dir: FilePath | None = None
    seed: Seed = 0
    cluster: ClusterConfig = Field(examples=["{name: orders, nodes: […]}"])
    checks: Annotated[ChecksConfig, Optional] = ChecksConfig()
    viewpoint: Annotated[ViewpointConfig, Optional] = ViewpointConfig()
    policy: Annotated[PolicyKnobs, Optional] = PolicyKnobs()
    ladders: Annotated[Ladders, Optional] = Ladders()
    role_ladders: Annotated[RoleLadders, Optional] = RoleLadders()
    budgets: Annotated[Budgets, Optional] = Budgets()
    replicas: Annotated[ReplicasConfig, Optional] = ReplicasConfig()
    notifications: Annotated[NotificationConfig, Optional] = NotificationConfig()
    logging: Annotated[LoggingConfig, Optional] = LoggingConfig()
    audit: Annotated[AuditConfig, Optional] = AuditConfig()


def _secret_keys(section: type[Section], seen: set[type[Section]]) -> Iterator[str]:
    seen.add(section)
    for name, field in section.model_fields.items():
        mentioned = set(_mentioned(field.annotation))
        if Secret in mentioned:
            yield field.alias or name
        for kind in mentioned - seen:
            if issubclass(kind, Section):
                yield from _secret_keys(kind, seen)


def _mentioned(annotation: Any) -> Iterator[type[Any]]:
    if isinstance(annotation, type):
        yield annotation
    for part in get_args(annotation):
        yield from _mentioned(part)


SECRET_KEYS = frozenset(_secret_keys(ConfigFile, set()))
"""The keys whose values are secret: nothing below them is ever named in a message."""
