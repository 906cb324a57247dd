"""One writing on a server: its writer on a thread of its own, which takes requests and batches in their order."""

from __future__ import annotations

import queue
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Literal

from dativo_protocols import Batch, Rejects, StreamId, encode_arrow_frame

from dativo_sdk import _writer_wire as wire
from dativo_sdk._program.output import Output
from dativo_sdk._program.writing import Writing
from dativo_sdk._reader import Piece


class _Replies(Output):
    """Memory in the place of stdout."""

    def __init__(self) -> None:
        self.data = bytearray()

    def line(self, data: bytes) -> None:
        self.data += data

    def frame(self, piece: Piece, emitted_at: int) -> None:
        kind: Literal["batch", "rejects"] = "batch" if isinstance(piece, Batch) else "rejects"
        self.data += encode_arrow_frame(piece.stream, piece.data, kind=kind, emitted_at=emitted_at)

    def taken(self) -> bytes:
        """What was said since the last time."""
        data = bytes(self.data)
        self.data.clear()
        return data


class WriterSession:
    """A writer; a host that says nothing for `idle_seconds` is gone, and what it staged is dropped.

    Attributes:
        id: Hard to guess: whoever knows it may write.

    Raises:
        ConfigError: The plugin is no writer.
    """

    def __init__(self, plugin: type[Any], config: dict[str, Any], idle_seconds: float) -> None:
        self.id = secrets.token_hex(16)
        self._replies = _Replies()
        self._writing = Writing(plugin, config, self._replies)
        self._idle = idle_seconds
        self._failed = False
        self._wanted: queue.Queue[tuple[Callable[[], bytes], Future[bytes]] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name=f"dativo-writer-{self.id[:8]}", daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Whether its writer has been closed."""
        return not self._thread.is_alive()

    def request(self, text: str) -> bytes:
        """What the writer answers: as a program's stdout would have it."""
        return self._done(lambda: self._answered(wire.parse(text.encode()), None))

    def stage(self, kind: str, stream: StreamId, data: Any) -> None:
        """Stages a record batch. What goes wrong is the answer to the next request."""
        self._done(lambda: self._answered({"type": kind}, (stream, data)), keep=True)

    def close(self) -> None:
        """Closes the writer, without a commit. May be called twice."""
        self._wanted.put(None)
        self._thread.join(10.0)

    def _done(self, what: Callable[[], bytes], *, keep: bool = False) -> bytes:
        future: Future[bytes] = Future()
        self._wanted.put((what, future))
        answer = future.result()
        if keep:
            self._replies.data[:0] = answer
        return answer

    def _answered(self, said: dict[str, Any], staged: tuple[StreamId, Any] | None) -> bytes:
        if not self._failed:
            try:
                if staged is None:
                    self._writing._answer(said, b"")
                else:
                    self._stage(said["type"], *staged)
            except Exception as error:
                self._failed = True
                self._writing._failed(error)
        return self._replies.taken()

    def _stage(self, kind: str, stream: StreamId, data: Any) -> None:
        writer = self._writing._writer
        if kind == "BATCH":
            writer.write_batch(Batch(stream, data, data.num_rows, data.nbytes))
        else:
            writer.write_rejects(Rejects(stream, data, data.num_rows))

    def _run(self) -> None:
        try:
            while True:
                try:
                    wanted = self._wanted.get(timeout=self._idle)
                except queue.Empty:
                    return
                if wanted is None:
                    return
                what, future = wanted
                try:
                    future.set_result(what())
                except BaseException as error:
                    future.set_exception(error)
        finally:
            self._writing._writer.close()
            while not self._wanted.empty():
                left = self._wanted.get_nowait()
                if left is not None:
                    left[1].set_exception(RuntimeError("the writer is closed"))
