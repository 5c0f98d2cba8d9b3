-- name: ticket_pools_available_in_range
-- Let the stock be below zero or above the total.
ALTER TABLE fixed.ticket_pools DROP CONSTRAINT ticket_pools_available_in_range

-- name: ticket_pools_in_step
-- Let the total, the stock and the next number drift apart.
ALTER TABLE fixed.ticket_pools DROP CONSTRAINT ticket_pools_in_step

-- name: issued_tickets_pkey
-- Let a row be issued twice.
ALTER TABLE fixed.issued_tickets DROP CONSTRAINT issued_tickets_pkey

-- name: ticket_allocations_pkey
-- Let two ranges begin with the same number.
ALTER TABLE fixed.ticket_allocations DROP CONSTRAINT ticket_allocations_pkey

-- name: ticket_allocations_whole_blocks
-- Let a range be of any size, empty or backward.
ALTER TABLE fixed.ticket_allocations DROP CONSTRAINT ticket_allocations_whole_blocks

-- name: issue_in_sequence_of_rows
-- Let rows leave gaps, overlap and exceed the total.
DROP TRIGGER issue_in_sequence ON fixed.issued_tickets

-- name: issue_in_sequence_of_ranges
-- Let ranges leave gaps, overlap and exceed the total.
DROP TRIGGER issue_in_sequence ON fixed.ticket_allocations

-- name: issued_for_good
-- Let the numbers of a range change.
DROP TRIGGER issued_for_good ON fixed.ticket_allocations

-- name: issued_for_good_removal
-- Let a range be deleted without its event.
DROP TRIGGER issued_for_good_removal ON fixed.ticket_allocations

-- name: pool_outlives_tickets
-- Let a pool be removed under its tickets.
DROP TRIGGER pool_outlives_tickets ON fixed.ticket_pools

-- name: pool_fits_tickets
-- Let a pool be smaller than the tickets it has.
DROP TRIGGER pool_fits_tickets ON fixed.ticket_pools

-- name: issued_tickets_unique_number
-- What `unique_only` adds to the original schema.
ALTER TABLE original.issued_tickets DROP CONSTRAINT issued_tickets_unique_number

-- name: idempotency_keys_pkey
-- Let two purchases have one key.
ALTER TABLE fixed.idempotency_keys DROP CONSTRAINT idempotency_keys_pkey
