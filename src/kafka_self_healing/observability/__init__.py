"""What we write about ourselves: the log, and the audit file that follows the journal."""

from __future__ import annotations

from kafka_self_healing.observability.audit import AuditComparison, AuditLogger, verify
from kafka_self_healing.observability.logs import LogFormat, LoggingService, LogSettings
from kafka_self_healing.observability.redaction import Redactor
from kafka_self_healing.observability.rotation import LogRotator

__all__ = [
    "AuditComparison",
    "AuditLogger",
    "LogFormat",
    "LogRotator",
    "LogSettings",
    "LoggingService",
    "Redactor",
    "verify",
]
