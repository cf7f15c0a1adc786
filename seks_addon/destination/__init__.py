"""Where a request goes: its one authority, the names and addresses it may go to."""
