"""What the first notebooks measure: bursts, damage, timelines."""
