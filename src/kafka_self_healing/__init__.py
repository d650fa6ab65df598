"""Watches self-managed Kafka clusters, heals what can safely be healed, and explains itself."""

__version__ = "0.1.0"
