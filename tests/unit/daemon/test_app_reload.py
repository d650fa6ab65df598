"""SIGHUP in the composition root: what the daemon is told, and what waits for the next start."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, cast

import pytest
from tests.unit.config.config_files import changed

from kafka_self_healing import app
from kafka_self_healing.config import ConfigurationManager
from kafka_self_healing.daemon import Daemon
from kafka_self_healing.model.node import Cluster
from kafka_self_healing.model.policy import Mode, Policy
from kafka_self_healing.observability import Redactor

REDACTOR = Redactor()


class Listener:
    """Stands for the daemon and remembers what it is told."""

    def __init__(self) -> None:
        self.fresh: list[tuple[int, Mode]] = []
        self.refused: list[str] = []

    async def reload(self, cluster: Cluster, policy: Policy, source: str) -> None:
        """Remember the inventory's size and the mode."""
        self.fresh.append((len(cluster.nodes), policy.mode))

    async def reload_failed(self, source: str, error: str) -> None:
        """Remember the error."""
        self.refused.append(error)


async def _reload(folder: Path, **changes: Any) -> Listener:
    path, listener = folder / "healer.yaml", Listener()
    path.write_text(changed({}), encoding="utf-8")
    manager = ConfigurationManager(path, {})
    path.write_text(changed(changes), encoding="utf-8")
    await app._reload(cast("Daemon", listener), manager, REDACTOR)
    return listener


async def test_a_good_file_reaches_the_daemon(tmp_path: Path) -> None:
    """Mode and inventory are those of the new file."""
    listener = await _reload(tmp_path, mode="auto", **{"cluster.nodes.2": None})

    assert listener.fresh == [(2, Mode.AUTO)]
    assert listener.refused == []


@pytest.mark.parametrize(
    "changes", [{"mode": "autos"}, {"cluster.name": "other"}, {"state_dir": "/elsewhere"}]
)
async def test_a_file_that_cannot_be_used_reaches_it_only_as_an_error(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    """A mistake, or a change that a running daemon cannot make: the old configuration stays."""
    listener = await _reload(tmp_path, **changes)

    assert listener.fresh == []
    assert next(iter(changes)) in listener.refused[0]


async def test_a_new_secret_is_hidden_from_then_on(tmp_path: Path) -> None:
    """The log learns the credentials of the new file before anything is done with them."""
    login = {"mechanism": "SCRAM-SHA-512", "username": "u", "password": "brand-new-passphrase"}

    await _reload(tmp_path, **{"cluster.security.kafka": {"tls": True, "sasl": login}})

    assert REDACTOR.text("it said brand-new-passphrase twice") == "it said *** twice"


async def test_what_waits_for_the_next_start_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Channels, log and audit file are built once: a change of them is not lost in silence."""
    with caplog.at_level(logging.WARNING):
        await _reload(tmp_path, **{"audit.file": "a.jsonl", "logging.level": "debug"})

    assert "changes of logging, audit are in force from the next start on" in caplog.text


async def test_nothing_is_said_when_nothing_waits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A change of mode alone is in force at once."""
    with caplog.at_level(logging.WARNING):
        await _reload(tmp_path, mode="auto")

    assert caplog.text == ""
