"""The scalar types of the schema, and what they say about a value that is not one.

Each reads a `Scalar` (a text of a file, that may be a number or a truth value if it stood without
quotes) or a ready Python value (of a format that has types). All errors are sentences of ours.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import PlainValidator
from pydantic_core import PydanticCustomError

from kafka_self_healing.config.document import Scalar
from kafka_self_healing.secret import Secret

SAID = "said"
"""The type of our own errors in pydantic's list; their text is told as it is."""

MAX_SECONDS = 30 * 86_400.0

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})\.[0-9]{1,18}")
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_.])?")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_CLUSTER_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_ADDRESS = re.compile(r"[^\s@<>,;]+@[^\s@<>,;]+")
_E = TypeVar("_E", bound=StrEnum)


def said(message: str) -> PydanticCustomError:
    """Return an error whose text reaches the operator as it is (braces included)."""
    return PydanticCustomError(SAID, "{text}", {"text": message})


def shown(value: object) -> str:
    """Return a value for a message: shortened; hidden if it came from the environment."""
    match value:
        case Scalar(substituted=True):
            return "the variable's value"
        case str():
            return f"`{value}`" if len(value) <= 40 else f"`{value[:40]}…`"
        case bool():
            return f"`{str(value).lower()}`"
        case int() | float():
            return f"`{value}`"
        case None:
            return "nothing"
        case list() | tuple():
            return "a list"
        case _:
            return "a mapping"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that `word` most likely means, or None."""
    folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def _typed(value: object) -> object:
    """Return a plain scalar as the number or truth value that it spells, else as it is."""
    if not isinstance(value, Scalar) or not value.plain:
        return value
    if value in {"true", "false"}:
        return value == "true"
    if _INTEGER.fullmatch(value):
        return int(value)
    return float(value) if _DECIMAL.fullmatch(value) else value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise said(f"must be a text, not {shown(value)}")
    if not value.strip():
        raise said("must not be empty")
    if "\0" in value:
        raise said("must not hold a NUL character")
    return str(value)


def _flag(value: object) -> bool:
    typed = _typed(value)
    if not isinstance(typed, bool):
        raise said(f"must be true or false (without quotes), not {shown(value)}")
    return typed


def _whole(low: int, high: int) -> PlainValidator:
    def read(value: object) -> int:
        typed = _typed(value)
        if isinstance(typed, bool) or not isinstance(typed, int):
            raise said(f"must be a whole number (without quotes), not {shown(value)}")
        if not low <= typed <= high:
            raise said(f"must be from {low} to {high}, not {shown(value)}")
        return typed

    return PlainValidator(read, json_schema_input_type=int)


def _amount(unit: str, high: float) -> PlainValidator:
    def read(value: object) -> float:
        typed = _typed(value)
        if isinstance(typed, bool) or not isinstance(typed, int | float):
            raise said(f"must be {unit} (without quotes or unit), not {shown(value)}")
        if not 0 < typed <= high:
            raise said(f"must be more than 0 and at most {high:.10g}, not {shown(value)}")
        return float(typed)

    return PlainValidator(read, json_schema_input_type=float)


def _matching(pattern: re.Pattern[str], rule: str) -> PlainValidator:
    def read(value: object) -> str:
        text = _text(value)
        if not pattern.fullmatch(text):
            raise said(f"{rule}, not {shown(value)}")
        return text

    return PlainValidator(read, json_schema_input_type=str)


def _host(value: object) -> str:
    text = _text(value)
    if ":" in text:
        try:
            ipaddress.IPv6Address(text.partition("%")[0])
        except ValueError:
            rule = "must be a host name or an address without a port"
            raise said(f"{rule} (ports have keys of their own), not {shown(value)}") from None
    elif not _HOST_NAME.fullmatch(text):
        raise said(f"must be a host name or an address, not {shown(value)}")
    return text


def _topic(value: object) -> str:
    text = value if isinstance(value, str) else ""
    if not text.strip() or "*" in text:
        raise said(
            "must name one topic: an empty name or a pattern would lift the guard of all data; "
            "list each topic by its name"
        )
    if text in {".", ".."} or not _TOPIC.fullmatch(text):
        raise said(f"must be a topic's name (letters, digits, `.`, `_`, `-`), not {shown(value)}")
    return str(text)


def _path(value: object) -> Path:
    text = _text(value)
    if text.startswith("~"):
        raise said("`~` is not expanded; write the whole path, or ${HOME}/…")
    return Path(text)


def _absolute(value: object) -> str:
    path = _path(value)
    if not path.is_absolute():
        raise said(f"must be an absolute path on the node's host, not {shown(value)}")
    return str(path)


def _secret(value: object) -> Secret:
    if not isinstance(value, str) or not value:
        raise said("must be a text that is not empty; best by a variable: ${NAME}")
    return Secret(str(value))


def choice(
    kind: type[_E], noun: str, *, unsupported: Mapping[_E, str] | None = None
) -> PlainValidator:
    """Return a validator for the words of an enum, which suggests the nearest one.

    `unsupported`: words that this version refuses, and why.
    """
    refused = {member.value: why for member, why in (unsupported or {}).items()}
    words = {member.value: member for member in kind if member.value not in refused}

    def read(value: object) -> _E:
        if isinstance(value, str) and value in words:
            return words[value]
        if isinstance(value, str) and value in refused:
            raise said(f"`{value}`: {refused[value]}; use one of: {', '.join(words)}")
        meant = nearest(value, words) if isinstance(value, str) else None
        hint = f"; did you mean `{meant}`?" if meant else ""
        known = ", ".join(words)
        raise said(f"{shown(value)} is no {noun}; known: {known}{hint}")

    return PlainValidator(read, json_schema_input_type=str)


def empty_section(value: Any) -> Any:
    """Read a section of which all keys are commented out as one without keys."""
    return {} if value is None else value


Text = Annotated[str, PlainValidator(_text, json_schema_input_type=str)]
Flag = Annotated[bool, PlainValidator(_flag, json_schema_input_type=bool)]
Count = Annotated[int, _whole(1, 1000)]
Seed = Annotated[int, _whole(0, 2**31 - 1)]
Id = Annotated[int, _whole(0, 2**31 - 1)]
Port = Annotated[int, _whole(1, 65_535)]
Bytes = Annotated[int, _whole(65_536, 2**40)]
Seconds = Annotated[float, _amount("a number of seconds", MAX_SECONDS)]
Fraction = Annotated[float, _amount("a fraction such as 0.34", 1.0)]
HostName = Annotated[str, PlainValidator(_host, json_schema_input_type=str)]
TopicName = Annotated[str, PlainValidator(_topic, json_schema_input_type=str)]
FilePath = Annotated[Path, PlainValidator(_path, json_schema_input_type=str)]
AbsolutePath = Annotated[str, PlainValidator(_absolute, json_schema_input_type=str)]
SecretText = Annotated[Secret, PlainValidator(_secret, json_schema_input_type=str)]
ClusterName = Annotated[
    str, _matching(_CLUSTER_NAME, "must be letters, digits, `.`, `_` or `-`, at most 100")
]
MailAddress = Annotated[str, _matching(_ADDRESS, "must be a plain mail address such as ops@host")]
