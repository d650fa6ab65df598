"""Feed damaged and invented JMX replies to the client: `python -m bench.fuzz_jmx SECONDS [SEED]`.

Each reply is heard by a connection that knows no shapes and by one that does, which must understand
the same; and clients visit an agent that damages some of its replies. Prints how many ended how,
the slowest one and the peak memory. Stops with the bytes (or the seed of the visit) at the first
exception that is not one of ours.
"""

from __future__ import annotations

import asyncio
import random
import resource
import sys
import time
from collections import Counter

from tests.unit.wire.jmx_grammar import invented
from tests.unit.wire.jmx_mutation import hear, mutant, samples, visit

_REPLIES_A_VISIT = 2000


async def fuzz(seconds: float, seed: int) -> None:
    """Try replies and visits for `seconds` of CPU time."""
    chance = random.Random(seed)
    originals = samples()
    ends: Counter[str] = Counter()
    visits: Counter[str] = Counter()
    slowest_s = 0.0
    begin = time.process_time()
    while (start := time.process_time()) - begin < seconds:
        fresh = chance.random() < 0.5
        raw = invented(chance) if fresh else mutant(originals, chance)
        try:
            ends[hear(raw, chance.choice((1 << 16, 1 << 16, 64)))] += 1
        except BaseException:
            print(f"reply {ends.total()} of seed {seed}: {raw.hex()}")
            raise
        slowest_s = max(slowest_s, time.process_time() - start)
        if ends.total() % _REPLIES_A_VISIT == 0:
            visits[await _visited(chance.randrange(1 << 30))] += 1
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"{ends.total()} replies and {visits.total()} visits of seed {seed} in {seconds:g} s CPU")
    print(f"slowest reply {slowest_s * 1000:.1f} ms, peak memory {peak_mib} MiB")
    for what, counts in (("replies", ends), ("visits", visits)):
        for end, count in counts.most_common():
            print(f"{count:>9} {what}: {end}")


async def _visited(seed: int) -> str:
    try:
        return await visit(random.Random(seed))
    except BaseException:
        print(f"visit of seed {seed}")
        raise


if __name__ == "__main__":
    asyncio.run(fuzz(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 7))
