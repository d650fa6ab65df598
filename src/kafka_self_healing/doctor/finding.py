"""`Finding`: one thing that the doctor has looked at, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much it matters."""

    GOOD = "good"
    NOTE = "note"
    """Healing works, but a person should know."""
    PROBLEM = "problem"
    """Something that healing needs is missing or wrong."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`about`: a node, the cluster, or the healer itself. `remedy`: the exact line where one helps.

    Texts hold no secret: what a login was refused for names user and mechanism only.
    """

    level: Level
    about: str
    what: str
    remedy: str = ""


def good(about: str, what: str) -> Finding:
    """Return that something is as it must be."""
    return Finding(Level.GOOD, about, what)


def note(about: str, what: str, remedy: str = "") -> Finding:
    """Return something worth knowing."""
    return Finding(Level.NOTE, about, what, remedy)


def problem(about: str, what: str, remedy: str = "") -> Finding:
    """Return something that must be put right."""
    return Finding(Level.PROBLEM, about, what, remedy)
