"""A parsed configuration file with the place of each value, whatever its format was."""

from __future__ import annotations

from collections.abc import Mapping, Set as AbstractSet
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Self

from kafka_self_healing.errors import Problem

Place = tuple[str | int, ...]
"""The way from the top of the file to a value: keys and list positions (from 0)."""


class Unreadable(Enum):
    """Stands for a value of which the problem is already told, so that it is not told twice."""

    VALUE = "unreadable"


class Scalar(str):
    """A text as written in the file.

    `plain`: it stood without quotes, so a field that wants a number or a truth value may read it
    as one. `substituted`: it came from the environment or a file, so it is
    never shown in a message.
    """

    __slots__ = ("plain", "substituted")

    plain: bool
    substituted: bool

    def __new__(cls, text: str, *, plain: bool, substituted: bool = False) -> Self:
        scalar = super().__new__(cls, text)
        scalar.plain = plain
        scalar.substituted = substituted
        return scalar


@dataclass(frozen=True, slots=True)
class Mark:
    """A position in a file; line and column count from 1."""

    line: int
    column: int


START = Mark(1, 1)


def place_text(place: Place, sealed: AbstractSet[str] = frozenset()) -> str:
    """Return a place as people write it: `cluster.nodes[0].kafka_port`.

    It ends at a key of `sealed`: what is below may be a secret in a wrong shape.
    """
    text = ""
    for step in place:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
        if step in sealed:
            break
    return text


@dataclass(frozen=True, slots=True)
class Document:
    """The tree of a file (mappings, lists, scalars, None), where each part stands, what is wrong.

    `marks` holds the position of each value, `key_marks` that of the key before it; `notes` are
    sentences about what is allowed but unusual; `sealed`: see `place_text`.
    """

    file: str
    root: Mapping[str, object]
    marks: Mapping[Place, Mark]
    key_marks: Mapping[Place, Mark]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    sealed: AbstractSet[str] = frozenset()

    @property
    def folder(self) -> Path:
        """The folder of the file, from which its relative paths count."""
        return Path(self.file).absolute().parent

    def at(self, place: Place) -> object:
        """Return the value at a place; None where the file has nothing there."""
        value: object = self.root
        for step in place:
            if isinstance(value, Mapping) and isinstance(step, str):
                value = value.get(step)
            elif isinstance(value, list) and isinstance(step, int) and step < len(value):
                value = value[step]
            else:
                return None
        return value

    def has(self, place: Place) -> bool:
        """Return whether the file says something at this place."""
        return place in self.marks

    def problem(self, place: Place, message: str, *, at_key: bool = False) -> Problem:
        """Return a problem marked where `place` stands, or the nearest written part above it."""
        mark = None
        if at_key or place not in self.marks:
            mark = self.key_marks.get(place)
        above = place
        while mark is None:
            mark = self.marks.get(above) if above in self.marks or above else START
            above = above[:-1]
        path = place_text(place, self.sealed)
        return Problem(self.file, mark.line, mark.column, path, message)
