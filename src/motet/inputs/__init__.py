"""The inputs room."""
