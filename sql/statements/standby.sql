-- name: wait_for_standby
-- Let commits wait for any standby, once the configuration is read again.
ALTER SYSTEM SET synchronous_standby_names = '*'

-- name: stop_receiving
-- Let a standby receive nothing more, once the configuration is read again.
ALTER SYSTEM SET primary_conninfo = ''

-- name: read_configuration
-- Let what was set above hold.
SELECT pg_reload_conf()

-- name: streaming
-- Whether a standby follows.
SELECT EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming')

-- name: waited_for
-- Whether a standby follows and a commit waits for it now.
SELECT EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'sync')
       AND EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep')

-- name: alone
-- Whether no standby follows.
SELECT NOT EXISTS (SELECT FROM pg_stat_replication)

-- name: promote
-- Make a standby the primary, without waiting for it.
SELECT pg_promote(false)

-- name: promoted
-- Whether the standby is the primary now.
SELECT NOT pg_is_in_recovery()
