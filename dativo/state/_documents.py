"""A state backend over anything that can put a document if it is still the one that was read: object stores, folders.

Below the root, `jobs/<tenant>/<job>/` has:

- `head.json`: the numbers, the lease, and the list of the history's entries, small states within. Replaced only by
  compare-and-swap, it is the one truth about the job; each change is one swap, so concurrent writers are put one after the other.
- `states/<seq>-<id>`: the bytes of larger states, put before the head that names them. One that no head names does not count;
  it was left by a writer that was killed or too slow, and the next run removes it.
- `runs/<run id>.json`: one document a run.

`dativo-state.json` says which format it is.
"""

from __future__ import annotations

import dataclasses
import json
import random
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from dativo_protocols.errors import ConfigError, StateError
from dativo_sdk import JobKey

from dativo.state._entries import Keep, KeptState, Origin, RunEntry
from dativo.state._lease import Holder, Lease, LeaseLostError

__all__ = ["ConflictError", "DocumentBackend", "Documents", "Found"]

FORMAT = {"format": "dativo-state", "version": 1}
MARKER = "dativo-state.json"
SMALL_STATE = 1024
"""Bytes up to which a state is within the head."""
KEEP_RUN_DOCUMENTS = 1000
"""Runs of a job that are kept."""
SWAP_SECONDS = 60.0
"""How long a change is tried against other writers."""

T = TypeVar("T")


class Found(NamedTuple):
    """A document as it was read.

    Attributes:
        version: What the next `replace` says it replaces; differs between any two contents.
        modified: When it was put, in seconds by the store's clock.
    """

    data: bytes
    version: str
    modified: float


class ConflictError(Exception):
    """The document is not the one that was to be replaced."""


class Documents(Protocol):
    """What the backend needs of a store. Paths have `/` between their parts; errors are those of `StateBackend`."""

    name: str

    def get(self, path: str) -> Found | None: ...

    def get_all(self, paths: Sequence[str]) -> list[bytes | None]:
        """The contents of many, None for those that are not there."""
        ...

    def put(self, path: str, data: bytes) -> None:
        """Puts a document whatever was there; whole or not at all, durable on return."""
        ...

    def replace(self, path: str, data: bytes, version: str | None) -> None:
        """Puts a document in the place of that version, or of none; whole or not at all, durable on return.

        Raises:
            ConflictError: Another one is there, or none. After a connection was lost, it may be this very one.
        """
        ...

    def names(self, folder: str) -> list[str]:
        """Names of the documents and folders directly below a folder, sorted; none where there is no folder."""
        ...

    def remove(self, paths: Sequence[str]) -> None:
        """Removes documents, also those that are not there."""
        ...

    def now(self) -> float:
        """The store's clock, the one of `Found.modified`."""
        ...

    def close(self) -> None: ...


class DocumentBackend:
    """See the module. It leases, by the store's clock."""

    def __init__(self, documents: Documents) -> None:
        self.name = documents.name
        self._documents = documents
        self._known = False

    def close(self) -> None:
        self._documents.close()

    def exists(self) -> bool:
        return self._has_marker()

    def jobs(self) -> list[JobKey]:
        if not self._has_marker():
            return []
        found = []
        for tenant in self._documents.names("jobs"):
            found += [JobKey(tenant, job) for job in self._documents.names(f"jobs/{tenant}")]
        return sorted(found)

    def history(self, job: JobKey, limit: int) -> list[KeptState]:
        for _ in range(10):
            head, _ = self._head(job)
            entries = head["entries"][::-1][:limit]
            paths = [f"{_folder(job)}/{entry['file']}" for entry in entries if "file" in entry]
            read = dict(zip(paths, self._documents.get_all(paths), strict=True)) if paths else {}
            # One that is gone was pruned after the head was read.
            if None not in read.values():
                states = [read[f"{_folder(job)}/{entry['file']}"] if "file" in entry else _inside(entry) for entry in entries]
                return [_kept(entry, state) for entry, state in zip(entries, states, strict=True)]
        raise self._damaged(job, "states that it names are not there")

    def append(
        self, job: JobKey, state: bytes | None, origin: Origin, run_id: str | None, *, keep: Keep, token: int | None
    ) -> KeptState:
        entry_id, now = secrets.token_hex(6), time.time()
        inside = _as_text(state)
        gone: list[str] = []
        staged: list[str] = []

        def change(head: dict[str, Any]) -> dict[str, Any]:
            _check_token(head, job, token)
            head["seq"] += 1
            entry = {"id": entry_id, "seq": head["seq"], "time": now, "run_id": run_id, "origin": origin, "applied": False}
            if state is None or inside is not None:
                entry["state"] = inside
            else:
                entry["file"] = f"states/{head['seq']:020}-{entry_id}"
                self._documents.put(f"{_folder(job)}/{entry['file']}", state)
                staged.append(entry["file"])
            head["entries"], doomed = _pruned([*head["entries"], entry], keep, head["runs"])
            gone[:] = [each["file"] for each in doomed if "file" in each]
            return entry

        def done(head: dict[str, Any]) -> dict[str, Any] | None:
            return next((entry for entry in head["entries"] if entry["id"] == entry_id), None)

        entry = self._swap(job, change, done)
        gone += [file for file in staged if file != entry.get("file")]
        if gone:
            self._documents.remove([f"{_folder(job)}/{file}" for file in gone])
        return _kept(entry, state)

    def mark_applied(self, job: JobKey, seq: int, *, token: int | None) -> None:
        def change(head: dict[str, Any]) -> bool:
            _check_token(head, job, token)
            for entry in head["entries"]:
                if entry["seq"] == seq:
                    entry["applied"] = True
            return True

        self._swap(job, change, lambda head: any(each["seq"] == seq and each["applied"] for each in head["entries"]) or None)

    def begin_run(self, run: RunEntry, *, token: int | None) -> None:
        job = JobKey(run.tenant, run.job)
        before: list[str] = []

        def change(head: dict[str, Any]) -> int:
            _check_token(head, job, token)
            before[:] = [each for each in head["running"] if each != run.run_id]
            head["running"] = [run.run_id]
            head["runs"] = [*(each for each in head["runs"] if each != run.run_id), run.run_id][-100:]
            return int(head["seq"])

        seq = self._swap(job, change, lambda head: head["seq"] if run.run_id in head["running"] else None)
        self._put_run(dataclasses.replace(run, seq_before=seq))
        for run_id in before:
            crashed = self._get_run(job, run_id)
            if crashed is not None and crashed.status == "running":
                self._put_run(dataclasses.replace(crashed, status="crashed", ended=run.started))
        self._sweep(job)

    def finish_run(self, run: RunEntry) -> None:
        job = JobKey(run.tenant, run.job)
        begun = self._get_run(job, run.run_id)
        if begun is None:
            return

        def change(head: dict[str, Any]) -> int:
            head["running"] = [each for each in head["running"] if each != run.run_id]
            return int(head["seq"])

        seq = self._swap(job, change, lambda head: head["seq"] if run.run_id not in head["running"] else None)
        kept = {name: getattr(begun, name) for name in ("started", "seq_before", "host", "pid", "pid_start")}
        self._put_run(dataclasses.replace(run, **kept, seq_after=seq))

    def runs(self, job: JobKey | None, limit: int) -> list[RunEntry]:
        found = self._run_paths("", job)
        # Ids begin with the second in which the run was made, and so sort by time as far as they have one.
        found.sort(key=lambda path: path.rpartition("/")[2], reverse=True)
        runs = self._read_runs(found[: limit + 100])
        return sorted(runs, key=lambda run: run.started, reverse=True)[:limit]

    def find_runs(self, prefix: str, limit: int) -> list[RunEntry]:
        return self._read_runs(self._run_paths(prefix, None)[:limit])

    def read_lease(self, job: JobKey) -> Lease | None:
        head, found = self._head(job)
        lease = head["lease"]
        if lease is None or found is None:
            return None
        try:
            holder = Holder.from_dict(lease["holder"])
            return Lease(head["token"], holder, lease["beat"], lease["ttl"], self._documents.now() - found.modified)
        except (KeyError, TypeError) as error:
            raise self._damaged(job, f"its lease has no {error}") from error

    def take_lease(self, job: JobKey, seen: Lease | None, holder: Holder, ttl: float) -> int | None:
        nonce = secrets.token_hex(6)

        def change(head: dict[str, Any]) -> int | None:
            lease = head["lease"]
            if (None if lease is None else (head["token"], lease["beat"])) != (None if seen is None else (seen.token, seen.beat)):
                return None
            head["token"] += 1
            head["lease"] = {"holder": holder.to_dict(), "beat": 1, "ttl": ttl, "id": nonce}
            return int(head["token"])

        def done(head: dict[str, Any]) -> int | None:
            return head["token"] if head["lease"] is not None and head["lease"].get("id") == nonce else None

        return self._swap(job, change, done)

    def renew_lease(self, job: JobKey, token: int) -> None:
        def change(head: dict[str, Any]) -> bool:
            _check_token(head, job, token)
            head["lease"]["beat"] += 1
            return True

        self._swap(job, change, lambda head: None)

    def release_lease(self, job: JobKey, token: int) -> None:
        def change(head: dict[str, Any]) -> bool | None:
            if head["lease"] is None or head["token"] != token:
                return None
            head["lease"] = None
            return True

        self._swap(job, change, lambda head: None)

    def _swap(self, job: JobKey, change: Callable[[dict[str, Any]], T], done: Callable[[dict[str, Any]], T | None]) -> T:
        """Changes the head, again and again until nobody was quicker.

        Args:
            change: Changes it in place; None leaves it as it is.
            done: What `change` gave, where the head shows that an earlier try came through although it looked refused: a client
                that lost the connection repeats a request, and is then refused by its own first one.
        """
        self._format()
        path = f"{_folder(job)}/head.json"
        deadline = time.monotonic() + SWAP_SECONDS
        for attempt in range(1_000_000):
            head, found = self._head(job)
            if attempt and (result := done(head)) is not None:
                return result
            before = json.dumps(head)
            given = change(head)
            if given is None or json.dumps(head) == before:
                return given
            head["change"] += 1
            try:
                self._documents.replace(path, json.dumps(head).encode(), None if found is None else found.version)
            except ConflictError:
                if time.monotonic() > deadline:
                    break
                time.sleep(random.uniform(0, min(0.002 * 2 ** min(attempt, 8), 0.25)))
            else:
                return given
        raise StateError(
            f"state store `{self.name}`: other writers of job `{job}` have been quicker for {SWAP_SECONDS:.0f} s", retryable=True
        )

    def _head(self, job: JobKey) -> tuple[dict[str, Any], Found | None]:
        found = self._documents.get(f"{_folder(job)}/head.json")
        new: dict[str, Any] = {"change": 0, "seq": 0, "token": 0, "lease": None, "entries": [], "running": [], "runs": []}
        if found is None:
            return new, None
        try:
            head = json.loads(found.data)
            if not isinstance(head, dict) or not new.keys() <= head.keys():
                raise ValueError("it has another form")
        except ValueError as error:
            raise self._damaged(job, str(error)) from None
        return head, found

    def _damaged(self, job: JobKey, why: str) -> StateError:
        path = f"{_folder(job)}/head.json"
        return StateError(
            f"cannot use state store `{self.name}`: `{path}` is damaged: {why}",
            hint=f"remove `{_folder(job)}` there and run again: the targets keep the committed states, only the history is lost",
            facts={"job": str(job), "path": path},
        )

    def _has_marker(self) -> bool:
        if not self._known:
            found = self._documents.get(MARKER)
            if found is None:
                return False
            try:
                said = json.loads(found.data)
                version = said["version"] if said["format"] == FORMAT["format"] else None
            except (ValueError, KeyError, TypeError):
                version = None
            if not isinstance(version, int):
                raise StateError(f"cannot use state store `{self.name}`: its `{MARKER}` is damaged", hint="move it away")
            if version > FORMAT["version"]:  # type: ignore[operator]
                raise StateError(
                    f"state store `{self.name}` has version {version}, this Dativo knows version {FORMAT['version']}",
                    hint="upgrade Dativo",
                )
            self._known = True
        return True

    def _format(self) -> None:
        """Puts the marker where there is none, and tries on it what everything here rests on."""
        if self._has_marker():
            return
        data = json.dumps(FORMAT).encode()
        try:
            self._documents.replace(MARKER, data, None)
        except ConflictError:
            if self._has_marker():
                return
            raise
        for version in (None, "0123456789abcdef"):
            try:
                self._documents.replace(MARKER, data, version)
            except ConflictError:
                continue
            self._documents.remove([MARKER])
            raise ConfigError(
                f"`{self.name}` cannot hold states: it puts an object over another one although it was told not to",
                hint="its server does not know conditional puts (`If-Match`, `If-None-Match`): upgrade it, or choose another",
            )
        self._known = True

    def _sweep(self, job: JobKey) -> None:
        """Removes states that no head names, and the oldest runs."""
        folder = _folder(job)
        head, _ = self._head(job)
        named = {entry.get("file") for entry in head["entries"]}
        states = [f"states/{name}" for name in self._documents.names(f"{folder}/states")]
        # A number that was not given yet may be another writer's, about to be named.
        left = [each for each in states if each not in named and _number(each) <= head["seq"]]
        runs = [f"runs/{name}" for name in self._documents.names(f"{folder}/runs")]
        gone = [*left, *runs[: max(len(runs) - KEEP_RUN_DOCUMENTS, 0)]]
        if gone:
            self._documents.remove([f"{folder}/{each}" for each in gone])

    def _run_paths(self, prefix: str, job: JobKey | None) -> list[str]:
        jobs = [job] if job else self.jobs()
        folders = [f"{_folder(each)}/runs" for each in jobs]
        return [f"{folder}/{name}" for folder in folders for name in self._documents.names(folder) if name.startswith(prefix)]

    def _read_runs(self, paths: Sequence[str]) -> list[RunEntry]:
        return [self._run(path, data) for path, data in zip(paths, self._documents.get_all(paths), strict=True) if data]

    def _get_run(self, job: JobKey, run_id: str) -> RunEntry | None:
        path = f"{_folder(job)}/runs/{run_id}.json"
        found = self._documents.get(path)
        return None if found is None else self._run(path, found.data)

    def _run(self, path: str, data: bytes) -> RunEntry:
        try:
            return RunEntry(**json.loads(data))
        except (ValueError, TypeError) as error:
            raise StateError(
                f"cannot use state store `{self.name}`: `{path}` is damaged: {error}",
                hint="remove it: only what it says of that run is lost",
            ) from None

    def _put_run(self, run: RunEntry) -> None:
        path = f"{_folder(JobKey(run.tenant, run.job))}/runs/{run.run_id}.json"
        self._documents.put(path, json.dumps(dataclasses.asdict(run)).encode())


def _folder(job: JobKey) -> str:
    return f"jobs/{job.tenant}/{job.job}"


def _check_token(head: dict[str, Any], job: JobKey, token: int | None) -> None:
    if token is not None and (head["lease"] is None or head["token"] != token):
        raise LeaseLostError(job)


def _as_text(state: bytes | None) -> str | None:
    """A small state as the head has it, or None."""
    if state is None or len(state) > SMALL_STATE:
        return None
    try:
        return state.decode()
    except UnicodeDecodeError:
        return None


def _inside(entry: dict[str, Any]) -> bytes | None:
    return None if entry["state"] is None else str(entry["state"]).encode()


def _kept(entry: dict[str, Any], state: bytes | None) -> KeptState:
    return KeptState(entry["seq"], entry["time"], entry["run_id"], entry["origin"], state, entry["applied"])


def _number(file: str) -> int:
    """The number of a state's file; of a file of somebody else, one that is never given."""
    number = file.rpartition("/")[2].partition("-")[0]
    return int(number) if number.isdigit() else 1 << 62


def _pruned(entries: list[dict[str, Any]], keep: Keep, runs: Sequence[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The entries that stay, and those that go."""
    if len(entries) <= keep.states:
        return entries, []
    oldest = entries[-1]["seq"] - keep.states
    recent = set(runs[-keep.runs :]) if keep.runs else set()
    newest = {entry["run_id"]: entry["seq"] for entry in entries if entry["run_id"] in recent}
    stays = [entry["seq"] > oldest or newest.get(entry["run_id"]) == entry["seq"] for entry in entries]
    kept = [entry for entry, one in zip(entries, stays, strict=True) if one]
    return kept, [entry for entry, one in zip(entries, stays, strict=True) if not one]
