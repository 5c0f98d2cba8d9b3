"""A scenario file: what is right is read, what is wrong is named in one line."""

import pytest

from ticketsvc.errors import UsageError
from ticketsvc.lab.scenarios.spec import read_scenario

GOOD = """
[database]
schema = ["CREATE TABLE t (a int)"]

[service]
command = ["true"]
url = "http://127.0.0.1:{port}"

[[client]]
name = "buyer"
count = 2
request = { path = "/buy", json = { n = "{n}", quantity = 8 } }
numbers = "tickets"

[[invariant]]
name = "sound"
sql = "SELECT 1 WHERE false"

[[fix]]
name = "unique"
sql = "ALTER TABLE t ADD UNIQUE (a)"
"""


def read(tmp_path, text):
    file = tmp_path / "a.toml"
    file.write_text(text)
    return read_scenario(file)


def test_a_scenario_is_read(tmp_path):
    scenario = read(tmp_path, GOOD)
    (client,) = scenario.client
    assert client.request.json_ == {"n": "{n}", "quantity": 8}
    assert scenario.database.isolation == "read committed"
    assert scenario.folder == tmp_path


def replaced(old, new):
    assert old in GOOD
    return GOOD.replace(old, new)


WRONG = {
    "not TOML": ("[database", "TOML"),
    "an unknown table": (GOOD + "[colour]\n", "colour: unknown key"),
    "no database": (
        replaced("[database]", "[databas]"),
        "databas: unknown key; did you mean database?",
    ),
    "no schema": (
        replaced("schema =", "schem ="),
        "database.schem: unknown key; did you mean schema?",
    ),
    "a schema that is no list": (replaced('["CREATE TABLE t (a int)"]', '"x"'), "database.schema"),
    "an empty schema": (replaced('["CREATE TABLE t (a int)"]', "[]"), "database.schema"),
    "a schema file that is not there": (
        replaced("CREATE TABLE t (a int)", "none.sql"),
        "there is no file none.sql",
    ),
    "an unknown isolation": (
        replaced('(a int)"]', '(a int)"]\nisolation = "snapshot"'),
        "database.isolation",
    ),
    "a reset that is no text": (
        replaced('schema = ["CREATE', 'reset = 1\nschema = ["CREATE'),
        "database.reset: must be a text",
    ),
    "no command": (replaced('command = ["true"]', ""), "service.command: is missing"),
    "a command that is a text": (replaced('["true"]', '"true"'), "service.command"),
    "an empty command": (replaced('["true"]', "[]"), "service.command"),
    "no url": (replaced('url = "http://127.0.0.1:{port}"', ""), "service.url: is missing"),
    "an environment that is no table": (
        replaced('command = ["true"]', 'command = ["true"]\nenvironment = 3'),
        "service.environment",
    ),
    "an unknown key of a service": (
        replaced('command = ["true"]', 'command = ["true"]\nport = 3'),
        "service.port: unknown key",
    ),
    "no client": (replaced("[[client]]", "[[guest]]"), "client: is missing"),
    "a misspelt key of a request": (
        replaced('path = "/buy"', 'paht = "/buy"'),
        "client.1.request.paht: unknown key; did you mean path?",
    ),
    "a misspelt word": (
        replaced(
            'command = ["true"]', 'command = ["true"]\nenvironment = { DB = "{databse_url}" }'
        ),
        "service.environment.DB: unknown word {databse_url}; did you mean database_url?; known are "
        "{database_url}, {host}, ",
    ),
    "a misspelt word of a request": (
        replaced('"{n}"', '["{nn}"]'),
        "client.1.request.json.n: unknown word {nn}",
    ),
    "a word of clients in a service": (
        replaced('["true"]', '["{n}"]'),
        "service.command: unknown word {n}",
    ),
    "a client without a name": (replaced('name = "buyer"', ""), "client.1.name: is missing"),
    "a client that does nothing": (
        replaced('request = { path = "/buy", json = { n = "{n}", quantity = 8 } }', ""),
        "exactly one of request, sql, python, command",
    ),
    "a client that does two things": (
        replaced("count = 2", 'count = 2\nsql = "SELECT 1;"'),
        "request and sql",
    ),
    "a count that is a text": (replaced("count = 2", 'count = "2"'), "client.1.count"),
    "too many clients": (replaced("count = 2", "count = 9"), "client.1.count"),
    "nobody": (replaced("count = 2", "count = 0"), "1 to 8 clients"),
    "a negative count": (replaced("count = 2", "count = -1"), "client.1.count"),
    "a request without a path": (replaced('path = "/buy", ', ""), "request.path: is missing"),
    "an unknown method": (
        replaced('path = "/buy"', 'path = "/buy", method = "BUY"'),
        "request.method",
    ),
    "an unknown key of a request": (
        replaced('path = "/buy"', 'path = "/buy", body = "x"'),
        "request.body: unknown key",
    ),
    "a request without a service": (
        replaced("[service]", "")
        .replace('command = ["true"]', "")
        .replace('url = "http://127.0.0.1:{port}"', ""),
        "needs a [service]",
    ),
    "a success that is a number": (
        replaced("count = 2", "count = 2\nsuccess = 200"),
        "client.1.success",
    ),
    "numbers of a script": (
        replaced(
            'request = { path = "/buy", json = { n = "{n}", quantity = 8 } }', 'sql = "SELECT 1;"'
        ),
        "numbers and success belong to a request",
    ),
    "a python that names no function": (
        replaced(
            'request = { path = "/buy", json = { n = "{n}", quantity = 8 } }\nnumbers = "tickets"',
            'python = "buy"',
        ),
        "client.1.python",
    ),
    "a script that is not there": (
        replaced(
            'request = { path = "/buy", json = { n = "{n}", quantity = 8 } }\nnumbers = "tickets"',
            'sql = "buy.sql"',
        ),
        "there is no file buy.sql",
    ),
    "two clients of one name": (
        GOOD + '[[client]]\nname = "buyer"\nsql = "SELECT 1;"\n',
        "two [[client]] are called 'buyer'",
    ),
    "no invariant": (replaced("[[invariant]]", "[[rule]]"), "invariant: is missing"),
    "an invariant without SQL": (
        replaced('sql = "SELECT 1 WHERE false"', ""),
        "invariant.1.sql: is missing",
    ),
    "an empty invariant": (replaced("SELECT 1 WHERE false", ""), "invariant.1.sql"),
    "two invariants of one name": (
        GOOD + '[[invariant]]\nname = "sound"\nsql = "SELECT 1"\n',
        "two [[invariant]]",
    ),
    "a fix without a name": (replaced('name = "unique"', ""), "fix.1.name: is missing"),
    "a fix without SQL": (
        replaced('sql = "ALTER TABLE t ADD UNIQUE (a)"', ""),
        "fix.1.sql: is missing",
    ),
    "two fixes of one name": (
        GOOD + '[[fix]]\nname = "unique"\nsql = "SELECT 1"\n',
        "two [[fix]]",
    ),
    "a key that is ours": ('folder = "x"\n' + GOOD, "folder: unknown key"),
}


@pytest.mark.parametrize(("text", "reason"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named_in_one_line(tmp_path, text, reason):
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    message = str(caught.value)
    assert reason in message
    assert str(tmp_path / "a.toml") in message
    assert "\n" not in message


def test_counts_and_isolation_can_be_overridden(tmp_path):
    scenario = read(tmp_path, GOOD).with_counts({"buyer": 3}, "serializable")
    assert scenario.client[0].count == 3
    assert scenario.database.isolation == "serializable"


@pytest.mark.parametrize(
    ("counts", "isolation", "reason"),
    [
        ({"seller": 2}, None, "no such client; there are buyer"),
        ({"buyer": 99}, None, "1 to 8"),
        ({}, "dirty", "must be one of"),
    ],
)
def test_a_wrong_override_is_named(tmp_path, counts, isolation, reason):
    with pytest.raises(UsageError, match=reason):
        read(tmp_path, GOOD).with_counts(counts, isolation)
