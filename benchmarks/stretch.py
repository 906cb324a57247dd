"""The messages of a file, as often as asked, with new ids each time: `stretch.py MESSAGES TIMES`, on the standard output."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path


def stretched(messages: Path, times: int) -> Iterator[bytes]:
    """Lines; the ids of a copy go on where those of the one before ended."""
    greatest = 0
    for _ in range(times):
        begin = greatest
        with messages.open("rb", buffering=1 << 20) as lines:
            for line in lines:
                if not line.startswith(b'{"type":"RECORD"'):
                    yield line
                    continue
                head, _, rest = line.partition(b'"id":')
                number, _, tail = rest.partition(b",")
                greatest = begin + int(number)
                yield b'%b"id":%d,%b' % (head, greatest, tail)
        # States of one run must differ for the last one to be known.
        yield json.dumps({"type": "STATE", "value": {"copied": greatest}}).encode() + b"\n"


if __name__ == "__main__":
    sys.stdout.buffer.writelines(stretched(Path(sys.argv[1]), int(sys.argv[2])))
