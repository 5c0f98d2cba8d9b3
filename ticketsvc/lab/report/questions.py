"""What the first screen of the index answers."""

QUESTIONS = (
    "Is it broken?",
    "Why?",
    "What fixes it?",
    "What does it cost?",
    "How do we know?",
)
"""In the order of the index."""
