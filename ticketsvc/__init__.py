"""Sell tickets, as it was and as it must be, on a real PostgreSQL."""

__version__ = "0.1.0"
