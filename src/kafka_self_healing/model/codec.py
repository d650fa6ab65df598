"""Words to plain JSON values and back, strictly: an unknown key or a wrong type names its path."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from kafka_self_healing.instant import Instant

T = TypeVar("T")
Plain = Any
"""A value that `json` can write."""


class CodecError(ValueError):
    """A plain value does not fit the type: `path` says where, the text says why."""

    def __init__(self, path: str, message: str) -> None:
        self.path, self.message = path, message
        super().__init__(f"{path}: {message}" if path else message)


def to_plain(value: object) -> Plain:
    """Return `value` as plain JSON data. Fields that are at their default are kept."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Instant):
        return [value.mono_s, value.utc_s]
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(to_plain(key)): to_plain(item) for key, item in value.items()}
    if isinstance(value, (frozenset, set)):
        return sorted(to_plain(item) for item in value)
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in value]
    return value


def from_plain(cls: type[T], value: Plain, path: str = "") -> T:
    """Build a `cls` from plain data, or raise `CodecError`. Keys that `cls` lacks are errors."""
    return cast("T", _read(cls, value, path))


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls)


def _read(hint: Any, value: Plain, path: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _read_union(get_args(hint), value, path)
    if origin is not None:
        return _read_container(origin, get_args(hint), value, path)
    if hint is Instant:
        if not (isinstance(value, list) and len(value) == 2):
            raise CodecError(path, "expected [boot-clock seconds, UTC seconds]")
        return Instant(float(value[0]), float(value[1]))
    if isinstance(hint, type) and issubclass(hint, Enum):
        try:
            return hint(value)
        except ValueError:
            allowed = ", ".join(str(member.value) for member in hint)
            raise CodecError(path, f"{value!r} is none of: {allowed}") from None
    if is_dataclass(hint):
        return _read_dataclass(cast("type[Any]", hint), value, path)
    return _read_scalar(hint, value, path)


def _read_scalar(hint: Any, value: Plain, path: str) -> Any:
    if hint is Any or hint is object:
        return value
    if hint is float and type(value) in (int, float):
        return float(value)
    if hint is str and type(value) is int:
        return str(value)  # node ids are written as numbers by people who think in Kafka's ids
    if type(value) is not hint:
        raise CodecError(path, f"expected {getattr(hint, '__name__', hint)}, got {_name(value)}")
    return value


def _read_union(options: tuple[Any, ...], value: Plain, path: str) -> Any:
    if value is None and type(None) in options:
        return None
    rest = [option for option in options if option is not type(None)]
    exact = [option for option in rest if type(value) is option]
    if exact:
        return value
    if len(rest) == 1:
        return _read(rest[0], value, path)
    for option in rest:
        try:
            return _read(option, value, path)
        except CodecError:
            continue
    names = " or ".join(getattr(option, "__name__", str(option)) for option in rest)
    raise CodecError(path, f"expected {names}, got {_name(value)}")


def _read_container(origin: Any, args: tuple[Any, ...], value: Plain, path: str) -> Any:
    if origin in (tuple, frozenset):
        if not isinstance(value, list):
            raise CodecError(path, f"expected a list, got {_name(value)}")
        return origin(_read(args[0], item, f"{path}[{i}]") for i, item in enumerate(value))
    if not isinstance(value, dict):
        raise CodecError(path, f"expected an object, got {_name(value)}")
    return {
        _read(args[0], key, path): _read(args[1], item, f"{path}.{key}")
        for key, item in value.items()
    }


def _read_dataclass(cls: type[Any], value: Plain, path: str) -> Any:
    if not isinstance(value, dict):
        raise CodecError(path, f"expected an object, got {_name(value)}")
    hints, known = _hints(cast("Any", cls)), {f.name: f for f in fields(cls)}
    for key in value:
        if key not in known:
            raise CodecError(
                f"{path}.{key}".lstrip("."), f"unknown key; {cls.__name__} has: " + ", ".join(known)
            )
    for name, f in known.items():
        if name not in value and f.default is MISSING and f.default_factory is MISSING:
            raise CodecError(f"{path}.{name}".lstrip("."), "missing")
    return cls(
        **{key: _read(hints[key], item, f"{path}.{key}".lstrip(".")) for key, item in value.items()}
    )


def _name(value: Plain) -> str:
    return "null" if value is None else f"{type(value).__name__} {value!r:.40}"
