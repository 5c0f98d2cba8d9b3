-- name: drop_available_in_range
-- Remove one guard: available in range.
ALTER TABLE fixed.ticket_pools DROP CONSTRAINT ticket_pools_available_in_range

-- name: drop_in_step
-- Remove one guard: in step.
ALTER TABLE fixed.ticket_pools DROP CONSTRAINT ticket_pools_in_step

-- name: drop_issued_tickets_key
-- Remove one guard: issued tickets key.
ALTER TABLE fixed.issued_tickets DROP CONSTRAINT issued_tickets_pkey

-- name: drop_allocations_key
-- Remove one guard: allocations key.
ALTER TABLE fixed.ticket_allocations DROP CONSTRAINT ticket_allocations_pkey

-- name: drop_whole_blocks
-- Remove one guard: whole blocks.
ALTER TABLE fixed.ticket_allocations DROP CONSTRAINT ticket_allocations_whole_blocks

-- name: drop_sequence_of_rows
-- Remove one guard: sequence of rows.
DROP TRIGGER issue_in_sequence ON fixed.issued_tickets

-- name: drop_sequence_of_ranges
-- Remove one guard: sequence of ranges.
DROP TRIGGER issue_in_sequence ON fixed.ticket_allocations

-- name: drop_issued_for_good
-- Remove one guard: issued for good.
DROP TRIGGER issued_for_good ON fixed.ticket_allocations

-- name: drop_issued_for_good_removal
-- Remove one guard: issued for good removal.
DROP TRIGGER issued_for_good_removal ON fixed.ticket_allocations

-- name: drop_pool_outlives_tickets
-- Remove one guard: pool outlives tickets.
DROP TRIGGER pool_outlives_tickets ON fixed.ticket_pools

-- name: drop_pool_fits_tickets
-- Remove one guard: pool fits tickets.
DROP TRIGGER pool_fits_tickets ON fixed.ticket_pools

-- name: drop_unique_number
-- What `unique_only` adds to the original schema.
ALTER TABLE original.issued_tickets DROP CONSTRAINT issued_tickets_unique_number

-- name: drop_idempotency_key
-- Remove one guard: idempotency key.
ALTER TABLE fixed.idempotency_keys DROP CONSTRAINT idempotency_keys_pkey
