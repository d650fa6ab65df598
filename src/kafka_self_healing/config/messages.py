"""Pydantic's errors as problems in our own words: what is wrong, where, and what to do."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from kafka_self_healing.config.document import Document, Place, Unreadable, place_text
from kafka_self_healing.config.scalars import SAID, nearest, shown
from kafka_self_healing.config.schema import ELSEWHERE, ConfigFile, PolicyKnobs
from kafka_self_healing.errors import Problem
from kafka_self_healing.model.incident import Condition

_MANY_KEYS = 12


def explain(error: ValidationError, document: Document) -> list[Problem]:
    """Return a problem for each thing that the schema refused, marked in the file.

    Values that could not even be read are left out: `document.problems` tells of them.
    """
    problems = []
    for detail in error.errors(include_url=False, include_input=False):
        place: Place = detail["loc"]
        if document.at(place) is Unreadable.VALUE:
            continue
        if detail["type"] == "too_short" and document.at(place):
            continue  # its items are wrong, each told by itself
        if detail["type"] == "extra_forbidden":
            problems.append(document.problem(place, _unknown_key(place), at_key=True))
        else:
            problems.append(document.problem(place, _sentence(detail, document.at(place))))
    return problems


def _sentence(detail: ErrorDetails, value: object) -> str:
    place = detail["loc"]
    match detail["type"]:
        case kind if kind == SAID:
            return detail["msg"]
        case "missing":
            return _missing(place)
        case "too_short":
            return "must not be empty; list at least one"
        case "model_type" | "model_attributes_type" | "dict_type":
            known = _known_keys(place)
            keys = f" with the keys {known}" if known else ""
            return f"must be a mapping{keys}, not {_kind_of(value)}"
        case "tuple_type" | "list_type":
            if len(place) > 1 and place[-1] in {"start", "stop", "kill", "status"}:
                return "must be a list of a program and its arguments: [program, argument, …]"
            return f"must be a list: [first, second, …], not {_kind_of(value)}"
        case other:  # pragma: no cover - the schema has no other kinds; a test lists them
            raise AssertionError(other)


def _kind_of(value: object) -> str:
    """Return what a value is, never what it says: it may stand where a secret should."""
    return "a single value" if isinstance(value, str) else shown(value)


def _missing(place: Place) -> str:
    key = str(place[-1])
    section = _section(place[:-1])
    field = _fields(section).get(key) if section else None
    example = f", for example `{key}: {field.examples[0]}`" if field and field.examples else ""
    return f"is required; add it{example}"


def _unknown_key(place: Place) -> str:
    key = str(place[-1])
    section = _section(place[:-1])
    known = list(_fields(section)) if section else []
    if section is PolicyKnobs and key in ELSEWHERE:
        return f"is no knob of the policy; say it as `{ELSEWHERE[key]}`"
    if place[0] == "ladders" and key in Condition.__members__:
        return f"is never answered with an act; remove it (known: {', '.join(known)})"
    meant = nearest(key, known)
    if meant:
        return f"unknown key; did you mean `{meant}`?"
    if len(known) > _MANY_KEYS:
        return "unknown key; remove it, or see docs/configuration.md for the known ones"
    return f"unknown key; remove it, or use one of: {', '.join(known)}"


def _known_keys(place: Place) -> str:
    section = _section(place)
    names = list(_fields(section)) if section else []
    return ", ".join(names) if len(names) <= _MANY_KEYS else place_text(place) + ".…"


def _fields(section: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field for name, field in section.model_fields.items()}


def _section(place: Place) -> type[BaseModel] | None:
    """Return the model that describes the mapping at `place`."""
    section: type[BaseModel] | None = ConfigFile
    for step in place:
        if isinstance(step, int):
            continue
        field = _fields(section).get(step) if section else None
        section = _model_in(field.annotation) if field else None
    return section


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in get_args(annotation):
        model = _model_in(part)
        if model:
            return model
    return None
