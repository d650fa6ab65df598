"""The error of the embedded cluster: something it needs is missing or did not happen in time."""

from __future__ import annotations

from kafka_self_healing.errors import KafkaSelfHealingError


class DemoError(KafkaSelfHealingError):
    """The embedded cluster cannot go on; the text says what is missing and what to do."""
