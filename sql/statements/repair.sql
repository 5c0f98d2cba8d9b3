-- name: planned
-- Every holder of a damaged ticket of the event.
SELECT DISTINCT user_id FROM {schema}.ticket_repairs WHERE event_id = %(event)s
