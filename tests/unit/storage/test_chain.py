"""Whatever is done to the entries behind our back, `verify` names the first bad one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kafka_self_healing.errors import JournalCorrupt
from kafka_self_healing.model.event import DaemonStopped
from kafka_self_healing.storage import Journal

MakeEvent = Callable[[int], DaemonStopped]
COLUMNS = "cluster, kind, utc, boot, payload, prev_hash, hash"


@pytest.fixture
def chain(journal: Journal, event: MakeEvent) -> Journal:
    """A journal of five entries."""
    journal.append([event(n) for n in range(1, 6)])
    return journal


def test_an_untouched_chain_verifies(chain: Journal) -> None:
    """A sound journal gives the number of its entries; an empty one gives none."""
    assert chain.verify() == 5


def test_an_empty_chain_verifies(journal: Journal) -> None:
    """No entry is no fault."""
    assert journal.verify() == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("payload = replace(payload, 'reason 3', 'reason 4')", "entry 3: altered"),
        ("kind = 'DaemonStarted'", "entry 3: altered"),
        ("cluster = 'other'", "entry 3: altered"),
        ("utc = utc + 0.001", "entry 3: altered"),
        ("boot = boot - 1", "entry 3: altered"),
        ("payload = x'00ff'", "entry 3: altered"),
        ("hash = replace(hash, substr(hash, 1, 4), '0000')", "entry 3: altered"),
        ("prev_hash = hash", "entry 3: does not follow"),
        ("seq = 30", r"entry 3: removed \(the next one is 4\)"),
    ],
)
def test_an_altered_entry_is_named(
    chain: Journal, tamper: Callable[..., None], change: str, says: str
) -> None:
    """A change of any column of one row is found at that row."""
    tamper(f"UPDATE journal SET {change} WHERE seq = 3")

    with pytest.raises(JournalCorrupt, match=says):
        chain.verify()


@pytest.mark.parametrize(
    ("statements", "says"),
    [
        (["DELETE FROM journal WHERE seq = 3"], r"entry 3: removed \(the next one is 4\)"),
        (["DELETE FROM journal WHERE seq = 1"], r"entry 1: removed \(the next one is 2\)"),
        (["DELETE FROM journal WHERE seq >= 4"], "entry 4: removed, with all up to 5"),
        (["DELETE FROM journal"], "entry 1: removed, with all up to 5"),
        (["DELETE FROM journal_head"], "head was removed"),
        (
            ["UPDATE journal_head SET hash = prev_hash FROM journal WHERE journal.seq = 5"],
            "entry 5",
        ),
    ],
)
def test_a_removed_entry_is_named(
    chain: Journal, tamper: Callable[..., None], statements: list[str], says: str
) -> None:
    """A gap, a cut at either end and a lost head are found."""
    tamper(*statements)

    with pytest.raises(JournalCorrupt, match=says):
        chain.verify()


def test_removed_and_closed_up_is_named(chain: Journal, tamper: Callable[..., None]) -> None:
    """Numbering the rest anew does not hide a removed entry."""
    tamper(
        "DELETE FROM journal WHERE seq = 3",
        "UPDATE journal SET seq = 3 WHERE seq = 4",
        "UPDATE journal SET seq = 4 WHERE seq = 5",
    )

    with pytest.raises(JournalCorrupt, match="entry 3: does not follow"):
        chain.verify()


@pytest.mark.parametrize(("seq", "named"), [(6, 6), (0, 0), (-3, -3)])
def test_an_entry_put_in_is_named(
    chain: Journal, tamper: Callable[..., None], seq: int, named: int
) -> None:
    """A row that we did not write is found at either end."""
    tamper(f"INSERT INTO journal SELECT {seq}, {COLUMNS} FROM journal WHERE seq = 5")

    with pytest.raises(JournalCorrupt, match=f"entry {named}: put in"):
        chain.verify()


def test_an_entry_put_between_is_named(chain: Journal, tamper: Callable[..., None]) -> None:
    """A row in the middle, the others moved up, is found where it stands."""
    tamper(
        "UPDATE journal SET seq = -seq WHERE seq >= 3",
        "UPDATE journal SET seq = 1 - seq WHERE seq < 0",
        f"INSERT INTO journal SELECT 3, {COLUMNS} FROM journal WHERE seq = 2",
    )

    with pytest.raises(JournalCorrupt, match="entry 3: does not follow"):
        chain.verify()


def test_entries_that_changed_places_are_named(chain: Journal, tamper: Callable[..., None]) -> None:
    """Two rows in each other's place are found at the first."""
    tamper(
        "UPDATE journal SET seq = 99 WHERE seq = 2",
        "UPDATE journal SET seq = 2 WHERE seq = 4",
        "UPDATE journal SET seq = 4 WHERE seq = 99",
    )

    with pytest.raises(JournalCorrupt, match="entry 2: does not follow"):
        chain.verify()


def test_a_long_chain_is_checked_to_its_end(
    journal: Journal, event: MakeEvent, tamper: Callable[..., None]
) -> None:
    """A bad entry beyond the first pages is named as well."""
    journal.append([event(n) for n in range(1, 1_302)])
    tamper("UPDATE journal SET boot = 0 WHERE seq = 1300")

    with pytest.raises(JournalCorrupt, match="entry 1300: altered"):
        journal.verify()
