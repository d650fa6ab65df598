"""The voice: what is told to people, durably, until a channel took it or it was given up."""

from __future__ import annotations

from kafka_self_healing.notification.channels.email import EmailNotifier
from kafka_self_healing.notification.delivery_queue import DeliveryPolicy, DeliveryQueue
from kafka_self_healing.notification.outbox_port import Outbox
from kafka_self_healing.notification.service import NotificationService
from kafka_self_healing.notification.template import NotificationTemplate

__all__ = [
    "DeliveryPolicy",
    "DeliveryQueue",
    "EmailNotifier",
    "NotificationService",
    "NotificationTemplate",
    "Outbox",
]
