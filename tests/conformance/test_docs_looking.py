"""The page about the eyes' rhythm has the numbers of the code."""

from __future__ import annotations

from pathlib import Path

from kafka_self_healing.model.policy import Policy
from kafka_self_healing.monitoring.agenda import STARTS_A_TURN
from kafka_self_healing.monitoring.hints import LEAST_APART_S, SMALL_GROUP
from kafka_self_healing.monitoring.lanes import MOST, PLACES, SLOW_PLACES, SLOW_S
from kafka_self_healing.monitoring.rhythm import CALM_AFTER_S, JITTER, KNOCKING
from kafka_self_healing.monitoring.service import PROMPT_S
from kafka_self_healing.monitoring.witnesses import KEPT_S

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "looking.md"


def test_the_page_has_the_numbers_of_the_code() -> None:
    """Each constant stands in the page in the words around it."""
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    policy = Policy()
    a_minute = 60 / policy.silent_interval_s * 3  # LISTENER, PROTOCOL and QUORUM
    knocking = ", ".join(sorted(KNOCKING, key=_told))
    for said in (
        f"each kind every {policy.interval_s:g} s, up to {JITTER * 100:g} % later",
        f"as a witness (then for {policy.interval_s:g} s)",
        f"all its kinds every {policy.suspect_interval_s:g} s",
        f"({knocking}) every {policy.silent_interval_s:g} s",
        f"at a suspected node that end is after {policy.suspect_timeout_s:g} s",
        f"the same trouble for {CALM_AFTER_S:g} s",
        f"of more than {SMALL_GROUP} nodes only PROTOCOL",
        f"at most {1 / LEAST_APART_S:g} times a second",
        f"within {PROMPT_S:g} s it is cut off",
        f"for at least {KEPT_S:g} s",
        f"At most {STARTS_A_TURN} looks begin",
        f"CUSTOM): {PLACES} at once",
        f"{SLOW_PLACES} places of their own, and one that lasts longer than {SLOW_S:g} s",
        f"({MOST} in all)",
        f"about {a_minute:g} a minute",
    ):
        assert said in text, said


def _told(kind: str) -> int:
    return ("LISTENER", "PROTOCOL", "JVM", "QUORUM", "CANARY").index(kind)
