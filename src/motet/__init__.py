"""motet: one model, many modalities, many tasks."""

__version__ = "0.1.0"
