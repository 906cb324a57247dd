"""Readers in shared libraries."""
