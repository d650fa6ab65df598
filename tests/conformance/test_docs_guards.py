"""docs/guards.md, docs/conditions.md, docs/workflow.md and the code say the same."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.conformance import write_conditions

from kafka_self_healing.healing import guards, healer
from kafka_self_healing.healing.diagnosis.table import ROWS
from kafka_self_healing.healing.guards import ALSO_APPROVABLE, MATRIX
from kafka_self_healing.model.decision import Reason
from kafka_self_healing.model.incident import CLUSTER_WIDE, Condition, Reply
from kafka_self_healing.model.notification import NoticeKind

DOCS = Path(__file__).parents[2] / "docs"
BUDGETS = {"node_budget", "cluster_budget", "fleet_budget"}
WORKFLOW = {
    "watch_clocks": "Watch the clocks", "hear": "Hear", "_take": "Take", "settle": "Settle",
    "assess": "Assess", "update_windows": "Update the windows", "remember": "Remember",
    "diagnose": "Diagnose", "reconcile": "Reconcile", "verify": "Verify", "plan": "Plan",
    "tell": "Tell",
}  # fmt: skip


def rows(name: str) -> list[list[str]]:
    """The table rows of a page whose first cell is code."""
    lines = (DOCS / name).read_text(encoding="utf-8").splitlines()
    return [[c.strip() for c in line[1:-1].split("|")] for line in lines if line.startswith("| `")]


def reasons_in_code() -> Iterator[tuple[str, str]]:
    """Every reason that a guard gives, with the file that gives it."""
    for path in sorted(Path(guards.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id in {"refuse", "report"} and node.args:
                reason = node.args[0]
                if isinstance(reason, ast.Attribute):
                    yield Reason[reason.attr].value, path.name
                else:
                    assert ast.unparse(reason) == "reason"


def test_the_table_is_the_matrix() -> None:
    """Same guards, same order, same columns, same approvals; and each says what it asks."""
    table = [row for row in rows("guards.md") if len(row) == 6]
    mark = {True: "yes", False: "–"}
    expected = [
        [
            f"`{r.name}`", mark[r.start], mark[r.restart], mark[r.other],
            "yes" if r.approvable else "no",
        ]
        for r in MATRIX
    ]  # fmt: skip
    assert [row[:5] for row in table] == expected
    assert all(row[5].endswith("?") for row in table)


def test_every_reason_is_explained_and_none_is_invented() -> None:
    """The second table lists exactly the reasons of the code, each under a guard of the matrix."""
    table = {row[0].strip("`"): row[1].strip("`") for row in rows("guards.md") if len(row) == 3}
    assert set(table) == {reason for reason, _ in reasons_in_code()} | BUDGETS
    assert set(table) == {reason.value for reason in Reason} - {Reason.NOTHING.value}
    assert set(table.values()) - {"any"} == {row.name for row in MATRIX}


def test_the_reasons_that_an_approval_lifts_beside_the_matrix_are_named() -> None:
    """ALSO_APPROVABLE is in the text."""
    text = (DOCS / "guards.md").read_text(encoding="utf-8")
    sentence = text[text.index("Three refusals") : text.index("## The reasons")]
    assert set(re.findall(r"`([a-z_]+)`", sentence)) == ALSO_APPROVABLE


def test_every_condition_has_one_row_with_all_its_words() -> None:
    """A rule without its row, or a row that leaves something open, fails here."""
    assert sorted(row.condition for row in ROWS) == sorted(Condition)
    for row in ROWS:
        for name in ("seen", "contradicted_by", "holds", "done", "you"):
            assert len(getattr(row, name)) > 3, (row.condition, name)


def test_the_page_of_conditions_is_written_from_the_rows() -> None:
    """`python -m tests.conformance.write_conditions` was run after the last change of a row."""
    assert write_conditions.PAGE.read_text(encoding="utf-8") == write_conditions.page()


def test_the_page_of_conditions_has_every_one_and_every_answer() -> None:
    """In the enum's order and under its headings, with every answer explained above."""
    text = write_conditions.page()
    assert re.findall(r"^### (\w+)$", text, re.MULTILINE) == [c.value for c in Condition]
    above = text[: text.index("\n## ")]
    assert all(f"`{word.value}`" in above for word in Reply)
    assert all(condition.value in above for condition in CLUSTER_WIDE)


def test_every_kind_of_notice_is_explained_to_operators() -> None:
    """docs/notices.md has a row for each, in the enum's order."""
    assert [row[0].strip("`") for row in rows("notices.md")] == [k.value for k in NoticeKind]


def test_the_workflow_is_in_the_order_of_step() -> None:
    """The numbered list follows the calls of `step`, one by one."""
    source = Path(healer.__file__).read_text(encoding="utf-8")
    body = source[source.index("def step(") : source.index("return Step(")]
    places = [re.search(rf"\b{name}\(", body[body.index('"""', 120) :]) for name in WORKFLOW]
    assert all(places)
    starts = [place.start() for place in places if place]
    assert starts == sorted(starts)
    text = (DOCS / "workflow.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\d+\. \*\*([^*.]+?)(?: the incidents)?\.?\*\*", text, re.MULTILINE)
    assert listed == list(WORKFLOW.values())
    assert len(text.splitlines()) <= 45
