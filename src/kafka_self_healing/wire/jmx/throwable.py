"""What a Java exception in a reply means."""

from __future__ import annotations

from kafka_self_healing.wire.jmx.errors import (
    JmxAccessDenied,
    JmxAuthenticationError,
    JmxError,
    JmxNotFound,
    JmxRemoteError,
    JmxSessionGone,
)
from kafka_self_healing.wire.jmx.values import JavaObject, JmxValue

_MAX_CAUSES = 4
_MAX_CLASS_NAME = 120
_MAX_MESSAGE = 300
_CAUSES = ("cause", "detail", "exception", "runtimeException", "error")


def describe(thrown: JmxValue) -> str:
    """Return class and message of an exception and its causes, cut and printable."""
    parts: list[str] = []
    seen: set[int] = set()
    while isinstance(thrown, JavaObject) and id(thrown) not in seen and len(parts) < _MAX_CAUSES:
        seen.add(id(thrown))
        message = thrown.fields.get("detailMessage")
        text = printable(thrown.class_name, _MAX_CLASS_NAME)
        if isinstance(message, str) and message:
            text += f": {printable(message, _MAX_MESSAGE)}"
        parts.append(text)
        thrown = _cause(thrown)
    return " <- ".join(parts) or "something that is not an exception"


def to_error(thrown: JmxValue, *, logging_in: bool) -> JmxError:
    """Return the error to raise for `thrown`, by the classes it extends, never by its text."""
    text = describe(thrown)
    if isinstance(thrown, JavaObject):
        if thrown.is_a("java.lang.SecurityException"):
            return JmxAuthenticationError(text) if logging_in else JmxAccessDenied(text)
        if thrown.is_a("javax.management.InstanceNotFoundException"):
            return JmxNotFound(text)
        if thrown.is_a("java.rmi.NoSuchObjectException"):
            return JmxSessionGone(text)
    return JmxRemoteError(text)


def printable(text: str, length: int) -> str:
    """Return at most `length` characters of `text`, others than printable ones as `?`."""
    return "".join(char if char.isprintable() else "?" for char in text[:length])


def _cause(thrown: JavaObject) -> JmxValue:
    for name in _CAUSES:
        cause = thrown.fields.get(name)
        if cause is not None and cause is not thrown:  # an exception without a cause is its own
            return cause
    return None
