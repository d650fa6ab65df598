"""Where a rule's problem stands: at the node's own words, or at the cluster's that it took over."""

from __future__ import annotations

from kafka_self_healing.config.document import Document, Place, Scalar
from kafka_self_healing.config.parts import CLUSTER, WrittenNode


def origin(document: Document, node: WrittenNode, *keys: str) -> Place:
    """Return the place from which a node has what `keys` lead to.

    A section of `security` is taken over as a whole, so its first two keys decide.
    """
    depth = 2 if keys[0] == "security" else 1
    own = document.has((*node.place, *keys[:depth]))
    return (*(node.place if own else CLUSTER), *keys)


def line_of(document: Document, place: Place) -> int:
    """Return the line of a place, or of the nearest written part above it."""
    return document.problem(place, "").line


def said_at(document: Document, place: Place, value: object) -> str:
    """Return a value for a message; one that came from a variable or a file is not shown."""
    written = document.at(place)
    hidden = isinstance(written, Scalar) and written.substituted
    return "the variable's value" if hidden else str(value)
