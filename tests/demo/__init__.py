"""`make demo`: an agent works with fake tokens, shown and checked, without an account anywhere."""
