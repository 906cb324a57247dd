"""Programs of the peers: each reads the messages from a file or its standard input, and writes what Dativo writes."""
