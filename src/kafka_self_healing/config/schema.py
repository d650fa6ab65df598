"""What may be written in a configuration file: one frozen pydantic model a section.

Single values are checked here; what concerns several values is in `rules`.
"""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model

from kafka_self_healing.config.scalars import (
    AbsolutePath,
    Bytes,
    ClusterName,
    Count,
    FilePath,
    Flag,
    Fraction,
    HostName,
    Id,
    MailAddress,
    Port,
    Seconds,
    SecretText,
    Seed,
    Text,
    TopicName,
    choice,
    empty_section,
)
from kafka_self_healing.model.access import CommandService
from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.model.incident import HEALABLE
from kafka_self_healing.model.node import ClusterMode, Role
from kafka_self_healing.model.policy import HungStop, Mode, Policy, Rung
from kafka_self_healing.model.recovery import RetryPolicy

_LATER = "not supported in this version"
_UNSUPPORTED_KINDS = {
    Kind.LOG: "no log source can be configured in this version",
    Kind.CERTIFICATE: "certificates are not checked in this version",
    Kind.CANARY: "no canary is written in this version",
    Kind.CUSTOM: "third-party checks are not supported in this version",
}


class Section(BaseModel):
    """A mapping of the file: its keys are closed, its values never change once read."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, populate_by_name=False
    )


class ServiceManager(StrEnum):
    """Who starts and stops a node's process."""

    COMMAND = "command"


class LogLevel(StrEnum):
    """The least severe line that the daemon's own log keeps."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


RoleName = Annotated[Role, choice(Role, "role", unsupported={Role.ENSEMBLE: _LATER})]
MetadataMode = Annotated[
    ClusterMode, choice(ClusterMode, "cluster mode", unsupported={ClusterMode.ZOOKEEPER: _LATER})
]
KindName = Annotated[Kind, choice(Kind, "kind", unsupported=_UNSUPPORTED_KINDS)]
Command = Annotated[tuple[Text, ...], Field(min_length=1)]

_STOP_TIMEOUT_S = CommandService((), (), (), ()).stop_timeout_s
_RUNG = Rung("service:start")
_RETRY = RetryPolicy()


class ServiceConfig(Section):
    """The operator's own programs: argument lists, with `{id}` and `{host}` of the node."""

    manager: Annotated[ServiceManager, choice(ServiceManager, "service manager")] = (
        ServiceManager.COMMAND
    )
    start: Command = Field(examples=["[/usr/local/bin/kafka-ctl, start, '{id}']"])
    stop: Command = Field(examples=["[/usr/local/bin/kafka-ctl, stop, '{id}']"])
    kill: Command = Field(examples=["[/usr/local/bin/kafka-ctl, kill, '{id}']"])
    status: Command = Field(examples=["[/usr/local/bin/kafka-ctl, status, '{id}']"])
    stop_timeout_s: Seconds = _STOP_TIMEOUT_S


class NodeSection(Section):
    """One node of the inventory."""

    id: Id = Field(examples=["1"])
    roles: Annotated[tuple[RoleName, ...], Field(min_length=1)] = Field(
        examples=["[broker, controller]"]
    )
    host: HostName = Field(examples=["kafka-1.example.org"])
    rack: Text | None = None
    kafka_port: Port | None = None
    controller_port: Port | None = None
    jmx_port: Port | None = None
    data_dirs: tuple[AbsolutePath, ...] = ()
    service: ServiceConfig | None = None


class ClusterConfig(Section):
    """The `cluster` section: the inventory and the session lengths (seconds)."""

    name: ClusterName = Field(examples=["orders"])
    mode: MetadataMode = ClusterMode.KRAFT
    session_timeout_s: Seconds = 9.0
    fetch_timeout_s: Seconds = 2.0
    service: ServiceConfig | None = None
    nodes: Annotated[tuple[NodeSection, ...], Field(min_length=1)] = Field(
        examples=["[{id: 1, roles: [broker, controller], host: kafka-1, …}]"]
    )


class ChecksConfig(Section):
    """The `checks` section: None means every kind that a node's settings make possible."""

    kinds: Annotated[tuple[KindName, ...], Field(min_length=1)] | None = None


ELSEWHERE = {
    "mode": "mode",
    "seed": "seed",
    "exempt_topics": "replicas.exempt_topics",
    "node_budget": "budgets.node",
    "start_budget": "budgets.cluster_start",
    "restart_budget": "budgets.cluster_restart",
    "fleet_budget": "budgets.fleet",
    "ladders": "ladders",
}
"""The fields of `Policy` that are no scalar knobs, and where the file says them."""

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
    if hint is int:
        return Count
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


_Optional = BeforeValidator(empty_section)


class ConfigFile(Section):
    """A whole file."""

    mode: Annotated[Mode, choice(Mode, "mode")] = Mode.OBSERVE
    state_dir: FilePath | None = None
    seed: Seed = 0
    cluster: ClusterConfig = Field(examples=["{name: orders, nodes: […]}"])
    checks: Annotated[ChecksConfig, _Optional] = ChecksConfig()
    policy: Annotated[PolicyKnobs, _Optional] = PolicyKnobs()
    ladders: Annotated[Ladders, _Optional] = Ladders()
    budgets: Annotated[Budgets, _Optional] = Budgets()
    replicas: Annotated[ReplicasConfig, _Optional] = ReplicasConfig()
    notifications: Annotated[NotificationConfig, _Optional] = NotificationConfig()
    logging: Annotated[LoggingConfig, _Optional] = LoggingConfig()
    audit: Annotated[AuditConfig, _Optional] = AuditConfig()
