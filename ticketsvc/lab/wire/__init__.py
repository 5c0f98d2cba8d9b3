"""The PostgreSQL protocol: a proxy that passes, records and holds what clients send."""
