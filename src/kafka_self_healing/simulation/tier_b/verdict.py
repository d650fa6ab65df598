"""What is judged of the daemon's own memory and mail, at the end: I12, I13, mails, the outbox."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from kafka_self_healing.config import Settings
from kafka_self_healing.errors import JournalCorrupt, StorageError
from kafka_self_healing.instant import Instant
from kafka_self_healing.observability import audit
from kafka_self_healing.simulation.tier_b.healer import Healer
from kafka_self_healing.simulation.tier_b.smtp import Mail, PostOffice
from kafka_self_healing.storage import Journal, open_store
from kafka_self_healing.storage.store import DATABASE_FILE

Finding = tuple[str, str]
SETTLED_S: Final = 100.0
"""A mail must have left when the server has been up for so long: 80 s is the longest pause after an
outage of 90 s."""

LEAVES_WITHIN_S: Final = 5.0
"""A mail that was written while the server is up has left by then, if its daemon did not end."""

DIED_SOON_S: Final = 5.0
"""A process that ends so soon after a mail was accepted need not have written that down."""


def memory_of(settings: Settings, altered: int) -> Iterator[Finding]:
    """I13: chain and audit file verify; one altered row is named (`altered` picks it)."""
    folder = settings.state_dir
    with closing(open_store(folder, read_only=True)) as store:
        journal = Journal(store, settings.cluster.name)
        try:
            rows = journal.verify()
            compared = audit.verify(settings.audit_file, journal)
        except (JournalCorrupt, StorageError) as error:
            yield "I13", str(error)
            return
    if compared.behind:
        yield "I13", f"the audit file is {compared.behind} entries behind"
    seq = altered % rows + 1
    said = _after_alteration(folder, settings.cluster.name, seq)
    if not re.search(rf"\bentry {seq}\b", said):
        yield "I13", f"entry {seq} was altered, and the verdict is: {said or 'all is well'}"


def _after_alteration(folder: Path, cluster: str, seq: int) -> str:
    """Alter one row of a copy and return what `verify` says of it."""
    copy = folder / "altered"
    copy.mkdir()
    for name in (DATABASE_FILE, f"{DATABASE_FILE}-wal"):
        if (folder / name).exists():
            shutil.copy(folder / name, copy / name)
    with closing(sqlite3.connect(copy / DATABASE_FILE)) as connection, connection:
        triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        for (name,) in connection.execute(triggers).fetchall():
            connection.execute(f"DROP TRIGGER {name}")  # whoever alters a row stops at nothing
        change = "UPDATE journal SET payload = replace(payload, '{', '{ ') WHERE seq = ?"
        connection.execute(change, (seq,))
    with closing(open_store(copy, read_only=True)) as store:
        try:
            Journal(store, cluster).verify()
        except JournalCorrupt as error:
            return str(error)
    return ""


def mails_of(
    office: PostOffice, healer: Healer, full: Sequence[tuple[float, float]]
) -> Iterator[Finding]:
    """Every mail at most once, but for a death between its sending and its record.

    `full`: from when to when the disk was full.
    """
    seen: dict[str, Mail] = {}
    for mail in office.mails:
        before = seen.get(mail.id)
        seen[mail.id] = mail
        if before is None:
            continue
        first = healer.processes[before.process - 1]
        died = first.ended_at is not None and first.ended_at - before.at <= DIED_SOON_S
        unwritable = any(begin <= before.at <= end for begin, end in full)
        lost = first.stopping and first.number != mail.process
        if before.process == mail.process or not (died or unwritable or lost):
            yield "mail", f"{mail.id} left at {before.at:.1f} s and again at {mail.at:.1f} s"


def outbox_of(settings: Settings, office: PostOffice, now: Instant) -> Iterator[Finding]:
    """Nothing stays in the outbox once the server is up; nothing is given up."""
    with closing(sqlite3.connect(settings.state_dir / DATABASE_FILE)) as connection:
        asked = "SELECT notification, state, error, created_utc FROM outbox"
        rows = connection.execute(asked).fetchall()
    sent = {mail.id.strip("<>").partition("@")[0] for mail in office.mails}
    up = now.mono_s - office.up_since > SETTLED_S
    for notification, state, error, created_utc in rows:
        if state == "dead":
            yield "mail", f"{notification} was given up: {error}"
        elif state == "delivered" and notification not in sent:
            yield "mail", f"{notification} counts as delivered and never left"
        elif state == "due" and up and now.utc_s - created_utc > LEAVES_WITHIN_S:
            yield "mail", f"{notification} is still in the outbox: {error or 'never tried'}"


def digest_of(settings: Settings) -> str:
    """Return the hash of the newest journal entry: it stands for every byte before it."""
    with closing(sqlite3.connect(settings.state_dir / DATABASE_FILE)) as connection:
        seq, last = connection.execute("SELECT seq, hash FROM journal_head").fetchone()
    return f"{seq}:{last[:16]}"
