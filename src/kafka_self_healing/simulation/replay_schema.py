"""The JSON Schema of a line of a replay file, made from the types that read it.

`python -m kafka_self_healing.simulation.replay_schema` writes it to standard output; a test
compares it with `replay.schema.json`, which is what is published.
"""

from __future__ import annotations

import json
import sys
import types
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

from kafka_self_healing.healing.guards import GUARDS
from kafka_self_healing.model.evidence import FACT_TYPE, Kind
from kafka_self_healing.simulation.replay_format import (
    FORMAT,
    LINE_TYPES,
    MAX_AT_S,
    ROLES,
    Header,
)

Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
SCALARS: dict[Any, list[str]] = {
    str: ["string", "integer"],  # node ids may be numbers
    int: ["integer"],
    float: ["number"],
    bool: ["boolean"],
    type(None): ["null"],
}


_WITHIN = {"minimum": -MAX_AT_S, "maximum": MAX_AT_S}


def build() -> Schema:
    """Return the schema: a line is the header, or has `at` and one thing that came in."""
    definitions: Schema = {}
    header = _of(Header, definitions)
    lines = [_line(name, _of(cls, definitions)) for name, cls in LINE_TYPES.items()]
    for cls in FACT_TYPE.values():
        _of(cls, definitions)
    _narrow(definitions)
    return {
        "$schema": DIALECT,
        "title": f"A line of a replay file, {FORMAT}",
        "description": "The first line is the header; the others are in order of `at` (seconds).",
        "oneOf": [header, *lines],
        "$defs": dict(sorted(definitions.items())),
    }


def _line(name: str, body: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {"at": {"type": "number", **_WITHIN}, name: body},
        "required": ["at", name],
        "additionalProperties": False,
    }


def _of(hint: Any, definitions: Schema) -> Schema:
    """Return the schema of a type; dataclasses become definitions."""
    if hint in SCALARS:
        return {"type": SCALARS[hint] if len(SCALARS[hint]) > 1 else SCALARS[hint][0]}
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _any_of([_of(option, definitions) for option in get_args(hint)])
    if origin is tuple:
        return {"type": "array", "items": _of(get_args(hint)[0], definitions)}
    if origin is dict:
        return {"type": "object"}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {"enum": [member.value for member in hint]}
    assert is_dataclass(hint)
    assert isinstance(hint, type)
    if hint.__name__ not in definitions:
        definitions[hint.__name__] = {}
        hints = get_type_hints(hint)
        definitions[hint.__name__] = {
            "type": "object",
            "properties": {f.name: _of(hints[f.name], definitions) for f in fields(hint)},
            "required": [
                f.name
                for f in fields(hint)
                if f.default is MISSING and f.default_factory is MISSING
            ],
            "additionalProperties": False,
        }
    return {"$ref": f"#/$defs/{hint.__name__}"}


def _any_of(options: list[Schema]) -> Schema:
    names: list[str] = []
    for option in options:
        if set(option) != {"type"}:
            return {"anyOf": options}
        names += [option["type"]] if isinstance(option["type"], str) else option["type"]
    return {"type": list(dict.fromkeys(names))}


def _narrow(definitions: Schema) -> None:
    """Say what the reader checks beyond types."""
    header, node = definitions["Header"]["properties"], definitions["HeaderNode"]["properties"]
    header["format"] = {"const": FORMAT}
    header["nodes"]["minItems"] = 1
    node["roles"] = {"type": "array", "items": {"enum": list(ROLES)}, "minItems": 1}
    for name in ("AskLine", "OrderLine", "ExpectedAct"):
        definitions[name]["properties"]["action"] = {"type": "string", "minLength": 1}
    guards = {"type": "array", "items": {"enum": list(GUARDS)}}
    definitions["AskLine"]["properties"]["guards"] = {"anyOf": [guards, {"type": "null"}]}
    check = definitions["CheckLine"]
    check["properties"]["fact"] = {"type": ["object", "null"]}
    check["allOf"] = [_fact_of(kind) for kind in Kind]


def _fact_of(kind: Kind) -> Schema:
    cls = FACT_TYPE.get(kind)
    fact: Schema = {"$ref": f"#/$defs/{cls.__name__}"} if cls else {"maxProperties": 0}
    return {
        "if": {"properties": {"kind": {"const": kind.value}}, "required": ["kind"]},
        "then": {"properties": {"fact": {"anyOf": [fact, {"type": "null"}]}}},
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(build(), indent=2) + "\n")
