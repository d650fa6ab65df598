"""Class descriptions that were read before.

Every reply describes its classes anew, and most of a reply is such descriptions. A description
that refers to nothing outside itself means the same wherever its bytes stand, so those bytes are
read once and skipped from then on. Equal bytes are required: one peer cannot change what another
peer's class means; at worst it fills the memory, and then classes are read again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kafka_self_healing.wire.jmx.values import ClassDescription

_MAX_CLASSES = 512
_MAX_BYTES_EACH = 2048


@dataclass(frozen=True, slots=True)
class KnownClass:
    """The bytes of a description (from its name on), what it means, and what reading it costs."""

    raw: bytes
    description: ClassDescription
    handles: tuple[ClassDescription | str, ...]
    items: int


class ClassMemory:
    """At most 512 descriptions of at most 2 KiB; the oldest is forgotten first."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, KnownClass] = {}

    def find(self, data: bytes, start: int) -> KnownClass | None:
        """Return the known class whose description stands in `data` at `start`."""
        name_end = start + 2 + int.from_bytes(data[start : start + 2], "big")
        known = self._known.get(data[start:name_end])
        return known if known is not None and data.startswith(known.raw, start) else None

    def keep(
        self, raw: bytes, description: ClassDescription, handles: Sequence[object], items: int
    ) -> None:
        """Remember a description, if it is small and consists of immutable parts only."""
        parts = tuple(part for part in handles if isinstance(part, ClassDescription | str))
        if len(raw) > _MAX_BYTES_EACH or len(parts) != len(handles):
            return
        name = raw[: 2 + int.from_bytes(raw[:2], "big")]
        self._known.pop(name, None)
        if len(self._known) >= _MAX_CLASSES:
            del self._known[next(iter(self._known))]
        self._known[name] = KnownClass(raw, description, parts, items)
