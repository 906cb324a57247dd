"""What holds for every test."""

import signal

# What a shell starts in the background ignores SIGINT, and so do its children: tests of interrupts would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
