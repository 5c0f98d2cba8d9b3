-- name: show_warnings
-- A session that hides warnings would hide that a standby did not confirm a commit.
SELECT set_config('client_min_messages', 'warning', false)
WHERE current_setting('client_min_messages') = 'error'
