-- name: planned
-- Every holder of a damaged ticket of the event.
SELECT DISTINCT user_id FROM {schema}.ticket_repairs WHERE event_id = %(event)s

-- name: undo_rules_of_tickets
-- Take away what the scripts added, so that the schema is as it was: the rules of a ticket.
ALTER TABLE {schema}.issued_tickets
    DROP CONSTRAINT IF EXISTS number_from_one, DROP CONSTRAINT IF EXISTS of_an_event

-- name: undo_rule_of_pools
-- The same: that the stock is between zero and the total.
ALTER TABLE {schema}.ticket_pools DROP CONSTRAINT IF EXISTS available_in_range

-- name: undo_unique_number
-- The same: that a number has one holder.
DROP INDEX IF EXISTS {schema}.issued_tickets_once

-- name: undo_plan
-- The same: the plan.
DROP TABLE IF EXISTS {schema}.ticket_repairs
