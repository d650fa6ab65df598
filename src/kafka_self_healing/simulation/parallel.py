"""Seeds on all cores: each process plays some, results come back in the order of the seeds."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

from kafka_self_healing.clock import boot_seconds

Played = TypeVar("Played")
CHUNK = 8
TELL_S = 10.0


def on_all_cores(
    play: Callable[[int], Played], seeds: Sequence[int], name: str, *, tell: bool = True
) -> Iterator[Played]:
    """Yield what `play` returns for each seed; progress goes to the standard error.

    `play` is a function of a module. An error in it is raised here.
    """
    workers = min(len(os.sched_getaffinity(0)), 1 + len(seeds) // CHUNK)
    began = told = boot_seconds()
    if workers == 1:
        yield from map(play, seeds)
        return
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for done, played in enumerate(pool.map(play, seeds, chunksize=CHUNK), start=1):
            yield played
            now = boot_seconds()
            if tell and (now - told >= TELL_S or (done == len(seeds) and now - began >= TELL_S)):
                told = now
                pace = 60 * done / (now - began)
                line = f"{name}: {done} of {len(seeds)} seeds, {pace:.0f} a minute\n"
                sys.stderr.write(line)
