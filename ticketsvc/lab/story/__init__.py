"""What the notebooks say: findings and claims as named functions, one module per notebook."""

Claims = dict[str, bool]
"""The sentences of a verdict, and whether the run bears each of them out."""
