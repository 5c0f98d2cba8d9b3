"""What the exit code of a command says. A signal ends it with 128 and its number: `interrupts`."""

CLEAN, VIOLATION, BAD_USAGE, COULD_NOT_TELL = 0, 1, 2, 3
CLOSED_PIPE = 141  # as shells say of a program that SIGPIPE ended: nobody reads the output
