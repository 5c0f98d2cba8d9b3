#!/bin/sh
# For docker-compose: the login of the service, which can only sell and read.
set -eu
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set password="$SERVICE_PASSWORD" \
    --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
CREATE ROLE ticketsvc_service LOGIN PASSWORD :'password' IN ROLE ticketsvc_seller;
SQL
