// A ticket service on Express and node-postgres. MODE=naive reads, decides and writes; MODE=fixed
// lets one conditional UPDATE decide, in a transaction.
const express = require("express");
const { Pool } = require("pg");

const pool = new Pool({
  connectionString: process.env.DATABASE_URL,
  max: Number(process.env.POOL_SIZE || 10),
});

async function naive({ userId, eventId, quantity }) {
  const found = await pool.query(
    "SELECT total, available FROM ticket_pools WHERE event_id = $1",
    [eventId],
  );
  const stock = found.rows[0];
  if (!stock || stock.available < quantity) return null;
  const first = stock.total - stock.available + 1;
  await insertTickets(pool, { userId, eventId, quantity }, first);
  await pool.query(
    "UPDATE ticket_pools SET available = available - $1 WHERE event_id = $2",
    [quantity, eventId],
  );
  return first;
}

async function fixed(purchase) {
  const client = await pool.connect();
  try {
    await client.query("BEGIN");
    const reserved = await client.query(
      `UPDATE ticket_pools SET available = available - $1
       WHERE event_id = $2 AND available >= $1
       RETURNING total - available - $1 + 1 AS first`,
      [purchase.quantity, purchase.eventId],
    );
    if (reserved.rows.length === 0) {
      await client.query("ROLLBACK");
      return null;
    }
    const first = Number(reserved.rows[0].first);
    await insertTickets(client, purchase, first);
    await client.query("COMMIT");
    return first;
  } catch (error) {
    await client.query("ROLLBACK").catch(() => {});
    throw error;
  } finally {
    client.release();
  }
}

function insertTickets(client, { userId, eventId, quantity }, first) {
  return client.query(
    `INSERT INTO issued_tickets (event_id, user_id, ticket_number)
     SELECT $1, $2, n FROM generate_series($3::int, $4::int) AS n`,
    [eventId, userId, first, first + quantity - 1],
  );
}

const buy = process.env.MODE === "fixed" ? fixed : naive;
const app = express();
app.use(express.json());
app.get("/healthz", (request, response) => response.json({ status: "alive" }));
app.post("/purchase", async (request, response) => {
  const { quantity } = request.body;
  const first = await buy(request.body);
  if (first === null) {
    return response.status(409).json({ error: "Not enough tickets available" });
  }
  const tickets = Array.from({ length: quantity }, (_, place) => first + place);
  return response.json({ success: true, tickets });
});
app.listen(Number(process.env.PORT), "127.0.0.1");
