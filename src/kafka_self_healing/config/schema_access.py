"""How nodes are reached, as a file says it: TLS, logins, the JMX agent, ssh, service managers."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag

from kafka_self_healing.config.document import Scalar
from kafka_self_healing.config.scalars import (
    ContainerName,
    FilePath,
    Flag,
    Port,
    Seconds,
    SecretText,
    Text,
    UnitName,
    Url,
    Word,
    choice,
    empty_section,
    said,
    shown,
)
from kafka_self_healing.config.section import FILLED, Section
from kafka_self_healing.model.access import (
    CommandService,
    DockerService,
    SaslConfig,
    SaslMechanism,
    SshAccess,
)

Optional = BeforeValidator(empty_section)
"""For a section of which every key may be left out."""

_STOP_TIMEOUT_S = CommandService((), (), (), ()).stop_timeout_s
_DOCKER = DockerService("")
_SSH = SshAccess()


class TlsSection(Section):
    """TLS as a client; in the file also `true` (the system's certificates) or `false`."""

    ca_file: FilePath | None = None
    cert_file: FilePath | None = None
    key_file: FilePath | None = None
    key_password: SecretText | None = None
    server_name: Annotated[Word | None, FILLED] = None
    verify: Flag = True
    strict: Flag = True


def _tls(value: object) -> object:
    """Read `true` and `false`; an empty `tls:` is refused, since it could mean either."""
    match value:
        case bool() as wanted:
            return {} if wanted else None
        case Scalar(plain=True) if value in {"true", "false"}:
            return {} if value == "true" else None
        case None:
            raise said("is empty: write true (the system's certificates), false, or its keys")
        case str():
            raise said(
                f"must be true, false or a mapping with keys such as ca_file, not {shown(value)}"
            )
    return value


Tls = Annotated[TlsSection | None, BeforeValidator(_tls)]


class TokenEndpointSection(Section):
    """Where an OAUTHBEARER token comes from, with the client's own credentials."""

    url: Url = Field(examples=["https://login.example.org/oauth2/token"])
    client_id: Text = Field(examples=["kafka-self-healing"])
    client_secret: SecretText = Field(examples=["${OIDC_SECRET}"])
    scope: Text | None = None
    tls: Tls = None


class SaslSection(Section):
    """One login at a Kafka listener. Which keys go together is in `rules`."""

    mechanism: Annotated[SaslMechanism, choice(SaslMechanism, "mechanism")] = Field(
        examples=["SCRAM-SHA-512"]
    )
    username: Text | None = None
    password: SecretText | None = None
    token: SecretText | None = None
    token_file: FilePath | None = None
    token_endpoint: TokenEndpointSection | None = None
    service_name: Text = SaslConfig(SaslMechanism.GSSAPI).service_name
    allow_plaintext_password: Flag = False


def _sasl(value: object) -> object:
    if value is None:
        raise said("is empty: write mechanism and what belongs to it, or remove it")
    return value


class ListenerSection(Section):
    """How the Kafka listener, or the controllers' one, is spoken to."""

    tls: Tls = None
    sasl: Annotated[SaslSection | None, BeforeValidator(_sasl)] = None


class JmxSection(Section):
    """How the JMX agent is spoken to."""

    username: Text | None = None
    password: SecretText | None = None
    tls: Tls = None
    registry_tls: Flag = True
    rmi_port: Port | None = None


class ZooKeeperSection(Section):
    """How an ensemble member is spoken to."""

    tls: Tls = None
    admin_port: Port | None = None
    admin_tls: Tls = None
    username: Text | None = None
    password: SecretText | None = None


class SecuritySection(Section):
    """One section for each protocol; a node's own one replaces the cluster's of the same name."""

    kafka: Annotated[ListenerSection, Optional] = ListenerSection()
    controller: Annotated[ListenerSection, Optional] = ListenerSection()
    jmx: Annotated[JmxSection, Optional] = JmxSection()
    zookeeper: Annotated[ZooKeeperSection, Optional] = ZooKeeperSection()


class SshSection(Section):
    """A host behind the system's ssh client."""

    destination: Annotated[Word | None, FILLED] = None
    user: Word | None = None
    port: Port | None = None
    identity_file: FilePath | None = None
    config_file: FilePath | None = None
    known_hosts_file: FilePath | None = None
    jump: Annotated[Word | None, FILLED] = None
    sudo: Flag = _SSH.sudo
    connect_timeout_s: Seconds = _SSH.connect_timeout_s


class AccessSection(Section):
    """How the node's host is asked. `ssh` None (in the file `local`): it is this machine."""

    ssh: Annotated[SshSection | None, Optional] = None


LOCAL = "local"


def _access(value: object) -> object:
    if isinstance(value, str):
        if value == LOCAL:
            return {}
        raise said(f"must be {LOCAL}, or a mapping with the key ssh, not {shown(value)}")
    if value is None or value == {}:
        raise said(f"is empty: write {LOCAL} (the healer's own machine), or ssh: {{…}}")
    return value


Access = Annotated[AccessSection | None, BeforeValidator(_access)]


class ServiceManager(StrEnum):
    """Who starts and stops a node's process."""

    COMMAND = "command"
    SYSTEMD = "systemd"
    DOCKER = "docker"


_Manager = Annotated[ServiceManager, choice(ServiceManager, "service manager")]
Command = Annotated[tuple[Text, ...], Field(min_length=1)]


class CommandSection(Section):
    """The operator's own programs: argument lists, with `{id}` and `{host}` of the node."""

    manager: _Manager = ServiceManager.COMMAND
    start: Annotated[Command, FILLED] = Field(
        examples=["[/usr/local/bin/kafka-ctl, start, '{id}']"]
    )
    stop: Annotated[Command, FILLED] = Field(examples=["[/usr/local/bin/kafka-ctl, stop, '{id}']"])
    kill: Annotated[Command, FILLED] = Field(examples=["[/usr/local/bin/kafka-ctl, kill, '{id}']"])
    status: Annotated[Command, FILLED] = Field(
        examples=["[/usr/local/bin/kafka-ctl, status, '{id}']"]
    )
    stop_timeout_s: Seconds = _STOP_TIMEOUT_S


class SystemdSection(Section):
    """A unit of the node's host. `sudo` None: as the host's access says."""

    manager: _Manager
    unit: Annotated[UnitName, FILLED] = Field(examples=["kafka"])
    sudo: Flag | None = None


class DockerSection(Section):
    """A container, by the `docker` program (or one like it) on the node's host."""

    manager: _Manager
    container: Annotated[ContainerName, FILLED] = Field(examples=["kafka-1"])
    program: Text = _DOCKER.program
    endpoint: Annotated[Word | None, FILLED] = None
    stop_timeout_s: Seconds = _DOCKER.stop_timeout_s


class UnknownServiceSection(Section):
    """Says only that there is no such manager, not what its keys are."""

    model_config = ConfigDict(extra="ignore")

    manager: _Manager


SERVICES: dict[str, type[Section]] = {
    ServiceManager.COMMAND: CommandSection,
    ServiceManager.SYSTEMD: SystemdSection,
    ServiceManager.DOCKER: DockerSection,
    "": UnknownServiceSection,
}
"""The keys of each manager, by the tag that stands in the place of a problem."""


def _manager(value: Any) -> str:
    if isinstance(value, Section):
        return next(tag for tag, section in SERVICES.items() if type(value) is section)
    if not isinstance(value, Mapping):
        return ServiceManager.COMMAND
    named = value.get("manager", ServiceManager.COMMAND.value)
    return str(named) if isinstance(named, str) and named in SERVICES else ""


ServiceSection = CommandSection | SystemdSection | DockerSection
Service = Annotated[
    Annotated[CommandSection, Tag("command")]
    | Annotated[SystemdSection, Tag("systemd")]
    | Annotated[DockerSection, Tag("docker")]
    | Annotated[UnknownServiceSection, Tag("")],
    Discriminator(_manager),
]
