"""Run by Alembic: migrates the connection that `store` hands over, in its transaction."""

from __future__ import annotations

from alembic import context

from kafka_self_healing.storage.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
context.run_migrations()
