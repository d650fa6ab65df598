"""The sections of a file that are well by themselves, also where others are not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from kafka_self_healing.config.document import Document, Place
from kafka_self_healing.config.schema import (
    BUDGETS,
    BudgetConfig,
    EmailConfig,
    NodeSection,
    RungConfig,
    ServiceConfig,
)
from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.model.incident import HEALABLE, Condition

_M = TypeVar("_M", bound=BaseModel)
_RUNGS: TypeAdapter[tuple[RungConfig, ...]] = TypeAdapter(tuple[RungConfig, ...])


@dataclass(frozen=True, slots=True)
class Parts:
    """What the rules look at. `nodes` and `kinds` come with their position in the file.

    `nodes_complete`: no node is missing from it, so a rule may say that there is none of a sort.
    """

    nodes: tuple[tuple[int, NodeSection], ...]
    nodes_complete: bool
    service: ServiceConfig | None
    kinds: tuple[tuple[int, Kind], ...]
    ladders: Mapping[Condition, tuple[RungConfig, ...]]
    budgets: Mapping[str, BudgetConfig]
    email: EmailConfig | None


def parts_of(document: Document) -> Parts:
    """Read each part by itself; a part that the schema refuses is left out."""
    listed = document.at(("cluster", "nodes"))
    listed = listed if isinstance(listed, list) else []
    nodes = []
    for index in range(len(listed)):
        node = _read(NodeSection, document, ("cluster", "nodes", index))
        if node is not None:
            nodes.append((index, node))
    budgets = {name: _read(BudgetConfig, document, ("budgets", name)) for name in BUDGETS}
    return Parts(
        nodes=tuple(nodes),
        nodes_complete=len(nodes) == len(listed),
        service=_read(ServiceConfig, document, ("cluster", "service")),
        kinds=_kinds(document),
        ladders=_ladders(document),
        budgets={name: budget for name, budget in budgets.items() if budget is not None},
        email=_read(EmailConfig, document, ("notifications", "email")),
    )


def _read(model: type[_M], document: Document, place: Place) -> _M | None:
    value = document.at(place)
    if value is None:
        return None
    try:
        return model.model_validate(value)
    except ValidationError:
        return None


def _kinds(document: Document) -> tuple[tuple[int, Kind], ...]:
    listed = document.at(("checks", "kinds"))
    words = listed if isinstance(listed, list) else []
    known = {kind.value: kind for kind in Kind}
    return tuple(
        (index, known[word])
        for index, word in enumerate(words)
        if isinstance(word, str) and word in known
    )


def _ladders(document: Document) -> dict[Condition, tuple[RungConfig, ...]]:
    ladders = {}
    for condition in HEALABLE:
        value = document.at(("ladders", condition.value))
        if value is None:
            continue
        try:
            ladders[condition] = _RUNGS.validate_python(value)
        except ValidationError:
            continue
    return ladders
