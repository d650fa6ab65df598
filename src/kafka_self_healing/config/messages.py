"""Pydantic's errors as problems in our own words: what is wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from kafka_self_healing.config.document import Document, Place, Unreadable
from kafka_self_healing.config.scalars import SAID, nearest, shown
from kafka_self_healing.config.schema import ELSEWHERE, ConfigFile, PolicyKnobs
from kafka_self_healing.config.schema_access import SERVICES
from kafka_self_healing.errors import Problem
from kafka_self_healing.model.incident import Condition

_MANY_KEYS = 15


def explain(error: ValidationError, document: Document) -> list[Problem]:
    """Return a problem for each thing that the schema refused, marked in the file.

    Values that could not even be read are left out: `document.problems` tells of them.
    """
    problems = []
    for detail in error.errors(include_url=False, include_input=False):
        place, section = _find(detail["loc"])
        value = document.at(place)
        if value is Unreadable.VALUE:
            continue
        if detail["type"] == "too_short" and value:
            continue  # its items are wrong, each told by itself
        if detail["type"] == "extra_forbidden":
            above = _find(detail["loc"][:-1])[1]
            problems.append(document.problem(place, _unknown_key(place, above), at_key=True))
        elif detail["type"] == "missing":
            above = _find(detail["loc"][:-1])[1]
            problems.append(document.problem(place, required(above, str(place[-1]))))
        else:
            problems.append(document.problem(place, _sentence(detail, place, section, value)))
    return problems


def required(section: type[BaseModel] | None, key: str) -> str:
    """Return what is said of a key that is missing, with its example if the schema has one."""
    field = _fields(section).get(key) if section else None
    example = f", for example `{key}: {field.examples[0]}`" if field and field.examples else ""
    return f"is required; add it{example}"


def _sentence(
    detail: ErrorDetails, place: Place, section: type[BaseModel] | None, value: object
) -> str:
    match detail["type"]:
        case kind if kind == SAID:
            return detail["msg"]
        case "too_short":
            return "must not be empty; list at least one"
        case "model_type" | "model_attributes_type" | "dict_type":
            known = _known_keys(section)
            keys = f" with the keys {known}" if known else ""
            return f"must be a mapping{keys}, not {_kind_of(value)}"
        case "tuple_type" | "list_type":
            if len(place) > 1 and place[-1] in {"start", "stop", "kill", "status", "argv"}:
                return "must be a list of a program and its arguments: [program, argument, …]"
            return f"must be a list: [first, second, …], not {_kind_of(value)}"
        case other:  # pragma: no cover - the schema has no other kinds; a test lists them
            raise AssertionError(other)


def _kind_of(value: object) -> str:
    """Return what a value is, never what it says: it may stand where a secret should."""
    return "a single value" if isinstance(value, str) else shown(value)


def _unknown_key(place: Place, section: type[BaseModel] | None) -> str:
    key = str(place[-1])
    known = list(_fields(section)) if section else []
    if section is PolicyKnobs and ELSEWHERE.get(key):
        return f"is no knob of the policy; say it as `{ELSEWHERE[key]}`"
    if place[0] in {"ladders", "role_ladders"} and key in Condition.__members__:
        return f"is never answered with an act; remove it (known: {', '.join(known)})"
    meant = nearest(key, known)
    if meant:
        return f"unknown key; did you mean `{meant}`?"
    if len(known) > _MANY_KEYS:
        return "unknown key; remove it, or see docs/configuration.md for the known ones"
    return f"unknown key; remove it, or use one of: {', '.join(known)}"


def _known_keys(section: type[BaseModel] | None) -> str:
    fields = _fields(section) if section else {}
    names = sorted(fields, key=lambda name: not fields[name].is_required())
    return ", ".join(names[:_MANY_KEYS]) + (", …" if len(names) > _MANY_KEYS else "")


def _fields(section: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field for name, field in section.model_fields.items()}


def _find(loc: tuple[str | int, ...]) -> tuple[Place, type[BaseModel] | None]:
    """Return the place of an error, and the model of the mapping there.

    Where a section has one of several forms, pydantic's place names the form as well; ours not.
    """
    place: list[str | int] = []
    section: type[BaseModel] | None = ConfigFile
    forms: list[type[BaseModel]] = []
    for step in loc:
        if len(forms) > 1 and step in SERVICES:
            section, forms = SERVICES[str(step)], []
            continue
        place.append(step)
        if isinstance(step, str):
            field = _fields(section).get(step) if section else None
            forms = list(_models_in(field.annotation)) if field else []
            section = forms[0] if forms else None
    return tuple(place), section


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
