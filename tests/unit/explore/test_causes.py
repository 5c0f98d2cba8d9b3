"""The cause of a violation is named with its evidence, or not at all."""

import re

from ticketsvc.lab.explore.acts import Act
from ticketsvc.lab.explore.causes import cause_of

POOL, TICKETS = frozenset({"public.pool"}), frozenset({"public.tickets"})
NONE = frozenset()


def acts(*rows):
    """Make acts of (client, text, reads, changes, committed, more)."""
    return [
        Act(place, client, "AB"[client], text, (), reads, changes, committed, **more)
        for place, (client, text, reads, changes, committed, more) in enumerate(rows)
    ]


def name_of(*rows):
    found = cause_of(acts(*rows))
    return found and found.name


def test_a_stale_read_that_was_acted_upon():
    rows = (
        (0, "SELECT available FROM pool", POOL, NONE, 0, {"row": {"available": 8}, "rows": 1}),
        (1, "SELECT available FROM pool", POOL, NONE, 1, {"row": {"available": 8}, "rows": 1}),
        (1, "UPDATE pool SET available = available - 8", POOL, POOL, 2, {"rows": 1}),
        (0, "UPDATE pool SET available = available - 8", POOL, POOL, 3, {"rows": 1}),
    )
    found = cause_of(acts(*rows))
    assert found.name == "check-then-act on a stale read"
    assert "A read pool (available = 8) at step 1; B changed pool at step 3" in found.sentence
    assert found.places == (0, 2, 3)


def written_after_a_read(value, row="1"):
    read = {"row": {"v": 0}, "rows": 1}
    look, write = "SELECT v FROM pool WHERE id = ROW", "UPDATE pool SET v = VALUE WHERE id = ROW"
    write = write.replace("VALUE", value)
    return (
        (0, look.replace("ROW", "1"), POOL, NONE, 0, read),
        (1, look.replace("ROW", row), POOL, NONE, 1, read),
        (1, write.replace("ROW", row), POOL, POOL, 2, {"rows": 1}),
        (0, write.replace("ROW", "1"), POOL, POOL, 3, {"rows": 1}),
    )


def test_a_number_written_back_is_a_lost_update():
    assert name_of(*written_after_a_read("0 + 1")) == "lost update"


def test_a_constant_that_is_no_number_is_not_a_value_written_back():
    assert name_of(*written_after_a_read("'sold'")) == "check-then-act on a stale read"


def test_a_rival_on_another_row_is_no_cause():
    assert name_of(*written_after_a_read("0 + 1", row="2")) is None


def test_a_row_that_was_not_there_to_lock_is_a_phantom():
    look = "SELECT 1 FROM tickets WHERE seat = 1"
    rows = (
        (0, look, TICKETS, NONE, 4, {"rows": 0}),
        (1, look, TICKETS, NONE, 5, {"rows": 0}),
        (0, "INSERT INTO tickets VALUES (1)", NONE, TICKETS, 4, {"rows": 1}),
        (1, "INSERT INTO tickets VALUES (1)", NONE, TICKETS, 5, {"rows": 1}),
    )
    assert name_of(*rows) == "phantom"


def test_each_keeping_to_its_snapshot_and_changing_another_row_is_write_skew():
    look = "SELECT count(*) FROM pool WHERE on_call"
    rows = (
        (0, look, POOL, NONE, 4, {"row": {"count": 2}, "rows": 1}),
        (1, look, POOL, NONE, 5, {"row": {"count": 2}, "rows": 1}),
        (0, "UPDATE pool SET on_call = false WHERE id = 1", POOL, POOL, 4, {"rows": 1}),
        (1, "UPDATE pool SET on_call = false WHERE id = 2", POOL, POOL, 5, {"rows": 1}),
    )
    assert name_of(*rows) == "write skew"


def bought(update, rows):
    """A inserts at once, and changes the pool only after B has read, inserted and changed it."""
    look, insert = "SELECT available FROM pool", "INSERT INTO tickets VALUES (1)"
    read = {"row": {"available": 8}, "rows": 1}
    return acts(
        (0, look, POOL, NONE, 0, read),
        (0, insert, NONE, TICKETS, 1, {"rows": 1}),
        (1, look, POOL, NONE, 2, read),
        (1, insert, NONE, TICKETS, 3, {"rows": 1}),
        (1, update, POOL, POOL, 4, {"rows": 1}),
        (0, update, POOL, POOL, 5, {"rows": rows}),
    )


def test_an_insert_of_ones_own_before_the_change_hides_no_cause():
    guarded = "UPDATE pool SET available = available - 8 WHERE available >= 8"
    found = cause_of(bought(guarded, rows=0), "SELECT FROM tickets")
    assert found.name == "check-then-act on a stale read"
    assert found.places == (0, 1, 2, 3, 4)
    assert re.findall(r"step (\d)", found.sentence) == ["1", "2", "3", "4", "5"]


def test_each_invariant_has_the_cause_that_changed_what_it_looks_at():
    update = "UPDATE pool SET available = available - 8"
    places = {
        name: cause_of(bought(update, rows=1), f"SELECT FROM {name}").places
        for name in ("tickets", "pool")
    }
    assert places == {"tickets": (0, 1, 2, 3, 4), "pool": (0, 4, 5)}


def test_an_update_of_another_column_than_an_invariant_names_is_not_its_cause():
    update = "UPDATE pool SET available = available - 8"
    both = "FROM pool JOIN tickets USING (id) GROUP BY total HAVING count(number) > total"
    places = {
        select: cause_of(bought(update, rows=1), f"SELECT {select} {both}").places
        for select in ("total", "available", "*")
    }
    assert places == {"total": (0, 1, 2, 3, 4), "available": (0, 4, 5), "*": (0, 4, 5)}


def blind(text="UPDATE pool SET guest = $1 WHERE id = 1"):
    rows = (0, text, POOL, POOL, 2, {"rows": 1}), (1, text, POOL, POOL, 3, {"waited_for": (0,)})
    return acts(*rows, (0, "COMMIT", NONE, NONE, 2, {}))


def test_a_change_that_asks_nothing_is_unguarded_though_it_waited():
    differing = [Act(**{**vars(act), "values": (str(act.client),)}) for act in blind()]
    assert cause_of(differing).name == "unguarded update"
    assert cause_of([act for act in blind() if act.changes]).name == "repeated request"


def test_a_change_that_asks_what_the_row_was_is_not_called_unguarded():
    assert cause_of(blind("UPDATE pool SET v = v - 8 WHERE id = 1 AND v >= 8")) is None


def test_a_locking_read_that_waited_returns_the_row_as_it_is():
    look = "SELECT available FROM pool FOR UPDATE"
    rows = (
        (0, "UPDATE pool SET available = 0", POOL, POOL, 2, {"rows": 1}),
        (1, look, POOL, NONE, 4, {"rows": 1, "waited_for": (0,)}),
        (0, "COMMIT", NONE, NONE, 2, {}),
        (1, "UPDATE pool SET available = available - 8", POOL, POOL, 4, {"rows": 1}),
    )
    assert name_of(*rows) is None


def test_a_lock_given_back_before_the_commit():
    rows = (
        (0, "INSERT INTO tickets VALUES (1)", NONE, TICKETS, 4, {"rows": 1}),
        (0, "SELECT pg_advisory_unlock(1)", NONE, NONE, 4, {"rows": 1}),
        (1, "SELECT count(*) FROM tickets", TICKETS, NONE, 5, {"row": {"count": 0}, "rows": 1}),
        (1, "INSERT INTO tickets VALUES (1)", NONE, TICKETS, 5, {"rows": 1}),
    )
    assert name_of(*rows) == "lock released before commit"


def test_a_lock_given_back_before_the_commit_when_a_snapshot_is_kept():
    look = "SELECT count(*) FROM tickets"
    rows = (
        (0, "INSERT INTO tickets VALUES (1)", NONE, TICKETS, 3, {"rows": 1}),
        (0, "SELECT pg_advisory_unlock(1)", NONE, NONE, 3, {}),
        (1, "SELECT pg_advisory_lock(1)", NONE, NONE, 6, {}),
        (0, "SELECT 1", NONE, NONE, 3, {}),
        (1, look, TICKETS, NONE, 6, {"row": {"count": 0}, "rows": 1, "snapshot": 2}),
        (1, "INSERT INTO tickets VALUES (1)", NONE, TICKETS, 6, {"rows": 1}),
    )
    assert name_of(*rows) == "lock released before commit"
    *others, (client, text, reads, changes, committed, _), last = rows
    assert name_of(*others, (client, text, reads, changes, committed, {}), last) is None


def test_what_the_evidence_does_not_show_is_unexplained():
    serial = (
        (0, "SELECT available FROM pool", POOL, NONE, 0, {"rows": 1}),
        (0, "UPDATE pool SET available = available - 8", POOL, POOL, 1, {"rows": 1}),
        (1, "SELECT available FROM pool", POOL, NONE, 2, {"rows": 1}),
        (1, "UPDATE pool SET available = available - 8", POOL, POOL, 3, {"rows": 1}),
    )
    assert name_of(*serial[:2]) is None
    assert name_of(*[(*row[:4], None, row[5]) for row in serial]) is None
