-- name: lock_pool
-- Read the stock and lock its row: no other transaction locks or changes it until the commit.
SELECT total, available FROM {schema}.ticket_pools WHERE event_id = %(event)s FOR UPDATE
