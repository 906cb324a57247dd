"""Runs images as confined processes, without a container daemon."""
