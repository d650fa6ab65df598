"""The sections of a file that are well by themselves, also where others are not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from kafka_self_healing.config.document import Document, Place
from kafka_self_healing.config.inheritance import complete
from kafka_self_healing.config.schema import (
    BUDGETS,
    BudgetConfig,
    EmailConfig,
    NodeDefaults,
    NodeSection,
    RungConfig,
)
from kafka_self_healing.config.schema_probes import (
    CanarySection,
    CommandProbeSection,
    HttpSection,
    ProbeSection,
)
from kafka_self_healing.config.section import Section
from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.model.incident import HEALABLE, Condition
from kafka_self_healing.model.node import ClusterMode, Duty

_M = TypeVar("_M", bound=Section)
_RUNGS: TypeAdapter[tuple[RungConfig, ...]] = TypeAdapter(tuple[RungConfig, ...])

CLUSTER: Place = ("cluster",)


@dataclass(frozen=True, slots=True)
class WrittenNode:
    """A node as the file has it, and `whole`: with what the cluster gives it."""

    place: Place
    own: NodeSection
    whole: NodeSection


@dataclass(frozen=True, slots=True)
class Parts:
    """What the rules look at; lists come with each item's position in the file.

    `nodes_complete`: no node is missing from it, so a rule may say that there is none of a sort;
    `unread`: the cluster's defaults that are missing because they are wrong.
    `mode` None: not readable.
    """

    mode: ClusterMode | None
    defaults: NodeDefaults
    nodes: tuple[WrittenNode, ...]
    nodes_complete: bool
    unread: frozenset[str]
    kinds: tuple[tuple[int, Kind], ...]
    http: tuple[tuple[Place, HttpSection], ...]
    commands: tuple[tuple[Place, CommandProbeSection], ...]
    canary: CanarySection | None
    ladders: Mapping[Condition, tuple[RungConfig, ...]]
    role_ladders: Mapping[Duty, Mapping[Condition, tuple[RungConfig, ...]]]
    budgets: Mapping[str, BudgetConfig]
    email: EmailConfig | None

    @property
    def all_ladders(self) -> Iterator[tuple[Place, Mapping[Condition, tuple[RungConfig, ...]]]]:
        """The ladders of every section that has some, each with its place."""
        yield ("ladders",), self.ladders
        for duty, ladders in self.role_ladders.items():
            yield ("role_ladders", duty.value), ladders

    @property
    def probes(self) -> tuple[tuple[Place, ProbeSection], ...]:
        """All checks of the operator's own."""
        return (*self.http, *self.commands)

    @property
    def written(self) -> Iterator[tuple[Place, Section]]:
        """The sections about nodes and checks, each as it stands in the file."""
        yield CLUSTER, self.defaults
        yield from ((node.place, node.own) for node in self.nodes)
        yield from self.probes


def parts_of(document: Document) -> Parts:
    """Read each part by itself; a part that the schema refuses is left out."""
    defaults, unread = _defaults(document)
    places = _places(document, ("cluster", "nodes"))
    read = [(place, _read(NodeSection, document, place)) for place in places]
    nodes = tuple(
        WrittenNode(place, node, complete(node, defaults)) for place, node in read if node
    )
    budgets = {name: _read(BudgetConfig, document, ("budgets", name)) for name in BUDGETS}
    return Parts(
        mode=_mode(document),
        defaults=defaults,
        nodes=nodes,
        nodes_complete=len(nodes) == len(places),
        unread=unread,
        kinds=_kinds(document),
        http=_list(HttpSection, document, ("checks", "http")),
        commands=_list(CommandProbeSection, document, ("checks", "commands")),
        canary=_read(CanarySection, document, ("checks", "canary")),
        ladders=_ladders(document, ("ladders",)),
        role_ladders={duty: _ladders(document, ("role_ladders", duty.value)) for duty in Duty},
        budgets={name: budget for name, budget in budgets.items() if budget is not None},
        email=_read(EmailConfig, document, ("notifications", "email")),
    )


def _read(model: type[_M], document: Document, place: Place) -> _M | None:
    return _validated(model, document.at(place))


def _validated(model: type[_M], value: object) -> _M | None:
    if value is None:
        return None
    try:
        return model.model_validate(value)
    except ValidationError:
        return None


def _places(document: Document, place: Place) -> list[Place]:
    listed = document.at(place)
    return [(*place, index) for index in range(len(listed))] if isinstance(listed, list) else []


def _list(model: type[_M], document: Document, place: Place) -> tuple[tuple[Place, _M], ...]:
    read = ((item, _read(model, document, item)) for item in _places(document, place))
    return tuple((item, section) for item, section in read if section is not None)


def _defaults(document: Document) -> tuple[NodeDefaults, frozenset[str]]:
    """Return the cluster's defaults, each key read by itself, and the keys that are wrong."""
    cluster = document.at(CLUSTER)
    written = [name for name in NodeDefaults.model_fields if document.has((*CLUSTER, name))]
    known: dict[str, Any] = {}
    for name in written:
        assert isinstance(cluster, Mapping)
        one = _validated(NodeDefaults, {name: cluster[name]})
        if one is not None:
            known[name] = getattr(one, name)
    return NodeDefaults().model_copy(update=known), frozenset(written) - known.keys()


def _mode(document: Document) -> ClusterMode | None:
    written = document.at(("cluster", "mode"))
    if written is None:
        return ClusterMode.KRAFT
    return next((mode for mode in ClusterMode if mode.value == written), None)


def _kinds(document: Document) -> tuple[tuple[int, Kind], ...]:
    listed = document.at(("checks", "kinds"))
    words = listed if isinstance(listed, list) else []
    known = {kind.value: kind for kind in Kind}
    return tuple(
        (index, known[word])
        for index, word in enumerate(words)
        if isinstance(word, str) and word in known
    )


def _ladders(document: Document, place: Place) -> dict[Condition, tuple[RungConfig, ...]]:
    ladders = {}
    for condition in HEALABLE:
        value = document.at((*place, condition.value))
        if value is None:
            continue
        try:
            ladders[condition] = _RUNGS.validate_python(value)
        except ValidationError:
            continue
    return ladders
