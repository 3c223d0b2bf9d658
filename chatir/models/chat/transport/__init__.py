"""The way to an endpoint and back: connection, keys, pace, errors, and which of them are retried or stop the run."""
