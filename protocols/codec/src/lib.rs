//! Bytes of a record to cells in Arrow builders: no I/O, no threads, no Python.
