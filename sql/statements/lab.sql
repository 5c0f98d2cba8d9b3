-- name: settings
-- The settings of the server on which figures depend.
SELECT name, setting FROM pg_settings
WHERE name IN ('synchronous_commit', 'fsync', 'default_transaction_isolation') ORDER BY name DESC

-- name: different_tickets
-- Tickets of the events that are not in both schemas, or not as often: the rows and the derived view.
WITH rows AS (
    SELECT event_id, ticket_number, user_id FROM original.issued_tickets
    WHERE event_id = ANY(%(events)s)
), derived AS (
    SELECT event_id, ticket_number, user_id FROM fixed.tickets WHERE event_id = ANY(%(events)s)
)
(TABLE rows EXCEPT ALL TABLE derived) UNION ALL (TABLE derived EXCEPT ALL TABLE rows)
