"""Airbyte sources: an image, a package in an environment of its own, a low-code manifest, or any executable."""
