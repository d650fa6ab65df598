"""How many files this process may open: a node costs several, and the usual limit is 1024."""

from __future__ import annotations

import resource
from typing import Final

MOST: Final = 1 << 20
"""Never more than this: programs that we start close every descriptor up to the limit, one by one,
and some systems say that a thousand million are permitted."""


def raise_file_limit(most: int = MOST) -> int:
    """Raise the soft limit to the hard one, at most to `most`; return the limit in force.

    It is never lowered, and a refusal of the kernel leaves it as it was.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most if hard == resource.RLIM_INFINITY else min(hard, most)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft if soft != resource.RLIM_INFINITY else most
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        return soft
    return wanted
