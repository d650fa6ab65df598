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
from urllib.parse import urlsplit

from pydantic import BeforeValidator, PlainValidator
from pydantic_core import PydanticCustomError

from kafka_self_healing.config.document import Scalar
from kafka_self_healing.config.section import PLACEHOLDER
from kafka_self_healing.secret import Secret

SAID = "said"
"""The type of our own errors in pydantic's list; their text is told as it is."""

_PORT = re.compile(r"[1-9][0-9]{0,4}")
MAX_SECONDS = 30 * 86_400.0

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})\.[0-9]{1,18}")
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_.])?")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_CLUSTER_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_ADDRESS = re.compile(r"[^\s@<>,;]+@[^\s@<>,;]+")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_UNIT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9:_.@\\-]{0,250}")
_OTHER_UNITS = re.compile(
    r".*\.(socket|target|timer|mount|automount|swap|path|slice|scope|device)", re.DOTALL
)
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,250}")
_WORD = re.compile(r"[^\s\x00-\x1f-][^\s\x00-\x1f]{0,500}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]{1,4000}")
_TELLING_HEADER = re.compile(
    r"authorization|cookie|token|secret|password|api[_-]?key|credential", re.IGNORECASE
)
_POINTER = re.compile(r"(/([^~/]|~[01])*)+")
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


def _endpoint(value: object) -> tuple[str, int]:
    text = _text(value)
    host, colon, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    number = int(port) if _PORT.fullmatch(port) else 0
    if not colon or not 0 < number < 1 << 16 or (":" in host) != (bare != host):
        raise said(f"must be host:port (an IPv6 address in brackets), not {shown(value)}")
    return _host(bare), number


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


def _id(value: object) -> str:
    typed = _typed(value)
    if isinstance(typed, int) and not isinstance(typed, bool) and 0 <= typed < 2**31:
        return str(typed)
    if isinstance(value, str) and _NAME.fullmatch(value):
        return str(value)
    raise said(
        "must be a whole number such as Kafka's node.id (of a ZooKeeper server: a name of letters, "
        f"digits, `.`, `_` or `-`), not {shown(value)}"
    )


def _sample(text: str) -> str:
    """Return a text with its placeholders filled in by something harmless, to look at its form."""
    return PLACEHOLDER.sub("1", text)


def _unit(value: object) -> str:
    text = _text(value)
    if not _UNIT.fullmatch(_sample(text)):
        raise said(f"must be the name of a systemd unit such as kafka@{{id}}, not {shown(value)}")
    if _OTHER_UNITS.fullmatch(text):
        raise said(
            f"must be a service: a name that ends in .service or nothing, not {shown(value)}"
        )
    return text


def _sampled(pattern: re.Pattern[str], rule: str) -> PlainValidator:
    def read(value: object) -> str:
        text = _text(value)
        if not pattern.fullmatch(_sample(text)):
            raise said(f"{rule}, not {shown(value)}")
        return text

    return PlainValidator(read, json_schema_input_type=str)


def _url(value: object) -> str:
    text = _text(value)
    try:
        parts = urlsplit(_sample(text))
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    # What was written is not shown: it may hold a password.
    if not usable or re.search(r"[\s\x00-\x1f]", text):
        raise said("must be a URL that begins with http:// or https:// and names a host")
    if parts.username is not None or parts.password is not None:
        raise said("must not hold a login; use the keys for user and password instead")
    return text


def _header(value: object) -> str:
    text = _text(value)
    if not _HEADER_VALUE.fullmatch(text):
        raise said("must be one line of plain characters")
    return text


def _headers(value: object) -> Mapping[str, str]:
    names = value if isinstance(value, Mapping) else {}
    for name in names:
        if not _HEADER.fullmatch(name):
            raise said(f"{shown(name)} is no name of a header (letters, digits and `-`)")
    return names


def _open_headers(value: object) -> Any:
    for name in _headers(value):
        if _TELLING_HEADER.search(name):
            raise said(
                f"{shown(name)} carries a credential; write it below secret_headers, "
                "or use username and password, or bearer"
            )
    return value


def _secret_headers(value: object) -> Any:
    _headers(value)
    return value


def _number(value: object) -> float:
    typed = _typed(value)
    if isinstance(typed, bool) or not isinstance(typed, int | float):
        raise said(f"must be a number (without quotes), not {shown(value)}")
    return float(typed)


def _anything(value: object) -> str | float | bool:
    typed = _typed(value)
    if isinstance(typed, bool):
        return typed
    if isinstance(typed, int | float):
        return float(typed)
    if isinstance(typed, str):
        return str(typed)
    raise said(f"must be a text, a number, true or false, not {shown(value)}")


def one_or_more(value: object) -> object:
    """Read a single value as a list of one."""
    return [value] if isinstance(value, str | int) else value


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


def is_loopback(host: str) -> bool:
    """Return whether what is sent to `host` stays on this machine."""
    return host.casefold() in {"localhost", "::1"} or host.startswith("127.")


Text = Annotated[str, PlainValidator(_text, json_schema_input_type=str)]
Flag = Annotated[bool, PlainValidator(_flag, json_schema_input_type=bool)]
Count = Annotated[int, _whole(1, 1000)]
Hour = Annotated[int, _whole(0, 23)]
Seed = Annotated[int, _whole(0, 2**31 - 1)]
Id = Annotated[str, PlainValidator(_id, json_schema_input_type=int)]
Status = Annotated[int, _whole(100, 599)]
Number = Annotated[float, PlainValidator(_number, json_schema_input_type=float)]
Anything = Annotated[str | float | bool, PlainValidator(_anything, json_schema_input_type=str)]
Port = Annotated[int, _whole(1, 65_535)]
Bytes = Annotated[int, _whole(65_536, 2**40)]
Seconds = Annotated[float, _amount("a number of seconds", MAX_SECONDS)]
Fraction = Annotated[float, _amount("a fraction such as 0.34", 1.0)]
HostName = Annotated[str, PlainValidator(_host, json_schema_input_type=str)]
Endpoint = Annotated[tuple[str, int], PlainValidator(_endpoint, json_schema_input_type=str)]
TopicName = Annotated[str, PlainValidator(_topic, json_schema_input_type=str)]
FilePath = Annotated[Path, PlainValidator(_path, json_schema_input_type=str)]
AbsolutePath = Annotated[str, PlainValidator(_absolute, json_schema_input_type=str)]
SecretText = Annotated[Secret, PlainValidator(_secret, json_schema_input_type=str)]
ClusterName = Annotated[
    str, _matching(_CLUSTER_NAME, "must be letters, digits, `.`, `_` or `-`, at most 100")
]
MailAddress = Annotated[str, _matching(_ADDRESS, "must be a plain mail address such as ops@host")]
CheckName = Annotated[
    str, _matching(_NAME, "must be letters, digits, `.`, `_` or `-`, at most 100")
]
UnitName = Annotated[str, PlainValidator(_unit, json_schema_input_type=str)]
ContainerName = Annotated[str, _sampled(_CONTAINER, "must be the name or id of a container")]
Word = Annotated[str, _sampled(_WORD, "must be one word that does not begin with `-`")]
Url = Annotated[str, PlainValidator(_url, json_schema_input_type=str)]
Pointer = Annotated[
    str, _matching(_POINTER, "must be a JSON pointer such as /status/0/state (RFC 6901)")
]
HeaderValue = Annotated[str, PlainValidator(_header, json_schema_input_type=str)]
Headers = Annotated[dict[str, HeaderValue], BeforeValidator(_open_headers)]
SecretHeaders = Annotated[dict[str, SecretText], BeforeValidator(_secret_headers)]
