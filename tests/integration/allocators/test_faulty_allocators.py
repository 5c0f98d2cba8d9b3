"""An allocator of a user's own that fails by an error of its own, or answers what is not asked."""

import logging

import pytest

from tests.support.buying import post_purchase
from tests.support.commands import error_line
from tests.support.web_servers import serve_app
from ticketsvc.allocators import ALLOCATORS, Mechanism
from ticketsvc.database.pool import Pool
from ticketsvc.purchases import TicketRange
from ticketsvc.service.app import create_app
from ticketsvc.settings import Settings


class Faulty:
    mechanism = Mechanism(name="faulty", summary="", safe=False, schemas=("fixed",))

    def __init__(self, pool, schema):
        pass

    async def allocate(self, purchase):
        return ANSWERS[purchase.user_id]


class Failing(Faulty):
    async def allocate(self, purchase):
        raise LookupError("no such seat")


ANSWERS = {
    "A": None,
    "numbers": list(range(1, 9)),
    "too few": TicketRange(1, 4),
    "too many": TicketRange(1, 16),
}


async def test_a_wrong_answer_never_reaches_the_buyer_as_a_sale(database, http, caplog):
    app = create_app(Pool(database, Settings(pool_size=1)), Faulty, "fixed", max_waiting=9)
    async with serve_app(app) as url:
        for user, answer in ANSWERS.items():
            status, said, _ = await post_purchase(http, url, userId=user)
            assert (status, said["success"], said["code"]) == (500, False, "bug")
            assert "may have happened, or not" in said["error"]
            logged = caplog.records[-1]
            assert logged.levelno == logging.ERROR
            assert f"faulty returned {answer!r} for a purchase of 8" in str(logged.exc_info[1])


@pytest.mark.parametrize(
    ("allocator", "words"),
    [
        (Faulty, "line 17: faulty: TypeError: faulty returned None for a purchase of 8"),
        (Failing, "line 29: faulty: LookupError: no such seat"),
    ],
)
def test_explore_names_the_allocator_its_file_and_its_error(
    database, cli_here, monkeypatch, allocator, words
):
    monkeypatch.setitem(ALLOCATORS, "faulty", allocator)
    ended = cli_here("explore", "--allocator", "faulty", "--json", DATABASE_URL=database)
    assert error_line(ended).endswith(f"{__file__}, {words}")
    assert ended.stdout == ""
