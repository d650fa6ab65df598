"""Every secret that a configuration holds, wherever it stands in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Set as AbstractSet
from enum import Enum
from pathlib import Path

from pydantic import BaseModel

from kafka_self_healing.secret import Secret

_PLAIN = (str, int, float, Path, Enum, type(None))


def secrets_in(value: object) -> Iterator[Secret]:
    """Yield each Secret in a value of the configuration or the model, a repeated one again.

    A kind of value that it cannot look into is a bug: a secret in it would be forgotten.
    """
    match value:
        case Secret():
            yield value
        case Mapping():
            for item in value.values():
                yield from secrets_in(item)
        case tuple() | list() | AbstractSet():
            for item in value:
                yield from secrets_in(item)
        case BaseModel():
            for name in type(value).model_fields:
                yield from secrets_in(getattr(value, name))
        case _ if dataclasses.is_dataclass(value):
            for field in dataclasses.fields(value):
                yield from secrets_in(getattr(value, field.name))
        case _:
            assert isinstance(value, _PLAIN), f"what is in a {type(value).__name__}?"
