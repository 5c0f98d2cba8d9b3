# The service alone: no notebooks, no embedded PostgreSQL. It needs DATABASE_URL.
FROM python:3.13-slim

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONPATH=/app

WORKDIR /app

COPY requirements-service.lock ./
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
        --require-hashes -r requirements-service.lock

# Not installed but put on the path: that needs no build backend.
COPY sql sql
COPY ticketsvc ticketsvc

RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin ticketsvc
USER ticketsvc

EXPOSE 3000

# No shell in between: SIGTERM reaches the server, which finishes what it accepted.
ENTRYPOINT ["python", "-m", "ticketsvc"]
CMD ["serve"]
