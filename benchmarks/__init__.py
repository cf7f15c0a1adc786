"""`make bench`: what the proxy, its scrubber and its vault cost, against the same work without it, in one run."""
