"""What the notebooks say: findings and claims as named functions, one module per notebook."""

Claim = tuple[str, bool]
"""A sentence of a verdict, and whether the run bears it out."""
