"""What stands between HTTP and an allocator: idempotency and the bound on purchases in flight."""
