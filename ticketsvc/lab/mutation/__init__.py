"""Take each guard away, one at a time, and see what catches it."""
