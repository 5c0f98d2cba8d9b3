"""What the first notebooks measure: bursts, damage, timelines, SQL by hand."""
