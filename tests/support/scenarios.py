"""Scenario files for tests, and a small service for them that can misbehave."""

import sys

SERVICE = """
import http.server, json, os, sys, threading
how = os.environ["HOW"]
if how == "ends":
    sys.exit("no licence found")
if how == "silent":
    threading.Event().wait()
import psycopg

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        if how == "hangs":
            threading.Event().wait()
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
            left, = connection.execute("SELECT seats FROM events").fetchone()
            if how == "killed":
                os._exit(9)
            if how != "refuses" and left > 0:
                connection.execute("UPDATE events SET seats = seats - 1")
                connection.execute("INSERT INTO bookings VALUES (%s)", [left])
        self.send_response({"refuses": 500}.get(how, 200 if left else 409))
        self.end_headers()
        self.wfile.write(json.dumps({"seats": [left]}).encode())

    def log_message(self, *words):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""

DATABASE = '''
[database]
schema = ["""
CREATE TABLE events (seats int);
CREATE TABLE bookings (seat int);
INSERT INTO events VALUES (1);
"""]
'''
RULE = "SELECT seat, count(*) FROM bookings GROUP BY seat HAVING count(*) > 1"
CLIENTS = """
import threading
import psycopg

def naive(url, n, lock=""):
    with psycopg.connect(url) as connection:
        left, = connection.execute("SELECT seats FROM events" + lock).fetchone()
        if left > 0:
            connection.execute("UPDATE events SET seats = seats - 1")
            connection.execute("INSERT INTO bookings VALUES (%s)", [left])

def fixed(url, n):
    naive(url, n, " FOR UPDATE")

def book(url, n):
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("INSERT INTO bookings VALUES (1)")

def meet(url, n, barrier=threading.Barrier(9)):
    barrier.wait()

def sleep(url, n):
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_sleep(600)")

def book_once(url, n):
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO bookings SELECT 1 WHERE NOT EXISTS (SELECT FROM bookings)"
        )
"""


def write(folder, text, name="scenario.toml"):
    """Write a scenario to *folder*, with the service and the clients beside it; return its path."""
    (folder / "service.py").write_text(SERVICE)
    (folder / "clients.py").write_text(CLIENTS)
    file = folder / name
    file.write_text(text)
    return file


def scenario(clients, *, database=DATABASE, rule=RULE):
    """Return a scenario of these clients; *rule* is the SQL of its invariant, "no seat twice"."""
    return f'{database}\n{clients}\n[[invariant]]\nname = "no seat twice"\nsql = "{rule}"\n'


def by_psql(script):
    """Return a scenario in which two clients run *script*."""
    return scenario(f'[[client]]\nname = "buyer"\ncount = 2\nsql = """{script};"""\n')


def by_python(function, **parts):
    """Return a scenario in which two clients call *function* of the above."""
    name = function if ":" in function else f"clients:{function}"
    client = f'[[client]]\nname = "buyer"\ncount = 2\npython = "{name}"\n'
    return scenario(client, **parts)


def by_service(how, *, program=sys.executable, numbers="seats"):
    """Return a scenario of the service above, which behaves as *how* says."""
    return scenario(f"""
[service]
command = ["{program}", "service.py"]
environment = {{ DATABASE_URL = "{{database_url}}", PORT = "{{port}}", HOW = "{how}" }}
url = "http://127.0.0.1:{{port}}"

[[client]]
name = "buyer"
count = 2
request = {{ path = "/" }}
numbers = "{numbers}"
""")
