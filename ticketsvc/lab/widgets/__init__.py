"""Schedules to click and step through, without a script."""
