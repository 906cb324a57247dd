"""Dativo moves data from any connector into Arrow-fast targets."""

__version__ = "0.1.0"
