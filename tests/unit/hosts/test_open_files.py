"""The limit of open files is raised to what the system permits, and never lowered."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import resource
from kafka_self_healing.hosts.open_files import raise_file_limit
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
print(raise_file_limit({most}), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "most", "expected"),
    [
        (64, 256, 1 << 20, "256 256 256"),
        (64, 256, 128, "128 128 256"),
        (256, 256, 1 << 20, "256 256 256"),
        (200, 256, 128, "200 200 256"),
    ],
)
def test_the_soft_limit_is_raised(soft: int, hard: int, most: int, expected: str) -> None:
    """To the hard one, at most to a bound, in a process of its own."""
    code = CODE.format(soft=soft, hard=hard, most=most)

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ended.stdout.strip() == expected
