"""Every interleaving of a few purchases: driven, reduced, counted, told."""
