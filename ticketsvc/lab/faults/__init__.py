"""Fault injection: kill, crash, freeze, drop answers, overload, and judge what is left."""
