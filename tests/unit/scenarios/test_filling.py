"""Where the server is, as a proxy needs it."""

import pytest

from ticketsvc.errors import UsageError
from ticketsvc.lab.scenarios.filling import server_of


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://%2Frun%2Fpostgresql/shop", "is a Unix socket (/run/postgresql)"),
        ("host=@shop dbname=shop", "is a Unix socket (@shop)"),
        ("postgresql://one,two/shop", "has several hosts (one,two)"),
        ("postgresql://one:5432,one:5433/shop", "has several hosts"),
    ],
)
def test_an_address_that_no_proxy_can_stand_before_is_refused(url: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        server_of(url)
    assert words in str(caught.value)


def test_the_address_of_a_server() -> None:
    assert server_of("postgresql://shop:pw@db.example:5433/shop") == ("db.example", 5433)
