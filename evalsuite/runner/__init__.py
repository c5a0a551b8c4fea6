"""Plan a run, put a worker on it, and keep what comes of it."""
