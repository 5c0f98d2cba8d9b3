-- name: lock_pool
-- Read the stock and keep it true: nobody else locks or changes the row until the commit.
SELECT total, available FROM {schema}.ticket_pools WHERE event_id = %(event)s FOR UPDATE
