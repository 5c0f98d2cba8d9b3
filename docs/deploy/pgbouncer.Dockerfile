# PgBouncer for the profile `pgbouncer` of docker-compose.yml, with the configuration beside this file.
FROM debian:12-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends pgbouncer \
    && rm -rf /var/lib/apt/lists/*
COPY docs/deploy/pgbouncer.ini /etc/pgbouncer/pgbouncer.ini
RUN sed -i 's/host=127.0.0.1/host=db/; s/listen_addr = .*/listen_addr = 0.0.0.0/' /etc/pgbouncer/pgbouncer.ini \
    && echo '"ticketsvc_service" "service"' > /etc/pgbouncer/userlist.txt
USER postgres
CMD ["pgbouncer", "/etc/pgbouncer/pgbouncer.ini"]
