"""Names of data files say who wrote them, so that what a dead run has left is found and deleted."""

from __future__ import annotations

import hashlib
import re
import time

from dativo_sdk import JobKey

from dativo.targets._commit_log import CommitLog, job_hash
from dativo.targets._store import Store

_GENERATION = re.compile(r"[0-9a-f]{8}-g(\d+)-")


def file_prefix(job: JobKey, generation: int | None, run_id: str) -> str:
    """What the names of a run's files begin with: job, generation where the store is fenced, and run."""
    run = run_id if re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", run_id) else hashlib.sha256(run_id.encode()).hexdigest()[:12]
    return f"{job_hash(job)}-{run}-" if generation is None else f"{job_hash(job)}-g{generation}-{run}-"


def clean(store: Store, log: CommitLog, job: JobKey, keep_seconds: int) -> None:
    """Deletes files of the job that no commit names, and files of any job replaced `keep_seconds` ago or earlier.

    On a fenced store only files of older generations: their runs cannot commit any more, and this very run may be an old one that
    was stopped for a while, so that newer files are none of its business.
    """
    now, picture = time.time(), log.picture
    replaced = [path for path, at in picture.removed.items() if at + keep_seconds <= now]
    for path in replaced:
        del picture.removed[path]
    known, own = picture.paths(), f"{job_hash(job)}-"
    unknown = [path for path in store.data_files() if path not in known and path.split("/", 1)[1].startswith(own)]
    if log.generation is not None:
        unknown = [path for path in unknown if _generation(path) < log.generation]
    store.delete([*replaced, *unknown])
    if not store.fenced:
        store.delete(f"_dativo/staging/{name}" for name in store.names("_dativo/staging") if name.startswith(own))


def _generation(path: str) -> int:
    match = _GENERATION.match(path.split("/", 1)[1])
    return int(match[1]) if match else 0
