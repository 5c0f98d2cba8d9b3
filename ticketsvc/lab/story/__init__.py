"""What the notebooks say: findings and claims as named functions, one module per notebook."""
