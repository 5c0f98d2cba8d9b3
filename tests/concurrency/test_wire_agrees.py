"""Our own allocators have the same schedules in this process and through the wire."""

import pytest

from ticketsvc.allocators import ALLOCATORS
from ticketsvc.database.schemas import ddl
from ticketsvc.lab.explore.cases import Case
from ticketsvc.lab.explore.explorer import explore
from ticketsvc.lab.explore.scenario import explore_scenario
from ticketsvc.lab.scenarios.spec import read_scenario

# A pool would send statements of its own on a new connection.
CLIENT = """
from psycopg import AsyncConnection
from psycopg.rows import namedtuple_row
from ticketsvc.allocators import ALLOCATORS
from ticketsvc.purchases import Purchase
from ticketsvc.sales.seller import sell

class Lender:
    def __init__(self, connection):
        self.connection = connection

    async def getconn(self):
        return self.connection

    async def putconn(self, connection):
        pass

async def buy(url, n):
    options = dict(autocommit=True, row_factory=namedtuple_row)
    async with await AsyncConnection.connect(url, **options) as connection:
        allocator = ALLOCATORS["{name}"](Lender(connection), "{schema}")
        await sell(allocator, Purchase(f"buyer-{{n}}", "E", 8))
"""
# The explorer in this process works without sequential scans: so does this.
SCENARIO = """
[database]
schema = ["schema.sql", "stock.sql"]

[[client]]
name = "buyer"
count = 2
python = "client:buy"

[[invariant]]
name = "sound"
sql = '''
WITH held AS (
    SELECT ticket_number AS first, ticket_number AS last FROM {schema}.issued_tickets
    {ranges}
), numbers AS (SELECT generate_series(first, last) AS number FROM held)
SELECT total, available FROM {schema}.ticket_pools
WHERE total - available <> (SELECT count(*) FROM numbers)
   OR (SELECT count(*) FROM numbers) > total
   OR (SELECT count(DISTINCT number) <> count(*) FROM numbers)
'''
"""
RANGES = "UNION ALL SELECT start_ticket, end_ticket FROM fixed.ticket_allocations"


def write_scenario(folder, name, schema):
    stock = "('E', 8, 8, 1)" if schema == "fixed" else "('E', 8, 8)"
    constraint = ALLOCATORS[name].mechanism.constraint.replace("{schema}", schema)
    (folder / "client.py").write_text(CLIENT.format(name=name, schema=schema))
    (folder / "schema.sql").write_text(ddl(schema))
    (folder / "stock.sql").write_text(
        f"INSERT INTO {schema}.ticket_pools VALUES {stock};\n{constraint};\n"  # noqa: S608
        "DO $$ BEGIN EXECUTE format("
        "'ALTER DATABASE %I SET enable_seqscan = off', current_database()); END $$;\n"
    )
    file = folder / "scenario.toml"
    file.write_text(SCENARIO.format(schema=schema, ranges=RANGES if schema == "fixed" else ""))
    return file


# Commits that are not held are the same statements with fewer steps: one shows that both agree.
@pytest.mark.parametrize(
    ("name", "hold_commits"),
    [("naive_bulk", False), *((name, True) for name in ALLOCATORS)],
)
async def test_both_ways_agree_on_counts(server, tmp_path, name, hold_commits):
    schema = ALLOCATORS[name].mechanism.plainest_schema
    url = server.server.url
    here = await explore(url, Case(name, schema, hold_commits=hold_commits))
    scenario = read_scenario(write_scenario(tmp_path, name, schema))
    wire = await explore_scenario(url, scenario, hold_commits=hold_commits)
    assert wire.reasons == []
    # The classes may be more: of what is checked as late as at COMMIT the wire assumes the worst.
    assert (wire.schedules, wire.clean, wire.blocked, wire.refused) == (
        here.schedules,
        here.clean,
        here.blocked,
        here.refused,
    )
