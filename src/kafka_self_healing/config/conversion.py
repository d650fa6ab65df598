"""Sections of a file as the model's words: same names, paths made absolute."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from kafka_self_healing.config.schema_access import (
    CommandSection,
    DockerSection,
    JmxSection,
    ListenerSection,
    SaslSection,
    SshSection,
    SystemdSection,
    TlsSection,
    TokenEndpointSection,
    ZooKeeperSection,
)
from kafka_self_healing.config.schema_probes import (
    CanarySection,
    CommandProbeSection,
    HttpSection,
    LogSection,
)
from kafka_self_healing.config.section import Section
from kafka_self_healing.model.access import (
    CanaryConfig,
    CommandProbe,
    CommandService,
    DockerService,
    HttpProbe,
    JmxAccess,
    ListenerAccess,
    LogSource,
    SaslConfig,
    SshAccess,
    SystemdService,
    TlsConfig,
    TokenEndpoint,
    ZooKeeperAccess,
)

WORDS: dict[type[Section], type[Any]] = {
    TlsSection: TlsConfig,
    TokenEndpointSection: TokenEndpoint,
    SaslSection: SaslConfig,
    ListenerSection: ListenerAccess,
    JmxSection: JmxAccess,
    ZooKeeperSection: ZooKeeperAccess,
    SshSection: SshAccess,
    CommandSection: CommandService,
    SystemdSection: SystemdService,
    DockerSection: DockerService,
    LogSection: LogSource,
    HttpSection: HttpProbe,
    CommandProbeSection: CommandProbe,
    CanarySection: CanaryConfig,
}
"""Each section and the model's word for it, which has fields of the same names."""

BESIDE = {
    SaslSection: {"allow_plaintext_password"},
    CommandSection: {"manager"},
    SystemdSection: {"manager"},
    DockerSection: {"manager"},
    HttpSection: {"nodes", "roles"},
    CommandProbeSection: {"nodes", "roles"},
}
"""The keys of a section that are for the rules, and have no field in the model's word."""


def modelled(value: Any, folder: Path) -> Any:
    """Return a section, or a value of one, in the model's words; paths count from `folder`."""
    match value:
        case Section():
            word = WORDS[type(value)]
            fields = (field.name for field in dataclasses.fields(word))
            return word(**{name: modelled(getattr(value, name), folder) for name in fields})
        case Path():
            return str(folder / value)
        case tuple():
            return tuple(modelled(item, folder) for item in value)
        case _:
            return value
