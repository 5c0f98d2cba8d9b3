"""The reduction loses nothing of what clients do to tables through the wire.

Each case is explored in full and reduced: every outcome must come out of as many schedules.
"""

from collections import Counter

import pytest

from ticketsvc.lab.explore.scenario import explore_scenario
from ticketsvc.lab.scenarios.spec import read_scenario

CLIENTS = """
import psycopg

def play(url, statements):
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            try:
                connection.execute(statement)
            except psycopg.Error:
                pass  # one that goes on after an error
"""
SCENARIO = """
[database]
schema = ["schema.sql"]

{clients}
[[invariant]]
name = "the data"
sql = '''
WITH data AS (
    SELECT string_agg(concat(place, n, '=', v), ' ' ORDER BY place, n, v) AS found
    FROM (SELECT 'a', n, v FROM a UNION ALL SELECT 'b', n, v FROM b) AS each (place, n, v)
)
SELECT found FROM data WHERE found <> 'a1=1 a2=2 b1=1'
'''
"""
TABLES = """
CREATE TABLE a (n int PRIMARY KEY, v int);
CREATE TABLE b (n int, v int);
INSERT INTO a VALUES (1, 1), (2, 2);
INSERT INTO b VALUES (1, 1);
"""
TRIGGERED = """
CREATE FUNCTION bumps() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM bump(); RETURN NEW; END $$;
"""
MERGED = """
CREATE TABLE m (n int);
INSERT INTO m VALUES (1);
CREATE TRIGGER t BEFORE UPDATE ON m FOR EACH ROW EXECUTE FUNCTION bumps();
"""
FUNCTION = """
CREATE FUNCTION bump() RETURNS int LANGUAGE plpgsql AS $$
DECLARE found int;
BEGIN
    SELECT sum(v) INTO found FROM b;
    UPDATE a SET v = v + found WHERE n = 1;
    RETURN found;
END $$;
"""
# More than TABLES, what one client sends, and what the other does.
CASES = {
    "lock table": ("", ["BEGIN", "LOCK TABLE a", "UPDATE a SET v = 9", "COMMIT"],
                   ["INSERT INTO b SELECT 5, sum(v) FROM a"]),
    "truncate": ("", ["BEGIN", "TRUNCATE b", "INSERT INTO b VALUES (7, 7)", "COMMIT"],
                 ["BEGIN", "SELECT sum(v) FROM b", "UPDATE a SET v = 3 WHERE n = 1", "COMMIT"]),
    "truncate in a function": (
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'TRUNCATE b; SELECT NULL::void'",
        ["SELECT f()"], ["BEGIN", "SELECT sum(v) FROM b", "SELECT sum(v) FROM a", "COMMIT"]),
    "savepoint that fails": (
        "", ["BEGIN", "UPDATE a SET v = 8 WHERE n = 1", "SAVEPOINT s", "INSERT INTO a VALUES (1)",
             "ROLLBACK TO s", "COMMIT"],
        ["UPDATE a SET v = v + 1 WHERE n = 1"]),
    "savepoint undone": (
        "", ["BEGIN", "SAVEPOINT s", "UPDATE a SET v = 8 WHERE n = 1", "ROLLBACK TO s", "COMMIT"],
        ["SELECT v FROM a WHERE n = 1 FOR UPDATE SKIP LOCKED"]),
    "skip locked": (
        "", ["BEGIN", "SELECT n FROM a ORDER BY n LIMIT 1 FOR UPDATE SKIP LOCKED",
             "UPDATE a SET v = 0 WHERE n = 1", "COMMIT"],
        ["BEGIN", "SELECT n FROM a ORDER BY n LIMIT 1 FOR UPDATE SKIP LOCKED", "ROLLBACK"]),
    "nowait": ("", ["UPDATE a SET v = 5 WHERE n = 1"],
               ["BEGIN", "SELECT v FROM a WHERE n = 1 FOR SHARE NOWAIT", "COMMIT"]),
    "several in one query": (
        "", ["BEGIN; UPDATE a SET v = 4 WHERE n = 1", "UPDATE b SET v = 4; COMMIT"],
        ["SELECT sum(v) FROM b", "UPDATE a SET v = v + 1 WHERE n = 1"]),
    "partitions": (
        "CREATE TABLE p (n int, v int) PARTITION BY LIST (n);"
        "CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);"
        "CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2);",
        ["INSERT INTO p1 VALUES (1, 1)"],
        ["INSERT INTO p VALUES (1, 2)", "INSERT INTO b SELECT 9, count(*) FROM p WHERE n = 1"]),
    "foreign key": (
        "ALTER TABLE b ADD FOREIGN KEY (n) REFERENCES a",
        ["BEGIN", "INSERT INTO b VALUES (2, 2)", "COMMIT"],
        ["DELETE FROM a WHERE n = 2", "SELECT count(*) FROM b"]),
    "deferred foreign key": (
        "ALTER TABLE b ADD FOREIGN KEY (n) REFERENCES a DEFERRABLE INITIALLY DEFERRED",
        ["BEGIN", "INSERT INTO b VALUES (3, 3)", "COMMIT"],
        ["INSERT INTO a VALUES (3, 3)", "DELETE FROM a WHERE n = 3"]),
    "deferred unique": (
        "ALTER TABLE b ADD UNIQUE (n) DEFERRABLE INITIALLY DEFERRED",
        ["BEGIN", "INSERT INTO b VALUES (4, 1)", "COMMIT"],
        ["BEGIN", "INSERT INTO b VALUES (4, 2)", "COMMIT"]),
    "function": (FUNCTION, ["SELECT bump()"],
                 ["INSERT INTO b VALUES (2, 5)", "SELECT bump()"]),
    "procedure": (
        "CREATE PROCEDURE f() LANGUAGE sql AS 'UPDATE a SET v = v + (SELECT sum(v) FROM b)'",
        ["CALL f()"], ["INSERT INTO b VALUES (2, 5)", "DO $$ BEGIN CALL f(); END $$"]),
    "function in a check": (
        "CREATE FUNCTION few() RETURNS bool LANGUAGE plpgsql AS"
        " $$ BEGIN RETURN (SELECT count(*) < 3 FROM b); END $$;"
        "CREATE TABLE c (n int CHECK (few()));",
        ["INSERT INTO c VALUES (1)", "INSERT INTO b SELECT 8, count(*) FROM c"],
        ["INSERT INTO b VALUES (6, 6), (7, 7)"]),
    "trigger": (
        FUNCTION + TRIGGERED +
        "CREATE TRIGGER t BEFORE INSERT ON b FOR EACH ROW EXECUTE FUNCTION bumps();",
        ["INSERT INTO b VALUES (2, 2)"], ["SELECT v FROM a WHERE n = 1", "UPDATE a SET v = 7"]),
    "trigger of merge": (
        FUNCTION + TRIGGERED + MERGED,
        ["MERGE INTO m USING (VALUES (1)) s(n) ON m.n = s.n WHEN MATCHED THEN UPDATE SET n = 2"],
        ["SELECT v FROM a WHERE n = 1", "UPDATE a SET v = 7"]),
    "rule": (
        "CREATE TABLE r (n int);"
        "CREATE RULE also AS ON INSERT TO r DO ALSO UPDATE a SET v = v + 10 WHERE n = 1",
        ["INSERT INTO r VALUES (1)"], ["SELECT v FROM a WHERE n = 1", "UPDATE a SET v = 7"]),
    "view": (
        "CREATE VIEW seen AS SELECT sum(v) AS s FROM a",
        ["UPDATE a SET v = 5 WHERE n = 1"], ["INSERT INTO b SELECT 1, s FROM seen"]),
    "sequence": (
        "CREATE SEQUENCE s; CREATE TABLE c (id int DEFAULT nextval('s'), n int)",
        ["INSERT INTO c VALUES (DEFAULT, 1)"],
        ["INSERT INTO c VALUES (DEFAULT, 2)", "INSERT INTO b SELECT id, n FROM c ORDER BY n"]),
    "last value of a sequence": (
        "CREATE SEQUENCE s; CREATE TABLE c (m int DEFAULT nextval('s'), n int)",
        ["INSERT INTO c(n) VALUES (1)", "INSERT INTO b SELECT last_value, 1 FROM s"],
        ["INSERT INTO c(n) VALUES (2)"]),
    "currval": (
        "CREATE SEQUENCE s; CREATE TABLE c (m int DEFAULT nextval('s'), n int)",
        ["INSERT INTO c(n) VALUES (1)", "INSERT INTO b SELECT 1, currval('s')"],
        ["INSERT INTO c(n) VALUES (2)"]),
    "another search path": (
        "CREATE SCHEMA x; CREATE VIEW x.c AS SELECT * FROM a; CREATE TABLE c (n int, v int)",
        ["SET search_path = x", "INSERT INTO c VALUES (3, 3)"],
        ["INSERT INTO b SELECT 1, count(*) FROM a"]),
    "advisory lock": (
        "", ["SELECT PG_ADVISORY_LOCK(1)", "UPDATE a SET v = 6", "SELECT PG_ADVISORY_UNLOCK(1)"],
        ["INSERT INTO b SELECT sum(v), pg_try_advisory_lock(1)::int FROM a"]),
    "repeatable read": (
        "", ["BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1", "UPDATE a SET v = v + 1",
             "COMMIT"],
        ["UPDATE a SET v = v + 5"]),
    "commit and chain": (
        "", ["BEGIN ISOLATION LEVEL REPEATABLE READ", "UPDATE b SET v = 2", "COMMIT AND CHAIN",
             "INSERT INTO b SELECT 9, sum(v) FROM a", "COMMIT"],
        ["UPDATE a SET v = v + 5"]),
    "cursor": (
        "", ["BEGIN", "DECLARE c CURSOR FOR SELECT v FROM a WHERE n = 1", "FETCH c", "COMMIT"],
        ["UPDATE a SET v = 5 WHERE n = 1"]),
    "left by closing": (
        "", ["BEGIN", "UPDATE a SET v = 5 WHERE n = 1"],
        ["SELECT v FROM a WHERE n = 1 FOR UPDATE SKIP LOCKED"]),
}  # fmt: skip


def outcomes(found):
    """Return how many schedules end in each outcome, with all that each client was told."""
    counted = Counter()
    for run in found.runs:
        told = tuple(
            tuple((s.text, s.rows, s.error, str(s.read)) for s in run.steps if s.session == client)
            for client in range(len(run.names))
        )
        counted[run.outcome, told] += run.represents
    return counted


async def explore_both_ways(server, folder, tables, clients, **options):
    """Return what is found in full and reduced."""
    (folder / "schema.sql").write_text(tables)
    functions = [f"def do{n}(url, _): play(url, {sent!r})" for n, sent in enumerate(clients)]
    (folder / "clients.py").write_text("\n".join([CLIENTS, *functions]))
    acting = [
        f'[[client]]\nname = "{n}"\npython = "clients:do{n}"\n' for n, _ in enumerate(clients)
    ]
    (folder / "scenario.toml").write_text(SCENARIO.format(clients="".join(acting)))
    scenario = read_scenario(folder / "scenario.toml")
    return [
        await explore_scenario(server.server.url, scenario, full=full, keep=True, **options)
        for full in (True, False)
    ]


@pytest.mark.parametrize("case", CASES)
async def test_reduced_and_full_have_the_same_outcomes(server, tmp_path, case):
    more, *clients = CASES[case]
    full, reduced = await explore_both_ways(server, tmp_path, TABLES + more, clients)
    assert (full.reasons, reduced.reasons) == ([], [])
    assert outcomes(reduced) == outcomes(full)
    assert len(outcomes(full)) > 1, "the order does not matter: this case shows nothing"
    assert reduced.classes <= full.classes == full.schedules


async def test_what_a_blocked_statement_does_is_seen_once_it_is_released(server, tmp_path):
    clients = [
        ["BEGIN", "UPDATE a SET v = 3 WHERE n = 1", "COMMIT"],
        ["WITH x AS (UPDATE a SET v = v * 2 WHERE n = 1) INSERT INTO b VALUES (7, 7)"],
        ["SELECT count(*) FROM b"],
    ]
    full, reduced = await explore_both_ways(server, tmp_path, TABLES, clients, hold_commits=False)
    assert outcomes(reduced) == outcomes(full)
