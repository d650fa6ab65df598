"""`Section`: a mapping of the file, and how all the values of one are gone through."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

from kafka_self_healing.config.document import Place

PLACEHOLDER = re.compile(r"(?<![{$])\{([A-Za-z_][A-Za-z0-9_]*)\}(?!\})")
"""`{name}` in a text; `${name}`, `{{name}}` and braces around anything else are left alone."""

KNOWN_PLACEHOLDERS = ("id", "host")


class FilledIn:
    """Marks a field whose texts may hold `{id}` and `{host}`, which are those of a node."""


FILLED = FilledIn()


class Section(BaseModel):
    """A mapping of the file: its keys are closed, its values never change once read."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, populate_by_name=False
    )


S = TypeVar("S", bound=Section)


def written(section: Section, place: Place) -> Iterator[tuple[Place, FieldInfo, Any]]:
    """Yield each value that the file gives to `section`, with its place and field, inner ones too.

    A section is yielded before what it holds.
    """
    for name in sorted(section.model_fields_set):
        field = type(section).model_fields[name]
        value, inner = getattr(section, name), (*place, field.alias or name)
        yield inner, field, value
        yield from _inside(value, inner)


def _inside(value: object, place: Place) -> Iterator[tuple[Place, FieldInfo, Any]]:
    if isinstance(value, Section):
        yield from written(value, place)
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _inside(item, (*place, index))


def sections(kind: type[S], section: Section, place: Place) -> Iterator[tuple[Place, S]]:
    """Yield each inner section of one sort, with its place."""
    for where, _, value in written(section, place):
        for spot, item in enumerate(value) if isinstance(value, tuple) else ((None, value),):
            if isinstance(item, kind):
                yield where if spot is None else (*where, spot), item


def texts_with_placeholders(section: Section, place: Place) -> Iterator[tuple[Place, str]]:
    """Yield each text in which `{id}` and `{host}` are filled in."""
    for where, field, value in written(section, place):
        if FILLED not in field.metadata:
            continue
        if isinstance(value, str):
            yield where, value
        elif isinstance(value, tuple):
            yield from (((*where, spot), text) for spot, text in enumerate(value))


def filled(section: S, fill: Callable[[str], str]) -> S:
    """Return `section` with `fill` applied to each text that may hold placeholders."""
    changes: dict[str, Any] = {}
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        fresh = _filled(value, fill, texts=FILLED in field.metadata)
        if fresh is not value:
            changes[name] = fresh
    return section.model_copy(update=changes) if changes else section


def _filled(value: Any, fill: Callable[[str], str], *, texts: bool) -> Any:
    if isinstance(value, Section):
        return filled(value, fill)
    if isinstance(value, tuple):
        fresh = tuple(_filled(item, fill, texts=texts) for item in value)
        return value if fresh == value else fresh
    return fill(value) if texts and isinstance(value, str) else value
