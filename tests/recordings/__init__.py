"""Recordings of real faults (data/*.jsonl.gz), read into the replay format and judged."""
