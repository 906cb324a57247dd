"""Whole files, encrypted: everything that was done to one is found."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from dativo_protocols.errors import DativoError, TargetError

from dativo.keys import Keyring, open_keyring
from dativo.keys._envelope import CHUNK_BYTES, MAGIC, TAG_BYTES, EnvelopeReader, EnvelopeWriter
from dativo.keys._keyring import Purpose

PURPOSE = "orders/1.jsonl"
CHUNK = CHUNK_BYTES + TAG_BYTES


@pytest.fixture
def keys(key_file: Path, tmp_path: Path) -> Iterator[Keyring]:
    with open_keyring({"kms": {"type": "local", "file": str(key_file)}, "audit": str(tmp_path / "audit.jsonl")}) as opened:
        yield opened


def encrypted(keys: Keyring, content: bytes, step: int = 10_000) -> bytes:
    sink = io.BytesIO()
    writer = EnvelopeWriter(sink, keys, "pii", Purpose("orders", PURPOSE))
    for start in range(0, len(content), step):
        assert writer.write(content[start : start + step]) == len(content[start : start + step])
    writer.finish()
    assert writer.tell() == len(sink.getvalue())
    return sink.getvalue()


def decrypted(keys: Keyring, data: bytes) -> bytes:
    return EnvelopeReader(io.BytesIO(data), keys, Purpose("orders", PURPOSE)).read()


def content_of(size: int) -> bytes:
    return bytes(i * 31 % 251 for i in range(size))


def head_bytes(data: bytes) -> int:
    return 12 + int(struct.unpack_from("<I", data, 8)[0])


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 200_000])
def test_what_was_written_is_read(keys: Keyring, size: int) -> None:
    content = content_of(size)
    data = encrypted(keys, content)
    assert decrypted(keys, data) == content
    assert encrypted(keys, content) != data
    assert size < 100 or content[:100] not in data


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_pieces_of_any_size_give_the_same(keys: Keyring, step: int) -> None:
    assert decrypted(keys, encrypted(keys, content_of(70_000), step)) == content_of(70_000)


def test_reading_in_small_pieces(keys: Keyring) -> None:
    reader = EnvelopeReader(io.BytesIO(encrypted(keys, content_of(150_000))), keys, Purpose("orders", None))
    assert b"".join(iter(lambda: reader.read(999), b"")) == content_of(150_000)
    assert reader.read(1) == b""


def test_reading_anywhere(keys: Keyring) -> None:
    content = content_of(3 * CHUNK_BYTES + 77)
    reader = EnvelopeReader(io.BytesIO(encrypted(keys, content)), keys, Purpose("orders", None))
    assert reader.nbytes == len(content)
    for start, size in [
        (len(content) - 10, 10),
        (5, 20),
        (CHUNK_BYTES - 3, 6),
        (0, len(content)),
        (2 * CHUNK_BYTES, CHUNK_BYTES),
    ]:
        reader.seek(start)
        assert reader.read(size) == content[start : start + size]


def test_every_cut_is_found(keys: Keyring) -> None:
    data = encrypted(keys, content_of(2 * CHUNK_BYTES))
    start = head_bytes(data)
    for size in (0, 5, 11, 12, start - 1, start, start + 1, start + CHUNK - 1, start + CHUNK, start + CHUNK + 1, len(data) - 1):
        with pytest.raises(TargetError, match="damaged"):
            decrypted(keys, data[:size])


def test_every_flipped_bit_is_found(keys: Keyring) -> None:
    data = encrypted(keys, content_of(CHUNK_BYTES + 100))
    for place in [*range(0, head_bytes(data), 3), *range(head_bytes(data), len(data), 4999), len(data) - 1]:
        changed = bytearray(data)
        changed[place] ^= 0x01
        # A changed key id names a key that is not there.
        with pytest.raises(DativoError):
            decrypted(keys, bytes(changed))


def test_chunks_that_were_moved_doubled_or_left_out_are_found(keys: Keyring) -> None:
    data = encrypted(keys, content_of(3 * CHUNK_BYTES + 10))
    start = head_bytes(data)
    head = data[:start]
    chunks = [data[i : i + CHUNK] for i in range(start, len(data), CHUNK)]
    assert len(chunks) == 4
    for order in ([1, 0, 2, 3], [0, 0, 1, 2, 3], [0, 2, 3], [0, 1, 2], [1, 2, 3], [0, 1, 3, 2], [0, 1, 2, 3, 3]):
        with pytest.raises(TargetError, match="damaged"):
            decrypted(keys, head + b"".join(chunks[i] for i in order))
    assert decrypted(keys, head + b"".join(chunks)) == content_of(3 * CHUNK_BYTES + 10)


def test_the_chunks_of_another_file_are_found(keys: Keyring) -> None:
    one, other = encrypted(keys, content_of(100)), encrypted(keys, content_of(100))
    with pytest.raises(TargetError, match="damaged"):
        decrypted(keys, one[: head_bytes(one)] + other[head_bytes(other) :])


def test_an_unfinished_file_is_found(keys: Keyring) -> None:
    sink = io.BytesIO()
    EnvelopeWriter(sink, keys, "pii", Purpose("orders", PURPOSE)).write(content_of(2 * CHUNK_BYTES + 5))
    with pytest.raises(TargetError, match="damaged"):
        decrypted(keys, sink.getvalue())


@pytest.mark.parametrize(
    "data", [b"", b"PAR1", b'{"id": 1}\n' * 9, MAGIC + b"\xff\xff\xff\xff", MAGIC + b"\x02\0\0\0{}", MAGIC + b"\x02\0\0\0[]"]
)
def test_what_is_no_encrypted_file_is_told(keys: Keyring, data: bytes) -> None:
    with pytest.raises(TargetError, match="damaged"):
        decrypted(keys, data)


def test_others_can_read_it_by_the_description(keys: Keyring) -> None:
    """In the few lines that `docs/encryption.md` promises, without Dativo's code but for the data key."""
    data = encrypted(keys, content_of(100_000))
    size = struct.unpack_from("<I", data, 8)[0]
    header = json.loads(data[12 : 12 + size])
    cipher = AESGCM(keys.unseal(json.dumps(header["key"]), Purpose("", None)))
    step = header["chunk"] + 16
    parts = [data[i : i + step] for i in range(12 + size, len(data), step)]
    plain = [
        cipher.decrypt(bytes(7) + struct.pack(">IB", i, i == len(parts) - 1), part, data[: 12 + size])
        for i, part in enumerate(parts)
    ]
    assert b"".join(plain) == content_of(100_000)
