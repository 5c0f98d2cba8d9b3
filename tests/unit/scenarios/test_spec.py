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


REQUEST = 'request = { path = "/buy", json = { n = "{n}", quantity = 8 } }'
REQUEST_AND_NUMBERS = REQUEST + '\nnumbers = "tickets"'
# fmt: off
# What is replaced in `GOOD`, by what, and what is said. An empty text: what is added to it.
WRONG = [
    (GOOD, "[database", "TOML"),
    ("", "[colour]\n", "colour: unknown key"),
    ("[database]", "[databas]", "databas: unknown key; did you mean database?"),
    ("schema =", "schem =", "database.schem: unknown key; did you mean schema?"),
    ('["CREATE TABLE t (a int)"]', '"x"', "database.schema"),
    ('["CREATE TABLE t (a int)"]', "[]", "database.schema"),
    ("SELECT 1 WHERE false", "  ", "invariant.1.sql: must not be empty"),
    ("CREATE TABLE t (a int)", "none.sql", "there is no file none.sql"),
    ('(a int)"]', '(a int)"]\nisolation = "snapshot"', "database.isolation"),
    ('schema = ["CREATE', 'reset = 1\nschema = ["CREATE', "database.reset: must be a text"),
    ('schema = ["CREATE', 'reset = "none.sql"\nschema = ["CREATE',
     "database.reset: there is no file none.sql"),
    ('command = ["true"]', "", "service.command: is missing"),
    ('["true"]', '"true"', "service.command"),
    ('["true"]', "[]", "service.command"),
    ('url = "http://127.0.0.1:{port}"', "", "service.url: is missing"),
    ('command = ["true"]', 'command = ["true"]\nenvironment = 3', "service.environment"),
    ('command = ["true"]', 'command = ["true"]\nport = 3', "service.port: unknown key"),
    ('1:{port}"', '1:99999"', "service.url: must look like http://127.0.0.1:{port}"),
    ("http://127.0.0.1:{port}", "http://[", "service.url: must look like"),
    ("http://127.0.0.1:{port}", "http://127.0.0.1:{", "service.url: must look like"),
    ('["true"]', '["true", "\\u0000"]', "service.command.2: must not contain a NUL byte"),
    ('command = ["true"]', 'command = ["true"]\nenvironment = { "A=B" = "c" }',
     "the name of a variable must not"),
    ('path = "/buy"', 'path = "buy"', "client.1.request.path: must begin with /"),
    ("quantity = 8", "quantity = 1979-05-27", "client.1.request.json: must be JSON"),
    ("[[client]]", "[[guest]]", "client: is missing"),
    ('path = "/buy"', 'paht = "/buy"', "client.1.request.paht: unknown key; did you mean path?"),
    ('command = ["true"]', 'command = ["true"]\nenvironment = { DB = "{databse_url}" }',
     "service.environment.DB: unknown word {databse_url}; did you mean database_url?; "
     "known are {database_url}, {host}, "),
    ('"{n}"', '["{nn}"]', "client.1.request.json.n: unknown word {nn}"),
    ('["true"]', '["{n}"]', "service.command: unknown word {n}"),
    ('name = "buyer"', "", "client.1.name: is missing"),
    (REQUEST, "", "exactly one of request, sql, python, command"),
    ("count = 2", 'count = 2\nsql = "SELECT 1;"', "request and sql"),
    ("count = 2", 'count = "2"', "client.1.count"),
    ("count = 2", "count = 9", "client.1.count"),
    ("count = 2", "count = 0", "1 to 8 clients"),
    ("count = 2", "count = -1", "client.1.count"),
    ('path = "/buy", ', "", "request.path: is missing"),
    ('path = "/buy"', 'path = "/buy", method = "BUY"', "request.method"),
    ('path = "/buy"', 'path = "/buy", body = "x"', "request.body: unknown key"),
    ('[service]\ncommand = ["true"]\nurl = "http://127.0.0.1:{port}"\n', "", "needs a [service]"),
    ("count = 2", "count = 2\nsuccess = 200", "client.1.success"),
    (REQUEST, 'sql = "SELECT 1;"', "numbers and success belong to a request"),
    (REQUEST_AND_NUMBERS, 'python = "buy"', "client.1.python"),
    (REQUEST_AND_NUMBERS, 'sql = "buy.sql"', "there is no file buy.sql"),
    ("", '[[client]]\nname = "buyer"\nsql = "SELECT 1;"\n', "two [[client]] are called 'buyer'"),
    ("[[invariant]]", "[[rule]]", "invariant: is missing"),
    ('sql = "SELECT 1 WHERE false"', "", "invariant.1.sql: is missing"),
    ("SELECT 1 WHERE false", "", "invariant.1.sql"),
    ("SELECT 1 WHERE false", "none.sql", "invariant 'sound': there is no file none.sql"),
    ("", '[[invariant]]\nname = "sound"\nsql = "SELECT 1"\n', "two [[invariant]]"),
    ('name = "unique"', "", "fix.1.name: is missing"),
    ('sql = "ALTER TABLE t ADD UNIQUE (a)"', "", "fix.1.sql: is missing"),
    ("ALTER TABLE t ADD UNIQUE (a)", "none.sql", "fix 'unique': there is no file none.sql"),
    ("", '[[fix]]\nname = "unique"\nsql = "SELECT 1"\n', "two [[fix]]"),
    ("\n[database]", 'folder = "x"\n\n[database]', "folder: unknown key"),
]
# fmt: on


@pytest.mark.parametrize(("old", "new", "reason"), WRONG)
def test_what_is_wrong_is_named_in_one_line(tmp_path, old, new, reason):
    assert old in GOOD
    text = GOOD.replace(old, new) if old else GOOD + new
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
