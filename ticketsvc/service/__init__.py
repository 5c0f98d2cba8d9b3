"""The HTTP service: routes, answers, connections, one process or several."""
