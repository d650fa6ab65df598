"""The doctor on real hosts: what is missing there is told, with the line that mends it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.hosts import Lab

MODE = "kraft"
pytestmark = pytest.mark.lab
LIMIT_S = 60.0
SUDOERS = "/etc/sudoers.d/healer"


@pytest.fixture
def config(lab: Lab, tmp_path: Path) -> Path:
    """The configuration of a daemon for the lab."""
    return lab.write_config(tmp_path)


@pytest.fixture
def spoilt(lab: Lab) -> Iterator[Lab]:
    """The lab, of which host 2 is mended after the test."""
    lab.ssh(2, f"cp {SUDOERS} /root/sudoers")
    yield lab
    lab.ssh(2, f"cp /root/sudoers {SUDOERS}; chmod 440 {SUDOERS}")
    lab.ssh(2, "rm -rf /run/systemd/system/kafka.service.d; systemctl daemon-reload")
    lab.ssh(2, "mv /root/authorized_keys /home/healer/.ssh/ 2>/dev/null || :")


def _doctor(lab: Lab, config: Path) -> tuple[int, list[dict[str, Any]]]:
    inside = ["nsenter", "--net=/run/netns/lab-br", sys.executable]
    command = [*inside, "-m", "kafka_self_healing.cli.main", "doctor", "-c", str(config), "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert ran.stderr == ""
    return ran.returncode, [json.loads(line) for line in ran.stdout.splitlines()]


def _told(found: list[dict[str, Any]], level: str, about: str) -> str:
    """Return what was told of one node at one level, remedies included."""
    mine = [one for one in found if (one["level"], one["about"]) == (level, about)]
    return "\n".join(f"{one['what']} → {one['remedy']}" for one in mine)


def test_nothing_is_missing_in_a_lab_that_is_whole(lab: Lab, config: Path) -> None:
    """All accesses are there; the topic of one replica is a note, with the line to add."""
    status, found = _doctor(lab, config)
    assert (status, _told(found, "problem", "lab")) == (0, "")
    assert "replicas.exempt_topics: [rf1]" in _told(found, "note", "lab")
    assert "6 roles of cluster" in _told(found, "good", "lab")


def test_what_sudo_does_not_permit_is_told_with_the_line(spoilt: Lab, config: Path) -> None:
    """Only the missing command; and a unit that calls a clean stop a failure."""
    spoilt.ssh(2, f"sed -i 's#/usr/bin/systemctl restart kafka.service, ##' {SUDOERS}")
    spoilt.drop_in(2, "[Service]\\nSuccessExitStatus=\\n")
    status, found = _doctor(spoilt, config)
    assert status == 1
    assert "healer ALL=(root) NOPASSWD: " in _told(found, "problem", "2")
    assert "restart kafka.service" in _told(found, "problem", "2")
    assert "SuccessExitStatus=143" in _told(found, "note", "2")
    assert _told(found, "problem", "1") == ""


def test_a_key_that_a_host_does_not_know_is_told(spoilt: Lab, config: Path) -> None:
    """Neither SERVICE nor HOST can be asked there, and the remedy names the file."""
    spoilt.ssh(2, "mv /home/healer/.ssh/authorized_keys /root/")
    status, found = _doctor(spoilt, config)
    assert status == 1
    assert "authorized_keys" in _told(found, "problem", "2")
    assert "SERVICE: authentication" in _told(found, "problem", "2")


def test_an_inventory_with_a_wrong_id_and_a_missing_node_is_told(lab: Lab, tmp_path: Path) -> None:
    """Broker 3 is called 4 in the file: both are named, with the line to write."""
    config = lab.write_config(tmp_path)
    config.write_text(config.read_text().replace("id: 3\n", "id: 4\n"))
    status, found = _doctor(lab, config)
    assert status == 1
    assert "- {id: 3, roles: [broker], host: 10.88.0.13" in _told(found, "problem", "lab")
    assert "the cluster knows no broker 4" in _told(found, "problem", "4")
    assert "another broker answers at 10.88.0.13:9092" in _told(found, "problem", "4")
