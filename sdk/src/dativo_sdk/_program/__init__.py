"""A plugin as a program: its command line, its messages, its end."""
