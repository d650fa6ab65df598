"""How a node is reached: TLS, logins, its host, its service manager, and extra things to ask.

Everything here is what the operator configured; nothing of it is a default of Kafka's. None means
"not configured": plain text, no login, this machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.secret import Secret


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """One TLS client setting. Files are PEM; they are read again when they were exchanged.

    `ca_file` None: the system's certificates. `server_name`: the name that the certificate must
    bear, if it is not the host. `strict`: RFC 5280 to the letter, which home-made certificates
    without keyUsage do not pass.
    """

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    key_password: Secret | None = None
    server_name: str | None = None
    verify: bool = True
    strict: bool = True


class SaslMechanism(StrEnum):
    """How a client proves who it is."""

    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"
    OAUTHBEARER = "OAUTHBEARER"
    GSSAPI = "GSSAPI"


@dataclass(frozen=True, slots=True)
class TokenEndpoint:
    """An OpenID Connect provider's token endpoint, asked with the client's own credentials."""

    url: str
    client_id: str
    client_secret: Secret
    scope: str | None = None
    tls: TlsConfig | None = None


@dataclass(frozen=True, slots=True)
class SaslConfig:
    """One login. PLAIN and SCRAM: user and password. OAUTHBEARER: one of the three token sources.

    `token_file` is read again at each login; GSSAPI uses the ticket of the process.
    """

    mechanism: SaslMechanism
    username: str | None = None
    password: Secret | None = None
    token: Secret | None = None
    token_file: str | None = None
    token_endpoint: TokenEndpoint | None = None
    service_name: str = "kafka"


@dataclass(frozen=True, slots=True)
class ListenerAccess:
    """How a Kafka listener is spoken to; both None: PLAINTEXT."""

    tls: TlsConfig | None = None
    sasl: SaslConfig | None = None


@dataclass(frozen=True, slots=True)
class JmxAccess:
    """How the JMX agent is spoken to. `rmi_port` None: as the registry says.

    `registry_tls`: whether the registry speaks TLS too; it counts only with `tls`.
    """

    username: str | None = None
    password: Secret | None = None
    tls: TlsConfig | None = None
    registry_tls: bool = True
    rmi_port: int | None = None


@dataclass(frozen=True, slots=True)
class ZooKeeperAccess:
    """How an ensemble member is spoken to. `admin_port` None: no AdminServer is asked.

    `username`, `password`: SASL DIGEST-MD5 of the optional kazoo client.
    """

    tls: TlsConfig | None = None
    admin_port: int | None = None
    admin_tls: TlsConfig | None = None
    username: str | None = None
    password: Secret | None = None


@dataclass(frozen=True, slots=True)
class SshAccess:
    """A host behind the system's ssh client, which reads the operator's own ssh_config.

    `destination` None: the node's host. `sudo`: privileged commands go through `sudo -n`.
    Host keys are always checked; `known_hosts_file` names another file than ssh's own.
    """

    destination: str | None = None
    user: str | None = None
    port: int | None = None
    identity_file: str | None = None
    config_file: str | None = None
    known_hosts_file: str | None = None
    jump: str | None = None
    sudo: bool = False
    connect_timeout_s: float = 5.0


@dataclass(frozen=True, slots=True)
class CommandService:
    """Service manager `command`: the operator's own programs (argument lists, never a shell).

    `status` prints `key=value` lines (see docs/service-command.md) or only an LSB exit code.
    """

    start: tuple[str, ...]
    stop: tuple[str, ...]
    kill: tuple[str, ...]
    status: tuple[str, ...]
    stop_timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class SystemdService:
    """Service manager `systemd`. The limit of a stop is the unit's own (TimeoutStopUSec)."""

    unit: str
    sudo: bool | None = None
    """None: as the host's access says."""


@dataclass(frozen=True, slots=True)
class DockerService:
    """Service manager `docker`: one container, by the `docker` program on the node's host.

    `endpoint`: what `docker --host` gets (`unix://…`, `ssh://…`); None: the program's own choice.
    `stop_timeout_s` is given to `docker stop`.
    """

    container: str
    program: str = "docker"
    endpoint: str | None = None
    stop_timeout_s: float = 30.0


Service = CommandService | SystemdService | DockerService


@dataclass(frozen=True, slots=True)
class LogSource:
    """Where the node's last log lines are; all None: the journal of its systemd unit."""

    file: str | None = None
    lines: int = 50


@dataclass(frozen=True, slots=True)
class HttpProbe:
    """A URL to be asked, and what a good answer is.

    `pointer`: a JSON pointer (RFC 6901) into the answer; `metric`: a line of a Prometheus text;
    either is held against `equals`, `at_least` or `at_most`. `body`: a text that must occur.
    `secret_headers` are sent like `headers`, and hold credentials such as an API key.
    `stands_for`: the kind of evidence that it is as good as; None: it alerts, no more.
    """

    name: str
    url: str
    status: tuple[int, ...] = (200,)
    body: str | None = None
    pointer: str | None = None
    metric: str | None = None
    equals: str | float | bool | None = None
    at_least: float | None = None
    at_most: float | None = None
    username: str | None = None
    password: Secret | None = None
    bearer: Secret | None = None
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    secret_headers: Mapping[str, Secret] = field(default_factory=dict, hash=False)
    tls: TlsConfig | None = None
    stands_for: Kind | None = None


@dataclass(frozen=True, slots=True)
class CommandProbe:
    """A program with Nagios' exit codes, run here (`on_host` False) or on the node's host."""

    name: str
    argv: tuple[str, ...]
    on_host: bool = False
    timeout_s: float = 10.0
    interval_s: float = 60.0
    stands_for: Kind | None = None


@dataclass(frozen=True, slots=True)
class CanaryConfig:
    """Records produced and consumed through each broker's own leadership.

    `topic`: made by the operator or, with `create`, by us, with one partition led by each broker.
    """

    topic: str
    create: bool = False
    interval_s: float = 30.0
    retention_s: float = 3600.0
