"""SEKS: agents hold fake tokens, a forward proxy swaps them for the real credentials on the way out."""

__version__ = "0.1.0"
