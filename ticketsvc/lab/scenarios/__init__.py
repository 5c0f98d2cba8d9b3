"""Somebody else's system in one file: read it, run its clients, judge its invariants."""
