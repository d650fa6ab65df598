"""`Instant`: one moment on two clocks. It lies below everything, so the pure parts may name it."""

from __future__ import annotations

from typing import NamedTuple


class Instant(NamedTuple):
    """`mono_s`: seconds of the boot clock (it counts through a suspend); `utc_s`: since 1970."""

    mono_s: float
    utc_s: float

    def after(self, seconds: float) -> Instant:
        """Return the moment `seconds` later."""
        return Instant(self.mono_s + seconds, self.utc_s + seconds)

    def since(self, then: Instant) -> float:
        """Return the seconds from `then` to this moment; never more than either clock vouches for.

        A clock set back never shortens a window. After a reboot the boot clock starts anew: then
        it is smaller than `then` says, and only UTC is left to count with.
        """
        mono, utc = self.mono_s - then.mono_s, self.utc_s - then.utc_s
        return max(0.0, min(mono, utc) if mono >= 0 else utc)

    def longest_since(self, then: Instant) -> float:
        """Return the seconds from `then` to this moment as the clock says that has seen more.

        For what must not come late, such as the call for a person: a clock set back delays nothing.
        """
        return max(0.0, self.mono_s - then.mono_s, self.utc_s - then.utc_s)
