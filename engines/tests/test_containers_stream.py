"""A container's output is taken apart without loss, whatever the engine's frames and the kernel's portions are."""

from __future__ import annotations

import os
import threading
from itertools import accumulate, pairwise

import pytest
from dativo_engines.containers._stream import demultiplex, write_all
from dativo_engines.supervisor import open_pipe
from hypothesis import given
from hypothesis import strategies as st

FRAMES = st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=200)), max_size=30)
CUTS = st.lists(st.integers(1, 64), max_size=200)


def framed(frames: list[tuple[int, bytes]]) -> bytes:
    return b"".join(bytes([kind, 0, 0, 0]) + len(data).to_bytes(4, "big") + data for kind, data in frames)


def taken_apart(portions: list[bytes]) -> tuple[bytes, bytes]:
    """Stdout and stderr of what arrives in these portions."""
    waiting, out, err = list(portions), bytearray(), bytearray()

    def receive(view: memoryview) -> int:
        part = waiting.pop(0) if waiting else b""
        view[: len(part)] = part
        return len(part)

    demultiplex(receive, lambda parts: out.extend(b"".join(parts)), err.extend)
    return bytes(out), bytes(err)


@given(FRAMES, CUTS)
def test_frames_in_any_portions_give_both_streams(frames: list[tuple[int, bytes]], cuts: list[int]) -> None:
    sent = framed(frames)
    ends = [end for end in accumulate(cuts) if end < len(sent)]
    portions = [sent[start:end] for start, end in pairwise([0, *ends, len(sent)]) if end > start]
    expected = tuple(b"".join(data for kind, data in frames if kind == wanted) for wanted in (1, 2))
    assert taken_apart(portions) == expected


def test_frames_larger_than_the_buffer_pass() -> None:
    data = os.urandom(1 << 20) * 3
    sent = framed([(1, data), (2, b"log"), (1, b"end")])
    portions = [sent[start : start + 70_000] for start in range(0, len(sent), 70_000)]
    assert taken_apart(portions) == (data + b"end", b"log")


@pytest.mark.parametrize("kept", [3, 8, 10])
def test_an_output_that_was_cut_off_is_told(kept: int) -> None:
    with pytest.raises(ConnectionError, match="in the middle of the output"):
        taken_apart([framed([(1, b"whole")]) + framed([(1, b"half")])[:kept]])


def test_parts_that_do_not_fit_into_the_pipe_are_written_as_it_empties() -> None:
    read, write = open_pipe()
    parts = [memoryview(os.urandom(size)) for size in (1, 70_000, 0, 300_000, 5)] + [memoryview(b"x")] * 3000
    expected = b"".join(parts)

    def write_and_close() -> None:
        write_all(write, parts)
        os.close(write)

    threading.Thread(target=write_and_close).start()
    with open(read, "rb") as file:
        assert file.read() == expected
