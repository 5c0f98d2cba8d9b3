"""Measure throughput and cost, side by side: every figure from a run whose ledger was audited."""
