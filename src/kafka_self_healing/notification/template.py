"""`NotificationTemplate`: a notice as plain text. The whole story, times in UTC."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime

from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from kafka_self_healing.model.incident import CLUSTER_WIDE
from kafka_self_healing.model.notification import Notice, NoticeKind

MAX_SUBJECT = 120
"""Characters of a subject; what is longer ends with an ellipsis."""
MAX_LINE = 2_000
"""Characters of one sentence of the story."""
STORY_HEAD, STORY_TAIL = 100, 300
"""Lines kept at the beginning and at the end of a very long story."""
SUBJECT_NODES = 3
"""Nodes named in a subject; the text names them all."""

SUBJECT = (
    "[{{ cluster }}] {{ kind | upper }}{% if condition %} {{ condition }}{% endif %}"
    "{% if nodes %} {{ nodes | few }}{% endif %}: {{ summary }}"
)
BODY = """\
{{ summary }}

{{ meaning }}

Cluster:   {{ cluster }}
{%- if incident %}
Incident:  {{ incident }}
Condition: {{ condition }}
{%- endif %}
{%- if nodes %}
Nodes:     {{ nodes | join(", ") }}
{%- endif %}
Time:      {{ at | utc }}
{%- if you %}

What you do: {{ you }}
{%- endif %}
{%- if parts %}

Told together:
{%- for line in parts %}
- {{ line }}
{%- endfor %}
{%- endif %}
{%- if story %}

{{ heading }}:
{%- for line in story %}
- {{ line }}
{%- endfor %}
{%- endif %}
{%- if commands %}

On the machine of the daemon:
{%- for command in commands %}
  {{ command }}
{%- endfor %}
{%- endif %}
"""


def meaning(kind: NoticeKind) -> str:
    """Say whether somebody has to do something. mypy proves that no kind is forgotten."""
    match kind:
        case NoticeKind.FAILURE:
            return "Something is wrong. Nobody has to do anything yet."
        case NoticeKind.ESCALATION:
            return "This needs a person: it is not healed automatically."
        case NoticeKind.REFUSAL:
            return "This needs a person: healing has been refused for a while. It is asked again."
        case NoticeKind.GAVE_UP:
            return "This needs a person: the attempts are used up. Nothing is done before an ack."
        case NoticeKind.RECOVERY:
            return "This is over. Nothing has to be done."
        case NoticeKind.REMINDER:
            return "This still needs a person."
        case NoticeKind.DIGEST:
            return "This is the daily digest. It comes as long as the healer lives."


class NotificationTemplate:
    """Renders notices. The templates are sandboxed: they see the notice and nothing else."""

    def __init__(self, *, subject: str = SUBJECT, body: str = BODY) -> None:
        # Plain text: there is no markup that a value could break out of.
        environment = ImmutableSandboxedEnvironment(
            autoescape=False, undefined=StrictUndefined, keep_trailing_newline=True
        )
        environment.filters["utc"] = utc_text
        environment.filters["few"] = _few
        self._subject = environment.from_string(subject)
        self._body = environment.from_string(body)

    def subject(self, notice: Notice) -> str:
        """Return one line of at most `MAX_SUBJECT` characters."""
        return one_line(self._subject.render(_values(notice)), MAX_SUBJECT)

    def body(self, notice: Notice) -> str:
        """Return the text: what happened, to whom, since when, and what can be done."""
        return self._body.render(_values(notice))


def one_line(text: str, limit: int) -> str:
    """Return `text` without line breaks and control characters, cut to `limit` characters."""
    kept = (" " if unicodedata.category(char) in _NOT_TEXT else char for char in text)
    line = " ".join("".join(kept).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


_NOT_TEXT = {"Cc", "Cs", "Zl", "Zp"}
"""Unicode's control characters, lone surrogates (no encoding has them), and its line breaks."""


def utc_text(utc_s: float) -> str:
    """Return UTC seconds as ISO 8601 with whole seconds: `2026-03-01T12:00:00Z`."""
    return datetime.fromtimestamp(utc_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _few(nodes: Sequence[str]) -> str:
    named = ", ".join(nodes[:SUBJECT_NODES])
    more = len(nodes) - SUBJECT_NODES
    return f"{named} and {more} more" if more > 0 else named


def _values(notice: Notice) -> dict[str, object]:
    return {
        "kind": notice.kind.value,
        "meaning": meaning(notice.kind),
        "cluster": notice.cluster,
        "incident": notice.incident,
        "condition": notice.condition,
        "nodes": notice.nodes,
        "summary": one_line(notice.summary, MAX_LINE),
        "you": one_line(notice.you, MAX_LINE),
        "parts": [one_line(line, MAX_LINE) for line in _bounded(notice.parts)],
        "heading": "The day" if notice.kind is NoticeKind.DIGEST else "The story so far",
        "story": [one_line(line, MAX_LINE) for line in _bounded(notice.story)],
        "at": notice.at.utc_s,
        "commands": _commands(notice),
    }


def _bounded(story: Sequence[str]) -> Sequence[str]:
    left_out = len(story) - STORY_HEAD - STORY_TAIL
    if left_out <= 0:
        return story
    return [*story[:STORY_HEAD], f"({left_out} lines left out)", *story[-STORY_TAIL:]]


def _commands(notice: Notice) -> list[str]:
    """Return what an operator may want to type; after a recovery there is nothing to do."""
    if notice.kind is NoticeKind.RECOVERY:
        return []
    if notice.kind is NoticeKind.DIGEST:
        return ["kafka-self-healing status"]
    explain = [f"kafka-self-healing explain {node}" for node in notice.nodes[:SUBJECT_NODES]]
    # While a trouble of the cluster is taken over, those that it explains are quiet with it.
    peers = () if notice.condition in CLUSTER_WIDE else notice.also
    ids = (notice.incident, *peers)[:SUBJECT_NODES]
    return explain + [f"kafka-self-healing ack {id_}" for id_ in ids if id_]
