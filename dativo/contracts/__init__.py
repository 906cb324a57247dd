"""What a stream may look like, and what happens to rows that do not: `docs/contracts.md`."""
