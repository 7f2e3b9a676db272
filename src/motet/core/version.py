"""The version of motet, and of what it writes into a bundle."""

__version__ = "0.1.0"
