"""A scenario as JSON: what `simulate --shrink` prints and `simulate --scenario` reads."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from typing import Any

from kafka_self_healing.errors import ReplayError
from kafka_self_healing.model.codec import CodecError, from_plain, to_plain
from kafka_self_healing.simulation import faults
from kafka_self_healing.simulation.scenarios import Scenario, Shape

KINDS = {kind.__name__: kind for kind in faults.Fault.__args__}


def to_text(scenario: Scenario) -> str:
    """Return the scenario as JSON, a fault a line; what is at its default is left out."""
    plain = _brief(scenario, {"shape", "faults"})
    struck = [
        json.dumps({"fault": type(fault).__name__, **_brief(fault)}) for fault in scenario.faults
    ]
    head = json.dumps({**plain, "shape": _brief(scenario.shape)})
    inside = ",\n  ".join(struck)
    return f'{head[:-1]}, "faults": [' + (f"\n  {inside}" if struck else "") + "\n]}\n"


def from_text(text: str, name: str = "") -> Scenario:
    """Read what `to_text` wrote; a key `why` is for people. Raises ReplayError."""
    try:
        plain = json.loads(text)
        return of_plain(plain)
    except (json.JSONDecodeError, CodecError, KeyError, TypeError) as error:
        raise ReplayError(f"{name or 'scenario'}: not a scenario: {error}") from None


def of_plain(plain: dict[str, Any]) -> Scenario:
    """Return the scenario of JSON data. Raises CodecError, KeyError or TypeError."""
    if not isinstance(plain, dict):
        raise TypeError("an object is needed")
    whole = {key: value for key, value in plain.items() if key not in {"why", "faults", "shape"}}
    struck = []
    for one in plain.get("faults", ()):
        kind = KINDS[one["fault"]]
        struck.append(from_plain(kind, {k: v for k, v in one.items() if k != "fault"}))
    shape = from_plain(Shape, plain.get("shape", {}))
    bare = from_plain(Scenario, {**whole, "shape": to_plain(shape)})
    return Scenario(
        bare.seed, shape, tuple(struck), bare.loss, bare.mode, bare.horizon_s, bare.auto_restart
    )


def _brief(value: Any, but: frozenset[str] | set[str] = frozenset()) -> dict[str, Any]:
    found = {}
    for one in fields(value):
        present = getattr(value, one.name)
        if one.name not in but and (one.default is MISSING or present != one.default):
            found[one.name] = to_plain(present)
    return found
