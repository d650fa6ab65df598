"""Watches self-managed Kafka clusters, heals what a machine can safely heal, and explains itself."""

__version__ = "0.1.0"
