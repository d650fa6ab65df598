"""Every secret of a configuration is found, so that none is ever written by mistake."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from tests.unit.config.config_files import changed, read

from kafka_self_healing.config import Settings, secrets_in
from kafka_self_healing.secret import Secret


class Builder:
    """Makes an object of any type of the settings with everything in it that may be there."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.inside: tuple[type[Any], ...] = ()

    def build(self, kind: Any) -> Any:
        """Return an object; each Secret in it is another one, and in `made`."""
        origin, parts = typing.get_origin(kind), typing.get_args(kind)
        if kind is Secret:
            self.made.append(f"secret-{len(self.made)}")
            return Secret(self.made[-1])
        if origin is typing.Annotated:
            return self.build(parts[0])
        if origin in {typing.Union, types.UnionType}:
            return self._of_union(parts)
        if origin is tuple:
            return tuple(self.build(part) for part in parts if part is not Ellipsis)
        if origin is frozenset:
            return frozenset({self.build(parts[0])})
        if origin in {Mapping, dict}:
            return {self.build(parts[0]): self.build(parts[1])}
        return self._of_class(kind)

    def _of_union(self, parts: tuple[Any, ...]) -> Any:
        """Return the form that holds the most secrets: none of them may be forgotten."""
        tried = []
        for part in parts:
            builder = Builder()
            builder.made = [*self.made]
            tried.append((builder, builder.build(part)))
        builder, best = max(tried, key=lambda pair: len(pair[0].made))
        self.made = builder.made
        return best

    def _of_class(self, kind: Any) -> Any:
        if dataclasses.is_dataclass(kind):
            hints = typing.get_type_hints(kind)
            fields = {f.name: self.build(hints[f.name]) for f in dataclasses.fields(kind) if f.init}
            return kind(**fields)  # type: ignore[operator]
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            values = {name: self.build(f.annotation) for name, f in kind.model_fields.items()}
            return kind.model_construct(**values)
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return next(iter(kind))
        return {str: "a", int: 1, float: 1.0, bool: True, Path: Path("/a"), type(None): None}[kind]


def _fields_with_secrets(kind: Any, seen: set[Any]) -> Iterator[str]:
    """Yield the fields of all types below `kind` that are declared to hold a Secret."""
    if kind in seen:
        return
    seen.add(kind)
    for part in typing.get_args(kind):
        yield from _fields_with_secrets(part, seen)
    hints: dict[str, Any] = {}
    if dataclasses.is_dataclass(kind) or (isinstance(kind, type) and issubclass(kind, BaseModel)):
        hints = typing.get_type_hints(kind)
    for name, hint in hints.items():
        if "Secret" in str(hint):
            yield f"{kind.__name__}.{name}"
        yield from _fields_with_secrets(hint, seen)


def test_no_secret_field_of_the_settings_is_forgotten() -> None:
    """An object with every secret that the types allow gives every one of them."""
    builder = Builder()
    whole = builder.build(Settings)

    found = {secret.reveal() for secret in secrets_in(whole)}

    assert found == set(builder.made)
    # Both listeners of a node have a login and TLS, so there are more secrets than fields.
    declared = {name for name in _fields_with_secrets(Settings, set()) if ".secret" not in name}
    assert {"SaslConfig.password", "TlsConfig.key_password", "EmailConfig.password"} <= declared
    assert len(found) > len(declared) > 8


def test_the_secrets_of_a_file_are_found(tmp_path: Path) -> None:
    """Those of nodes, checks and channels; a repeated one is no harm."""
    email = {"host": "localhost", "from": "a@b", "to": ["c@d"], "username": "u", "password": "m"}
    login = {"mechanism": "SCRAM-SHA-256", "username": "u", "password": "k"}
    probe = {"name": "n", "url": "https://h", "secret_headers": {"X-Key": "h"}}
    text = changed(
        {
            "notifications.email": email,
            "cluster.security.kafka.sasl": login,
            "checks.http": [probe],
        }
    )

    assert {secret.reveal() for secret in secrets_in(read(tmp_path, text))} == {"m", "k", "h"}


def test_what_cannot_be_looked_into_is_a_bug() -> None:
    """A new kind of container fails here, not in an operator's log."""
    with pytest.raises(AssertionError, match="what is in a bytearray"):
        list(secrets_in(bytearray(b"s3cret")))
