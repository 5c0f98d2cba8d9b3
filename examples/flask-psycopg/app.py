"""A ticket service on Flask and psycopg.

MODE=naive reads, decides and writes in one transaction; MODE=fixed locks the row it reads.
"""

import os

import psycopg
from flask import Flask, jsonify, request

app = Flask(__name__)
LOCK = " FOR UPDATE" if os.environ.get("MODE") == "fixed" else ""


@app.get("/healthz")
def healthz():
    """Answer once the server runs."""
    return jsonify(status="alive")


@app.post("/purchase")
def purchase():
    """Sell, or refuse."""
    asked = request.get_json()
    event, quantity = asked["eventId"], asked["quantity"]
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        stock = connection.execute(
            "SELECT total, available FROM ticket_pools WHERE event_id = %s" + LOCK, [event]
        ).fetchone()
        if stock is None or stock[1] < quantity:
            return jsonify(error="Not enough tickets available"), 409
        first = stock[0] - stock[1] + 1
        connection.execute(
            "INSERT INTO issued_tickets (event_id, user_id, ticket_number) "
            "SELECT %s, %s, n FROM generate_series(%s::int, %s::int) AS n",
            [event, asked["userId"], first, first + quantity - 1],
        )
        connection.execute(
            "UPDATE ticket_pools SET available = available - %s WHERE event_id = %s",
            [quantity, event],
        )
    return jsonify(success=True, tickets=list(range(first, first + quantity)))


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(os.environ["PORT"]), threaded=True)
