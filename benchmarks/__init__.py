"""`make bench`: what the proxy costs, against the same work without it, in one run."""
