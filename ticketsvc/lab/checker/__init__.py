"""Judge a history against a ledger: pure functions, no database, no clock."""
