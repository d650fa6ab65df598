"""The grammar of ObjectNames.

A server that cannot read a name has not read the rest of the call either: it answers with an
UnmarshalException and hangs up. So a name is checked here before it is sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kafka_self_healing.wire.jmx.errors import JmxNameError

_MAX_LENGTH = 4096
_MAX_ATTRIBUTES = 256
_DOMAIN = re.compile(r"[^:\n]*")
_KEY = re.compile(r"[^,=:*?\n]+")
_VALUE = re.compile(r'"(?:[^"\\\n]|\\["\\*?n])*"|[^,=:"\n]*')
_QUOTED_WILDCARD = re.compile(r"(?:[^\\*?]|\\.)*[*?]")


def check_object_name(name: str) -> None:
    """Raise JmxNameError unless `name` names exactly one MBean."""
    if _has_wildcard(name):
        raise JmxNameError(f"{_shown(name)} is a pattern; one MBean is asked for by its full name")


def check_pattern(pattern: str) -> None:
    """Raise JmxNameError unless `pattern` is an ObjectName, with or without wildcards."""
    _has_wildcard(pattern)


def check_attributes(names: tuple[str, ...]) -> None:
    """Raise JmxNameError unless `names` are 1 to 256 attribute names of 1 to 4,096 characters."""
    if not 0 < len(names) <= _MAX_ATTRIBUTES:
        raise JmxNameError(
            f"{len(names)} attributes asked of one MBean; 1 to {_MAX_ATTRIBUTES} may be"
        )
    for name in names:
        if not 0 < len(name) <= _MAX_LENGTH:
            raise JmxNameError(
                f"an attribute name has 1 to {_MAX_LENGTH} characters, not {len(name)}"
            )


def _has_wildcard(name: str) -> bool:
    if len(name) > _MAX_LENGTH:
        raise JmxNameError(f"an ObjectName of {len(name)} characters; {_MAX_LENGTH} may be")
    domain = _DOMAIN.match(name)
    if domain is None or name[domain.end() : domain.end() + 1] != ":":
        raise JmxNameError(f"{_shown(name)} is not an ObjectName: no 'domain:' in front")
    wild = "*" in domain[0] or "?" in domain[0]
    keys: set[str] = set()
    for key, value in _properties(name, domain.end() + 1):
        if key in keys:
            raise JmxNameError(f"{_shown(name)} is not an ObjectName: {_shown(key)} comes twice")
        keys.add(key)
        wild = wild or key == "*" or _value_has_wildcard(value)
    return wild


def _value_has_wildcard(value: str) -> bool:
    if value.startswith('"'):  # only there does a backslash take the meaning away
        return _QUOTED_WILDCARD.match(value) is not None
    return "*" in value or "?" in value


def _properties(name: str, position: int) -> Iterator[tuple[str, str]]:
    """Yield key and value of each property; the property list wildcard is ("*", "")."""
    while True:
        if name[position : position + 1] == "*" and name[position + 1 : position + 2] in ("", ","):
            key, value, position = "*", "", position + 1
        else:
            found = _KEY.match(name, position)
            if found is None or name[found.end() : found.end() + 1] != "=":
                raise JmxNameError(f"{_shown(name)} is not an ObjectName: 'key=value' is missing")
            key, position = found[0], found.end() + 1
            text = _VALUE.match(name, position)
            value = text[0] if text else ""
            position += len(value)
        yield key, value
        if position == len(name):
            return
        if name[position] != ",":
            raise JmxNameError(f"{_shown(name)} is not an ObjectName: bad value of {_shown(key)}")
        position += 1


def _shown(text: str) -> str:
    return repr(text if len(text) <= 120 else text[:120] + "…")
