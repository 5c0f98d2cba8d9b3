-- name: take_lock
-- One lock per event, by the hash of its id; released at the end of the transaction.
SELECT pg_advisory_xact_lock(hashtextextended(%(event)s::text, 0))
