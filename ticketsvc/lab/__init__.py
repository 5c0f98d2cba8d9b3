"""The investigation: fire purchases, read what happened, judge, draw, report."""
