-- name: the_next_range
-- Allowed: it continues the sequence. Without it, refusing everything would look like safety.
INSERT INTO {schema}.ticket_allocations (event_id, user_id, start_ticket, end_ticket)
VALUES (%(event)s, 'by hand', 9, 16)

-- name: half_a_sale
-- Allowed: 8 are subtracted, and no ticket is issued. No constraint sees this; a transaction prevents it.
UPDATE {schema}.ticket_pools
SET available = available - 8, next_ticket_number = next_ticket_number + 8
WHERE event_id = %(event)s

-- name: overlapping_range
-- Tickets 5 to 12, when 1 to 8 are sold.
INSERT INTO {schema}.ticket_allocations (event_id, user_id, start_ticket, end_ticket)
VALUES (%(event)s, 'by hand', 5, 12)

-- name: same_range_again
-- Tickets 1 to 8 a second time.
INSERT INTO {schema}.ticket_allocations (event_id, user_id, start_ticket, end_ticket)
VALUES (%(event)s, 'by hand', 1, 8)

-- name: range_after_a_gap
-- Tickets 17 to 24, when 9 to 16 are not sold.
INSERT INTO {schema}.ticket_allocations (event_id, user_id, start_ticket, end_ticket)
VALUES (%(event)s, 'by hand', 17, 24)

-- name: range_beyond_the_total
-- Tickets 9 to 40 of 32.
INSERT INTO {schema}.ticket_allocations (event_id, user_id, start_ticket, end_ticket)
VALUES (%(event)s, 'by hand', 9, 40)

-- name: backward_range
-- Tickets 9 to 0: what a negative quantity makes.
INSERT INTO {schema}.ticket_allocations (event_id, user_id, start_ticket, end_ticket)
VALUES (%(event)s, 'by hand', 9, 0)

-- name: range_of_an_unknown_event
-- Tickets of an event without a pool.
INSERT INTO {schema}.ticket_allocations (event_id, user_id, start_ticket, end_ticket)
VALUES (%(event)s || '?', 'by hand', 1, 8)

-- name: row_inside_a_range
-- Ticket 5 as a row, when it is sold within a range.
INSERT INTO {schema}.issued_tickets (event_id, user_id, ticket_number)
VALUES (%(event)s, 'by hand', 5)

-- name: row_after_a_gap
-- Ticket 12 as a row, when 9 to 11 are not sold.
INSERT INTO {schema}.issued_tickets (event_id, user_id, ticket_number)
VALUES (%(event)s, 'by hand', 12)

-- name: row_twice
-- Ticket 9 as two rows.
INSERT INTO {schema}.issued_tickets (event_id, user_id, ticket_number)
VALUES (%(event)s, 'by hand', 9), (%(event)s, 'by hand', 9)

-- name: stock_below_zero
-- Subtract more than is left, in step.
UPDATE {schema}.ticket_pools
SET available = available - 800, next_ticket_number = next_ticket_number + 800
WHERE event_id = %(event)s

-- name: stock_from_nothing
-- Add to the stock without adding to the total.
UPDATE {schema}.ticket_pools SET available = available + 8 WHERE event_id = %(event)s

-- name: next_number_adrift
-- Move the next number and leave the stock.
UPDATE {schema}.ticket_pools SET next_ticket_number = 1 WHERE event_id = %(event)s

-- name: range_moved
-- Give a sold range other numbers.
UPDATE {schema}.ticket_allocations SET start_ticket = 9, end_ticket = 16
WHERE event_id = %(event)s

-- name: range_taken_out
-- Delete a sold range.
DELETE FROM {schema}.ticket_allocations WHERE event_id = %(event)s

-- name: pool_taken_out
-- Delete a pool whose tickets are sold.
DELETE FROM {schema}.ticket_pools WHERE event_id = %(event)s

-- name: range_of_half_a_block
-- Tickets 9 to 12: four, where they are sold by eight.
INSERT INTO {schema}.ticket_allocations (event_id, user_id, start_ticket, end_ticket)
VALUES (%(event)s, 'by hand', 9, 12)

-- name: total_lowered
-- Fewer tickets in all than are sold.
UPDATE {schema}.ticket_pools SET total = 0, available = 0, next_ticket_number = 1
WHERE event_id = %(event)s
