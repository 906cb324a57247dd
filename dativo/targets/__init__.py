"""Targets: writers of Arrow batches, found by the entry-point group `dativo.targets`. Nothing heavy is imported here."""
