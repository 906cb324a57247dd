"""The project's state store, and which job a command means."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dativo_sdk import JobKey

    from dativo._store import RunEntry, Store

__all__ = ["existing_store", "find_job", "find_run", "open_store", "read_state", "refuse_while_running"]

RUNS_LOOKED_AT = 1000


def open_store() -> Store:
    """The project's store; made where there is none."""
    from dativo.state._open import open_store as project_store

    return project_store()


@contextmanager
def existing_store() -> Iterator[Store | None]:
    """The store, or None where the project has none yet: looking leaves nothing behind."""
    with open_store() as store:
        yield store if store.exists() else None


def find_job(name: str) -> JobKey:
    """The job of a file, of a name in `jobs/`, or one that the store knows as `job` or `tenant/job` although its file is gone.

    Raises:
        ConfigError: There is no such job, or more than one.
    """
    from dativo_protocols.errors import ConfigError

    from dativo._job import load_job

    known = []
    if not Path(name).exists():
        with existing_store() as store:
            known = [key for key in store.jobs() if name in (str(key), key.job)] if store else []
    try:
        return load_job(name, purpose="inspect").key
    except ConfigError as error:
        if len(known) == 1 and not Path("jobs", f"{name}.yaml").exists():
            return known[0]
        if len(known) > 1:
            choices = ", ".join(f"`{key}`" for key in known)
            raise ConfigError(f"more than one job is named `{name}`: {choices}", hint="write it as `tenant/job`") from error
        raise


def find_run(store: Store | None, run_id: str) -> RunEntry:
    """The run whose id is, or begins with, `run_id`.

    Raises:
        ConfigError: There is no such run, or more than one.
    """
    from dativo_protocols.errors import ConfigError

    found = store.run(run_id) if store else None
    if found is None:
        alike = [run.run_id for run in store.runs(limit=RUNS_LOOKED_AT) if run.run_id.startswith(run_id)] if store else []
        if alike:
            newest = ", ".join(f"`{each}`" for each in alike[:3])
            raise ConfigError(f"more than one run begins with `{run_id}`", hint=f"the newest are: {newest}")
        raise ConfigError(f"there is no run `{run_id}`", hint="`dativo runs` lists them")
    return found


def refuse_while_running(store: Store, job: JobKey) -> None:
    """Refuses to put a state while the job runs: the run's next checkpoint would replace it.

    Raises:
        StateError: Temporary (exit code 75); names the run.
    """
    from dativo_protocols.errors import StateError

    for run in store.runs(job, limit=1):
        if run.status == "running":
            where = "" if run.host == socket.gethostname() else f" on `{run.host}`"
            raise StateError(
                f"job `{job}` is running: run `{run.run_id}`, process {run.pid}{where}",
                hint="its next checkpoint would replace the state; wait for it, or stop it",
                retryable=True,
                facts={"run_id": run.run_id, "pid": run.pid},
            )


def read_state(file: str) -> bytes:
    """The bytes of a state's file; `-` is stdin.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        from dativo_protocols.errors import ConfigError

        raise ConfigError(f"cannot read state file `{file}`: {error.strerror}", facts={"file": file}) from error
