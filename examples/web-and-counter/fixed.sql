BEGIN;
SELECT total - available + 1 AS first, available >= 8 AS enough
FROM ticket_pools WHERE event_id = 'E1' FOR UPDATE \gset
\if :enough
    INSERT INTO issued_tickets (event_id, user_id, ticket_number)
    SELECT 'E1', 'counter', n FROM generate_series(:first, :first + 7) AS n;
    UPDATE ticket_pools SET available = available - 8 WHERE event_id = 'E1';
\endif
COMMIT;
