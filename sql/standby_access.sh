#!/bin/sh
# For docker-compose: let a standby in the same network copy the database and follow it.
set -eu
echo "host replication postgres samenet scram-sha-256" >>"$PGDATA/pg_hba.conf"
