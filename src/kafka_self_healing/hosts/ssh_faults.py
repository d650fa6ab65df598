"""What the ssh client says when it comes to nothing: which fault it is, and what to do about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kafka_self_healing.errors import CheckError
from kafka_self_healing.model.evidence import Outcome


class SshFault(StrEnum):
    """The ways in which a host cannot be asked."""

    HOST_KEY_CHANGED = "host_key_changed"
    HOST_KEY_UNKNOWN = "host_key_unknown"
    PERMISSION_DENIED = "permission_denied"
    SUDO_DENIED = "sudo_denied"
    MISCONFIGURED = "misconfigured"
    NO_CLIENT = "no_client"
    UNKNOWN_HOST = "unknown_host"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    SILENT_BANNER = "silent_banner"
    TIMED_OUT = "timed_out"
    RESET = "reset"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class _Kind:
    outcome: Outcome
    advice: str
    permanent: bool = False


KINDS: Final = {
    SshFault.HOST_KEY_CHANGED: _Kind(
        Outcome.AUTHENTICATION,
        "the host key has changed: somebody else answers, or the host was installed anew; then "
        "replace the old key in known_hosts",
        permanent=True,
    ),
    SshFault.HOST_KEY_UNKNOWN: _Kind(
        Outcome.AUTHENTICATION,
        "the host key is not known: compare its fingerprint on the host and add it to known_hosts",
        permanent=True,
    ),
    SshFault.PERMISSION_DENIED: _Kind(
        Outcome.AUTHENTICATION,
        "the login is refused: put the healer's public key into the user's authorized_keys",
        permanent=True,
    ),
    SshFault.SUDO_DENIED: _Kind(
        Outcome.AUTHORISATION,
        "sudo refuses without a password: give the user the right in sudoers (NOPASSWD)",
        permanent=True,
    ),
    SshFault.MISCONFIGURED: _Kind(
        Outcome.PROTOCOL, "the ssh client cannot work with its settings", permanent=True
    ),
    SshFault.NO_CLIENT: _Kind(
        Outcome.PROTOCOL, "the healer's machine has no ssh client: install it", permanent=True
    ),
    SshFault.UNKNOWN_HOST: _Kind(Outcome.UNREACHABLE, "the name is not known"),
    SshFault.REFUSED: _Kind(
        Outcome.REFUSED, "the connection is refused: the machine lives, its sshd does not listen"
    ),
    SshFault.UNREACHABLE: _Kind(Outcome.UNREACHABLE, "there is no way to it"),
    SshFault.SILENT_BANNER: _Kind(
        Outcome.TIMED_OUT, "it accepts the connection and says nothing: it may be frozen"
    ),
    SshFault.TIMED_OUT: _Kind(Outcome.TIMED_OUT, "it does not answer in time"),
    SshFault.RESET: _Kind(Outcome.RESET, "the connection was reset"),
    SshFault.CLOSED: _Kind(Outcome.CLOSED, "the connection was closed"),
}

_SAID: Final = tuple(
    (fault, re.compile(pattern, re.IGNORECASE))
    for fault, pattern in (
        (SshFault.HOST_KEY_CHANGED, "identification has changed"),
        (SshFault.HOST_KEY_UNKNOWN, "host key is known for|host key verification failed"),
        (
            SshFault.MISCONFIGURED,
            "bad configuration option|can't open user config|bad owner or perm",
        ),
        (SshFault.MISCONFIGURED, "unable to negotiate|unsupported option|keyword .* extra arg"),
        (SshFault.MISCONFIGURED, "missing argument|invalid (user|host)name|hostname contains inv"),
        (SshFault.PERMISSION_DENIED, "permission denied|too many authentication failures"),
        (SshFault.UNKNOWN_HOST, "could not resolve hostname|name or service not known"),
        (SshFault.SILENT_BANNER, "timed out during banner"),
        (SshFault.REFUSED, "connection refused"),
        (SshFault.UNREACHABLE, "no route to host|network is unreachable|host is down"),
        (SshFault.TIMED_OUT, "timed out|not responding"),
        (SshFault.RESET, "reset by peer|broken pipe"),
    )
)
_SUDO: Final = re.compile(
    r"^sudo: (a password is required|.*not found|a terminal is required|sorry)"
    r"|is not allowed to (execute|run sudo)|is not in the sudoers file|may not run sudo",
    re.IGNORECASE | re.MULTILINE,
)
_LENGTH: Final = 300


class HostUnreachable(CheckError):
    """The host cannot be asked. `permanent`: until a person changes something.

    `said`: the client's own words.
    """

    def __init__(self, fault: SshFault, destination: str, said: str = "") -> None:
        self.fault, self.said, self.permanent = fault, said, KINDS[fault].permanent
        text = f"ssh to {destination}: {KINDS[fault].advice}"
        super().__init__(KINDS[fault].outcome, f"{text} ({said})" if said else text)


def read_fault(stderr: str, destination: str) -> HostUnreachable:
    """Return what the client's last words mean."""
    fault = next((kind for kind, words in _SAID if words.search(stderr)), SshFault.CLOSED)
    return HostUnreachable(fault, destination, _gist(stderr))


def is_mute(stderr: str) -> bool:
    """Return whether the client only says that something was closed, and nothing of why."""
    return not any(words.search(stderr) for _, words in _SAID)


def sudo_denied(stderr: str) -> str:
    """Return sudo's own words when it refused; "" when it did not."""
    if _SUDO.search(stderr) is None:
        return ""
    return " ".join(stderr.split())[-_LENGTH:]


def _gist(stderr: str) -> str:
    """Return the lines that say something: no frames of @, no farewell that repeats them."""
    lines = [line.strip() for line in stderr.splitlines()]
    kept = [line for line in lines if line.strip("@ ") and not line.startswith("@")]
    return " ".join(kept)[-_LENGTH:]
