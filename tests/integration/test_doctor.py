"""The doctor on a real cluster: silent where all is well, and exact where the file is wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from tests.integration.real_daemon import write_config

from kafka_self_healing.cli.main import cli
from kafka_self_healing.demo.cluster import EmbeddedCluster

pytestmark = pytest.mark.cluster


def _doctor(config: Path) -> tuple[int, list[dict[str, Any]]]:
    """Run the command and return its exit status and findings."""
    ran = CliRunner().invoke(cli, ["doctor", "--config", str(config), "--json"])
    assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
    return ran.exit_code, [json.loads(line) for line in ran.stdout.splitlines()]


@pytest.fixture(scope="module", autouse=True)
def _a_topic(cluster: EmbeddedCluster) -> None:
    """A cluster that shows no topic at all could as well hide them."""
    cluster.create_topics({"doctor": 1})


def _problems(found: list[dict[str, Any]]) -> list[str]:
    return [f"{one['about']}: {one['what']}" for one in found if one["level"] == "problem"]


def _changed(config: Path, **of_node_2: Any) -> Path:
    content = yaml.safe_load(config.read_text(encoding="utf-8"))
    content["cluster"]["nodes"][1].update(of_node_2)
    config.write_text(yaml.safe_dump(content), encoding="utf-8")
    return config


def test_a_right_configuration_has_no_problem(cluster: EmbeddedCluster, tmp_path: Path) -> None:
    """Every look of every node answers, and the inventory is the cluster's."""
    status, found = _doctor(write_config(tmp_path / "healer.yaml", cluster))
    assert _problems(found) == []
    assert status == 0
    good = [one["what"] for one in found if one["about"] == "2"]
    assert {what.split()[0] for what in good} >= {"LISTENER", "PROTOCOL", "QUORUM", "JVM", "HOST"}
    assert any(re.fullmatch(r"6 roles of cluster \S+ are those of the file", one["what"])
               for one in found)  # fmt: skip


def test_a_wrong_jmx_port_is_the_only_problem(cluster: EmbeddedCluster, tmp_path: Path) -> None:
    """It names the port, and how a broker is started with one."""
    config = _changed(write_config(tmp_path / "healer.yaml", cluster), jmx_port=1)
    status, found = _doctor(config)
    (problem,) = [one for one in found if one["level"] == "problem"]
    assert status == 1
    assert problem["about"] == "2"
    assert problem["what"].startswith("JVM: refused")
    assert "JMX_PORT=1" in problem["remedy"]


def test_a_broker_under_a_wrong_id_is_told_from_both_sides(
    cluster: EmbeddedCluster, tmp_path: Path
) -> None:
    """The file's node 7 is broker 2: what is missing and what is too much stand side by side."""
    status, found = _doctor(_changed(write_config(tmp_path / "healer.yaml", cluster), id=7))
    told = "\n".join(_problems(found))
    assert status == 1
    assert "7: the cluster knows no broker 7" in told
    assert "7: another broker answers at" in told
    assert "broker 2 is in the cluster, not in the file" in told
    lines = [one["remedy"] for one in found if one["remedy"].startswith("- {id: 2")]
    assert len(lines) == 2, "as a broker and as a controller"
