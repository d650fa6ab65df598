"""How a node is reached, in words for people: addresses, TLS, logins, its host. No secrets."""

from __future__ import annotations

from kafka_self_healing.model.access import (
    CommandService,
    DockerService,
    ListenerAccess,
    SaslConfig,
    SystemdService,
    TlsConfig,
)
from kafka_self_healing.model.node import NodeConfig


def ways_to(node: NodeConfig) -> dict[str, str]:
    """Return a phrase for each way that is configured; what is not configured is left out."""
    ways = {
        "kafka": _listener(node, node.kafka_port, node.kafka),
        "controller": _listener(node, node.controller_port, node.controller),
        "zookeeper": _zookeeper(node),
        "jmx": _jmx(node),
        "host": _host(node),
        "service": _service(node),
        "log": _log(node),
        "checks": ", ".join(
            [*(one.name for one in node.http), *(one.name for one in node.commands)]
        ),
    }
    return {name: words for name, words in ways.items() if words}


def _address(node: NodeConfig, port: int) -> str:
    return f"[{node.host}]:{port}" if ":" in node.host else f"{node.host}:{port}"


def _listener(node: NodeConfig, port: int | None, access: ListenerAccess) -> str:
    if port is None:
        return ""
    return ", ".join([_address(node, port), _tls(access.tls), *_login(access.sasl)])


def _tls(tls: TlsConfig | None) -> str:
    if tls is None:
        return "plain text"
    kind = "mutual TLS" if tls.cert_file is not None else "TLS"
    name = f" (as {tls.server_name})" if tls.server_name is not None else ""
    return f"{kind}{name}" if tls.verify else f"{kind}, not verified"


def _login(sasl: SaslConfig | None) -> list[str]:
    if sasl is None:
        return []
    whose = f" as {sasl.username}" if sasl.username is not None else ""
    return [f"{sasl.mechanism.value}{whose}"]


def _zookeeper(node: NodeConfig) -> str:
    if node.zookeeper_port is None:
        return ""
    access = node.zookeeper
    words = [_address(node, node.zookeeper_port), _tls(access.tls)]
    if access.username is not None:
        words.append(f"password of {access.username}")
    if access.admin_port is not None:
        words.append(f"AdminServer {access.admin_port} by {_tls(access.admin_tls)}")
    return ", ".join(words)


def _jmx(node: NodeConfig) -> str:
    if node.jmx_port is None:
        return ""
    access = node.jmx
    words = [_address(node, node.jmx_port), _tls(access.tls)]
    if access.tls is not None and not access.registry_tls:
        words.append("its registry in plain text")
    if access.username is not None:
        words.append(f"password of {access.username}")
    if access.rmi_port is not None:
        words.append(f"RMI port {access.rmi_port}")
    return ", ".join(words)


def _host(node: NodeConfig) -> str:
    access = node.access
    if access is None:
        return f"here, if {node.host} is this machine"
    user = f"{access.user}@" if access.user is not None else ""
    port = f" port {access.port}" if access.port is not None else ""
    jump = f" through {access.jump}" if access.jump is not None else ""
    sudo = ", with sudo" if access.sudo else ""
    return f"ssh {user}{access.destination or node.host}{port}{jump}{sudo}"


def _service(node: NodeConfig) -> str:
    match node.service:
        case None:
            return ""
        case CommandService(start=start):
            return f"command {start[0]}"  # no more of it: arguments may be telling
        case SystemdService(unit=unit):
            return f"systemd {unit}"
        case DockerService(container=container, endpoint=endpoint):
            return f"docker {container}" + (f" at {endpoint}" if endpoint is not None else "")


def _log(node: NodeConfig) -> str:
    if node.log is None:
        return ""
    return node.log.file or "that of its service manager"
