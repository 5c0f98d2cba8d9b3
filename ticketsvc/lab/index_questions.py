"""The questions of the index."""

QUESTIONS = (
    "Is it broken?",
    "Why?",
    "What fixes it?",
    "What does it cost?",
    "How do we know?",
)
"""What the first screen of the index answers, in this order."""
