"""The tables as this version reads and writes them; `migrations` makes them, a test compares."""

from __future__ import annotations

import sqlalchemy as sa

REVISIONS = ("0001",)
"""The schema revisions that this version knows, oldest first (a test compares with migrations)."""

GENESIS = "0" * 64
"""What stands for the previous hash in the first entry of a journal."""

metadata = sa.MetaData()

journal = sa.Table(
    "journal",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("cluster", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("utc", sa.Double, nullable=False),
    sa.Column("boot", sa.Double, nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("prev_hash", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)

# One row: the newest entry. Without it, entries cut off at the end would leave a chain that fits.
journal_head = sa.Table(
    "journal_head",
    metadata,
    sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1"), primary_key=True),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("notification", sa.Text, nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("created_utc", sa.Double, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_utc", sa.Double, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.UniqueConstraint("channel", "notification", name="outbox_once"),
    sa.Index("outbox_due", "state", "next_utc"),
)
