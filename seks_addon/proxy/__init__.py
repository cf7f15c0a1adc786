"""The proxy as a program: listening, workers, readiness, logs, a graceful end."""
