"""Explore every interleaving of a few purchases: run, reduce, count, transcribe."""
