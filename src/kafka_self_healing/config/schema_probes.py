"""What is looked at beside the protocols, as a file says it: logs, URLs, programs, the canary."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from kafka_self_healing.config.scalars import (
    AbsolutePath,
    Anything,
    CheckName,
    Count,
    Flag,
    Headers,
    Id,
    Number,
    Pointer,
    Seconds,
    SecretHeaders,
    SecretText,
    Status,
    Text,
    TopicName,
    Url,
    choice,
    one_or_more,
)
from kafka_self_healing.config.schema_access import Command, Tls
from kafka_self_healing.config.section import FILLED, Section
from kafka_self_healing.model.access import CanaryConfig, CommandProbe, HttpProbe, LogSource
from kafka_self_healing.model.evidence import CLUSTER_KINDS, Kind
from kafka_self_healing.model.node import Role

RoleName = Annotated[Role, choice(Role, "role")]

_OF_OTHERS = "it is what other nodes say, and no check of one node stands for that"
_NO_STAND_IN = dict.fromkeys(CLUSTER_KINDS, _OF_OTHERS) | {
    Kind.CUSTOM: "that is what the check is already"
}
_StandsFor = Annotated[Kind, choice(Kind, "kind", unsupported=_NO_STAND_IN)]

_CANARY = CanaryConfig("")
_PROBE = CommandProbe("", ())
_HTTP = HttpProbe("", "")


class LogSection(Section):
    """Where a node's last log lines are. `file` None: its service manager's own log."""

    file: Annotated[AbsolutePath | None, FILLED] = None
    lines: Count = LogSource().lines


class ProbeSection(Section):
    """What all extra checks share. Neither `nodes` nor `roles`: every node."""

    name: CheckName = Field(examples=["rest-proxy"])
    nodes: Annotated[tuple[Id, ...], Field(min_length=1)] | None = None
    roles: Annotated[tuple[RoleName, ...], Field(min_length=1)] | None = None
    stands_for: _StandsFor | None = None


class HttpSection(ProbeSection):
    """A URL to be asked, and what a good answer is."""

    url: Annotated[Url, FILLED] = Field(examples=["http://{host}:8082/topics"])
    status: Annotated[tuple[Status, ...], Field(min_length=1), BeforeValidator(one_or_more)] = (
        _HTTP.status
    )
    body: Text | None = None
    pointer: Pointer | None = None
    metric: Text | None = None
    equals: Anything | None = None
    at_least: Number | None = None
    at_most: Number | None = None
    username: Text | None = None
    password: SecretText | None = None
    bearer: SecretText | None = None
    headers: Headers = Field(default_factory=dict)
    secret_headers: SecretHeaders = Field(default_factory=dict)
    tls: Tls = None


class CommandProbeSection(ProbeSection):
    """A program with Nagios' exit codes."""

    argv: Annotated[Command, FILLED] = Field(
        examples=["[/usr/lib/nagios/plugins/check_load, -w, '8', -c, '16']"]
    )
    on_host: Flag = _PROBE.on_host
    timeout_s: Seconds = _PROBE.timeout_s
    interval_s: Seconds = _PROBE.interval_s


class CanarySection(Section):
    """Records produced and consumed through each broker's own leadership."""

    topic: TopicName = Field(examples=["healer-canary"])
    create: Flag = _CANARY.create
    interval_s: Seconds = _CANARY.interval_s
    retention_s: Seconds = _CANARY.retention_s
