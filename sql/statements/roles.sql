-- name: find_role
-- A row when the server has the role.
SELECT FROM pg_roles WHERE rolname = %(name)s

-- name: create_login
-- A login that may do what its group may. PASSWORD takes no parameter: see `roles.py`.
CREATE ROLE {login} LOGIN PASSWORD %(secret)s IN ROLE {group}

-- name: may_change_totals
-- Whether the connected role can do more than sell: change the total of a pool.
SELECT has_column_privilege('{schema}.ticket_pools', 'total', 'UPDATE') AS more
