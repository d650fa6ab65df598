"""`Secret`: a text that does not show itself, not even in a core file."""

from __future__ import annotations

import ctypes

PR_SET_DUMPABLE = 4
"""From linux/prctl.h."""


class Secret:
    """Holds a credential. `repr`, `str` and format give `***`; only `reveal()` gives the text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself, for the one place that sends it."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __reduce__(self) -> str:
        msg = "a Secret is not pickled"
        raise TypeError(msg)


def keep_out_of_cores() -> bool:
    """Have the kernel write no core file of this process; return whether it agreed.

    Programs that it starts are not affected: an exec makes a process dumpable again.
    """
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    return int(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)) == 0
