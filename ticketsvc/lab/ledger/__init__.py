"""Read what a database holds of each event, as plain records."""
