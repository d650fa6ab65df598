"""What the tests of the configuration share: a valid file, and a way to break it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from kafka_self_healing.config import Settings, load
from kafka_self_healing.errors import ConfigError, Problem

ENVIRON = {"PORT": "9092", "PASSWORD": "0123true", "EMPTY": "", "STATE_DIRECTORY": "/var/lib/khs"}

SERVICE = {name: ["/bin/ctl", name, "{id}"] for name in ("start", "stop", "kill", "status")}

VALID: dict[str, Any] = {
    "cluster": {
        "name": "orders",
        "service": SERVICE,
        "nodes": [
            {
                "id": number,
                "roles": ["broker", "controller"],
                "host": "127.0.0.1",
                "kafka_port": 9000 + number,
                "controller_port": 9100 + number,
                "jmx_port": 9200 + number,
                "data_dirs": [f"/data/{number}"],
            }
            for number in (1, 2, 3)
        ],
    }
}


def read(folder: Path, text: str) -> Settings:
    """Write a text to a file in `folder` and load it with a small environment."""
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, ENVIRON)


def refuse(folder: Path, text: str) -> list[Problem]:
    """Load a text that must be refused; return its problems."""
    with pytest.raises(ConfigError) as caught:
        read(folder, text)
    return caught.value.problems


def changed(changes: Mapping[str, Any]) -> str:
    """Return the text of the valid file with dotted paths set; None removes the key."""
    tree = copy.deepcopy(VALID)
    for path, value in changes.items():
        *above, last = [int(s) if s.isdigit() else s for s in path.split(".")]
        inner: Any = tree
        for step in above:
            inner = inner.setdefault(step, {}) if isinstance(inner, dict) else inner[step]
        if value is None:
            del inner[last]
        else:
            inner[last] = value
    return yaml.safe_dump(tree, sort_keys=False)
