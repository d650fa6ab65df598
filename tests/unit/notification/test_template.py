"""A notice becomes a short subject and a text with the whole story."""

from __future__ import annotations

from dataclasses import replace

import pytest
from jinja2.exceptions import SecurityError
from tests.unit.notification.fake_outbox import make_notice

from kafka_self_healing.instant import Instant
from kafka_self_healing.model.notification import Delivery, Notice, NoticeKind
from kafka_self_healing.notification import NotificationService, NotificationTemplate
from kafka_self_healing.notification.service import notification_id, undelivered

AT = Instant(5.0, 1_772_366_400.9)
FAILURE = make_notice(at=AT)


def test_the_whole_text() -> None:
    """This is what a person reads of a failure, to the letter."""
    letter = NotificationService().compose(FAILURE)

    assert letter.subject == "[lab] FAILURE PROCESS_GONE 2: node 2 is gone"
    assert letter.notice == FAILURE
    assert (
        letter.body
        == """\
node 2 is gone

Something is wrong. Nobody has to do anything yet.

Cluster:   lab
Incident:  I1
Condition: PROCESS_GONE
Nodes:     2
Time:      2026-03-01T12:00:00Z

The story so far:
- its process has ended
- its port refuses connections

On the machine of the daemon:
  kafka-self-healing explain 2
  kafka-self-healing ack I1
"""
    )


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (NoticeKind.FAILURE, "Nobody has to do anything yet."),
        (NoticeKind.REFUSAL, "healing has been refused for a while"),
        (NoticeKind.GAVE_UP, "Nothing is done before an ack."),
        (NoticeKind.ESCALATION, "This needs a person"),
        (NoticeKind.RECOVERY, "Nothing has to be done."),
        (NoticeKind.REMINDER, "This still needs a person."),
    ],
)
def test_it_says_whether_somebody_must_act(kind: NoticeKind, sentence: str) -> None:
    """Each kind tells the reader first whether something is asked of them."""
    letter = NotificationService().compose(replace(FAILURE, kind=kind))

    assert sentence in letter.body
    assert letter.subject.startswith(f"[lab] {kind.value.upper()} ")
    assert ("kafka-self-healing ack" in letter.body) == (kind is not NoticeKind.RECOVERY)


def test_what_is_told_together_and_what_you_do() -> None:
    """The runbook, a line an incident, and the command for each of the first ones."""
    letter = NotificationService().compose(
        replace(FAILURE, parts=("I1: a", "I2: b"), also=("I2",), you="look at `df`")
    )

    assert "\nWhat you do: look at `df`\n" in letter.body
    assert "\nTold together:\n- I1: a\n- I2: b\n" in letter.body
    assert "  kafka-self-healing ack I1\n  kafka-self-healing ack I2\n" in letter.body


def test_the_digest_is_of_no_incident() -> None:
    """Neither incident nor condition, and its lines are the day."""
    digest = replace(
        FAILURE, kind=NoticeKind.DIGEST, incident="", condition="", nodes=(),
        summary="0 open", story=("healed: one",),
    )  # fmt: skip
    letter = NotificationService().compose(digest)

    assert letter.subject == "[lab] DIGEST: 0 open"
    assert "\nThe day:\n- healed: one\n" in letter.body
    for heading in ("Incident:", "Condition:", "Nodes:", "ack"):
        assert heading not in letter.body
    assert "as long as the healer lives" in letter.body


def test_a_notice_without_nodes_and_story() -> None:
    """Empty parts leave no empty headings."""
    letter = NotificationService().compose(replace(FAILURE, nodes=(), story=(), incident=""))

    assert letter.subject == "[lab] FAILURE PROCESS_GONE: node 2 is gone"
    for heading in ("Nodes:", "story", "On the machine"):
        assert heading not in letter.body


def test_a_subject_is_one_short_line() -> None:
    """Line breaks of any alphabet and excess length never reach a header."""
    summary = "gone\r\nBcc: all@example.org\u2028and\x00on " + "x" * 500

    subject = NotificationTemplate().subject(replace(FAILURE, summary=summary))

    assert len(subject) == 120
    assert subject.startswith("[lab] FAILURE PROCESS_GONE 2: gone Bcc: all@example.org and on xx")
    assert subject.endswith("…")
    assert len(subject.splitlines()) == 1


def test_many_nodes() -> None:
    """The subject names three and counts the rest; the text names all."""
    nodes = tuple(str(n) for n in range(1, 10))
    letter = NotificationService().compose(replace(FAILURE, nodes=nodes))

    assert "PROCESS_GONE 1, 2, 3 and 6 more: " in letter.subject
    assert "Nodes:     1, 2, 3, 4, 5, 6, 7, 8, 9\n" in letter.body


def test_a_story_is_bounded() -> None:
    """Of an endless story the beginning and the end are kept, and the gap is told."""
    story = tuple(f"line {n}\nbroken" for n in range(100_000))
    body = NotificationTemplate().body(replace(FAILURE, story=story))

    assert "- line 0 broken\n" in body
    assert "- line 99999 broken\n" in body
    assert "- (99600 lines left out)\n" in body
    assert len(body.splitlines()) < 450


def test_what_the_cluster_says_is_never_a_template() -> None:
    """Braces in a summary or a story are text, markup is not changed."""
    hostile = "{{ 7 * 7 }} <b>&amp;</b> {% raw %}"
    letter = NotificationService().compose(replace(FAILURE, summary=hostile, story=(hostile,)))

    assert letter.subject.endswith(hostile)
    assert letter.body.count(hostile) == 2


def test_a_template_cannot_leave_its_sandbox() -> None:
    """A template of the operator's sees the notice and no Python."""
    template = NotificationTemplate(body="{{ summary.__class__.__mro__ }}")

    with pytest.raises(SecurityError):
        template.body(FAILURE)


def test_the_id_is_that_of_the_notice() -> None:
    """Same notice, same id, whatever its text; another key, kind, cluster or time, another."""
    again = replace(FAILURE, summary="other words", at=AT._replace(mono_s=9.0))
    others: list[Notice] = [
        replace(FAILURE, key="N2"),
        replace(FAILURE, kind=NoticeKind.RECOVERY),
        replace(FAILURE, cluster="lab2"),
        replace(FAILURE, incident="I2"),
        replace(FAILURE, cluster="labI", incident="1"),
        replace(FAILURE, at=AT.after(4 * 3600.0)),
    ]

    assert notification_id(again) == notification_id(FAILURE)
    assert len({notification_id(notice) for notice in [FAILURE, *others]}) == 7
    assert notification_id(FAILURE) == NotificationService().compose(FAILURE).id


def test_a_dead_letter_is_told_with_its_text() -> None:
    """The other channel gets the reason and the letter itself, dated now, under another id."""
    letter = NotificationService().compose(FAILURE)
    now = AT.after(86_400.0)

    told = undelivered(Delivery(7, "email", letter, 3, AT.utc_s), "550 no such user", now)

    assert told.id == f"undelivered-email-{letter.id}"
    assert told.subject == f"(not delivered by email) {letter.subject}"
    assert "after 3 tries:\n550 no such user\n" in told.body
    assert letter.body in told.body
    assert told.notice == replace(FAILURE, at=now)
