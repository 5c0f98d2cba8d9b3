"""The database: an embedded server, the schemas, the statements, the pool."""
