"""What the system's ssh client is told: a configuration of ours before the operator's own.

It is a file and not arguments, since a client that goes through a jump host starts another client
for that one, which reads the same file: so BatchMode and host-key checking hold on every hop. What
is said first counts, so the operator's files, which are included after ours, cannot undo it.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final

from kafka_self_healing.model.access import SshAccess

SYSTEM_CONFIG: Final = "/etc/ssh/ssh_config"
USER_CONFIG: Final = "~/.ssh/config"

IDLE_S: Final = 60
"""A connection that nobody uses is closed after this time, also when we were killed (seconds)."""

ALIVE_S: Final = 5
"""A connection on which the host says nothing for three times this is given up (seconds)."""

_OURS: Final = (
    "BatchMode yes",
    "StrictHostKeyChecking yes",
    "UpdateHostKeys no",
    "ForwardAgent no",
    "ForwardX11 no",
    "PermitLocalCommand no",
    "Tunnel no",
    "LogLevel ERROR",
    f"ServerAliveInterval {ALIVE_S}",
    "ServerAliveCountMax 3",
)

_KEPT: Final = ("HOME", "USER", "LOGNAME", "PATH", "TZ", "SSH_AUTH_SOCK", "KRB5CCNAME")
"""The environment of the client. No LANG or LC_*: it would send them to the host."""


def client_environment() -> dict[str, str]:
    """Return the environment of the ssh client: what it needs for keys, agents and tickets."""
    return {key: os.environ[key] for key in _KEPT if key in os.environ}


def write_config(access: SshAccess) -> str:
    """Return the text of the client's configuration for `access`."""
    lines = [*_OURS, f"ConnectTimeout {max(1, math.ceil(access.connect_timeout_s))}"]
    if access.identity_file is not None:
        lines += [f"IdentityFile {_quoted(access.identity_file)}", "IdentitiesOnly yes"]
    if access.known_hosts_file is not None:
        lines += [
            f"UserKnownHostsFile {_quoted(access.known_hosts_file)}",
            "GlobalKnownHostsFile /dev/null",
        ]
    files = [access.config_file] if access.config_file else [USER_CONFIG, SYSTEM_CONFIG]
    included = [f"Include {_quoted(file)}" for file in files]
    return "\n".join(["Host *", *(f"    {line}" for line in lines), *included, ""])


def client_arguments(
    program: str, config: Path, control: Path, access: SshAccess
) -> tuple[str, ...]:
    """Return the arguments that every call of the client begins with, up to the destination."""
    arguments = [program, "-F", str(config), "-T", "-S", str(control).replace("%", "%%")]
    for option in ("RemoteCommand=none", "RequestTTY=no", "ClearAllForwardings=yes"):
        arguments += ["-o", option]
    if access.user is not None:
        arguments += ["-l", access.user]
    if access.port is not None:
        arguments += ["-p", str(access.port)]
    return tuple(arguments)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
