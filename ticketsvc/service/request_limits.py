"""How large a request may be. What it may take of time, and how many may come, is in `Settings`."""

MAX_BODY_BYTES = 64 * 1024
MAX_LINE_BYTES = 8190  # of the request line, and of each header
MAX_HEADERS = 64
