-- name: claim
-- Store the tickets under the key, in the transaction that sells; a second claim is refused.
INSERT INTO {schema}.idempotency_keys (key, event_id, user_id, quantity, first_ticket)
VALUES (%(key)s, %(event)s, %(user)s, %(quantity)s, %(first)s)

-- name: find
-- What was sold under a key, and to whom. On Citus a key is unique per event: then, of this event first.
SELECT event_id, user_id, quantity, first_ticket FROM {schema}.sold_under(%(key)s)
ORDER BY event_id <> %(event)s LIMIT 1

-- name: remove_old
-- Remove some keys that are more than a day old; how many.
SELECT {schema}.forget_old_keys() AS removed

-- name: confirm
-- Wait until the synchronous standby, if there is one, has everything that was read before.
SELECT pg_logical_emit_message(true, 'ticketsvc', '')
