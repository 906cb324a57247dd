"""Whole-process measurements of Dativo and its peers on the same messages: `python -m benchmarks`."""
