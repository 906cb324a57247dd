"""Readers of files and tables, in Rust: each a `dativo_sdk.Reader`, and a program of its own."""

from __future__ import annotations
