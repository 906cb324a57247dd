"""A writer in Python: each batch becomes an Arrow file that is encrypted as a whole, with AES-GCM.

    target:
      connector: native:examples/python-writer/encrypted_files.py:EncryptedFiles
      config: {path: out/shop, key: "${SHOP_KEY}"}          # 32 bytes, in base64
      sandbox: {files: [{path: out, write: true}]}

What is there is in one small file, `JOB.json`, which is replaced atomically with each commit: names of files, and the state. A
file that is not named there does not exist, and the next run removes it.
"""

from __future__ import annotations

import json
import os
import secrets
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from dativo_protocols import Batch, ConfigError, Rejects, StreamId, TargetError
from dativo_sdk import API_VERSION, Receipt, WriteCatalog

NONCE_BYTES = 12


class EncryptedFiles:
    """Files `STREAM/RUN-NUMBER.arrow.aes`: a nonce, then what AES-GCM makes of an Arrow IPC stream."""

    write_modes = frozenset({"append", "overwrite"})
    __api_version__ = API_VERSION

    def initialize(self, config: Mapping[str, Any], catalog: WriteCatalog) -> bytes | None:
        self._root = Path(config["path"])
        self._cipher = _cipher(config.get("key"))
        self._catalog = catalog
        self._root.mkdir(parents=True, exist_ok=True)
        self._record = self._root / f"{catalog.job.tenant}.{catalog.job.job}.json"
        known = json.loads(self._record.read_text()) if self._record.exists() else {"state": None, "files": {}}
        self._state: str | None = known["state"]
        self._files: dict[str, list[str]] = known["files"]
        self._staged: dict[str, list[str]] = {}
        self._rows: Counter[StreamId] = Counter()
        self._rejected: Counter[StreamId] = Counter()
        self._schemas: dict[StreamId, pa.Schema] = {}
        self._number = 0
        named = _names(self._files)
        for file in self._root.glob("*/*.arrow.aes"):
            if str(file.relative_to(self._root)) not in named:
                file.unlink()
        return None if self._state is None else b64decode(self._state)

    def get_schema(self, stream: StreamId) -> pa.Schema | None:
        names = self._files.get(str(stream))
        return self._opened(names[-1]).schema if names else None

    def write_batch(self, batch: Batch) -> None:
        data = pa.record_batch(batch.data)
        self._staged.setdefault(str(batch.stream), [])
        if data.num_rows:
            self._stage(str(batch.stream), data)
            self._rows[batch.stream] += data.num_rows

    def write_rejects(self, rejects: Rejects) -> None:
        self._stage(f"{rejects.stream}_quarantine", pa.record_batch(rejects.data))
        self._rejected[rejects.stream] += rejects.rows

    def commit(self, state: bytes | None, *, final: bool = False) -> Receipt:
        files = {name: list(names) for name, names in self._files.items()}
        kept = dict[str, list[str]]()
        for name, staged in self._staged.items():
            if self._overwrites(name) and not final:
                kept[name] = staged
            else:
                files[name] = staged if self._overwrites(name) else files.get(name, []) + staged
        replaced = _names(self._files) - _names(files)
        self._state = self._state if state is None else b64encode(state).decode()
        _replace(self._record, json.dumps({"state": self._state, "files": files}).encode())
        self._files, self._staged = files, kept
        for name in replaced:
            (self._root / name).unlink(missing_ok=True)
        receipt = Receipt(dict(self._rows), dict(self._rejected), commit_id=secrets.token_hex(8))
        self._rows.clear()
        self._rejected.clear()
        return receipt

    def close(self) -> None:
        """Files that are staged are removed by the next run."""

    def _overwrites(self, name: str) -> bool:
        return any(str(stream.id) == name and stream.write_mode == "overwrite" for stream in self._catalog.streams.values())

    def _stage(self, stream: str, data: pa.RecordBatch) -> None:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, data.schema) as writer:
            writer.write_batch(data)
        self._number += 1
        folder = stream.replace("/", "_")
        name = f"{folder}/{self._catalog.run_id}-{self._number}.arrow.aes"
        nonce = secrets.token_bytes(NONCE_BYTES)
        (self._root / folder).mkdir(exist_ok=True)
        # The name goes into what is authenticated: a file cannot take another one's place.
        _replace(self._root / name, nonce + self._cipher.encrypt(nonce, sink.getvalue().to_pybytes(), name.encode()))
        self._staged.setdefault(stream, []).append(name)

    def _opened(self, name: str) -> pa.RecordBatchReader:
        return pa.ipc.open_stream(decrypted(self._root, name, self._cipher))


def read(path: Path, job: str, key: str, stream: str) -> pa.Table:
    """The rows of a stream, for whoever has the key.

    Args:
        job: Tenant and name, `default.shop`.
    """
    cipher = _cipher(key)
    names = json.loads((path / f"{job}.json").read_text())["files"].get(stream, [])
    tables = [pa.ipc.open_stream(decrypted(path, name, cipher)).read_all() for name in names]
    return pa.concat_tables(tables, promote_options="default")


def decrypted(root: Path, name: str, cipher: AESGCM) -> bytes:
    """A file's content.

    Raises:
        TargetError: It was changed, or the key is another one.
    """
    data = (root / name).read_bytes()
    try:
        return cipher.decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], name.encode())
    except InvalidTag:
        raise TargetError(f"`{name}` was changed, or encrypted with another key") from None


def _names(files: Mapping[str, list[str]]) -> set[str]:
    return {name for names in files.values() for name in names}


def _cipher(key: object) -> AESGCM:
    try:
        return AESGCM(b64decode(str(key), validate=True))
    except ValueError:
        raise ConfigError("`key` is no key of 16, 24 or 32 bytes in base64") from None


def _replace(path: Path, data: bytes) -> None:
    """On the disk, whole or not at all."""
    new = path.with_name(path.name + ".new")
    with open(new, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
