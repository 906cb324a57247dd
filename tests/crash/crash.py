"""Kills runs at random instants, repeats them, and compares every row with an undisturbed run's.

    python tests/crash/crash.py --kills 200 --rows 1000000 --target duckdb --target parquet --target jsonl
    python tests/crash/crash.py --kills 200 --source docker --rows 200000 --target duckdb

Rejected rows count as rows, and the state must be the same in the end. Exits 1 when a row was lost, doubled or changed in any
target, or something was left over.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.crash.sources import TAP, Container, Source, Tap
from tests.crash.trial import Setting, Sum, Trial, choose_victim

AGAIN = 0.3
"""Share of reruns that are killed as well."""


@dataclass
class Outcome:
    """What happened in one target.

    Attributes:
        lost, doubled, changed: Rows, over all trials.
        other_states: Trials with another state in the end.
        resumed: Trials whose last run went on from a state.
        codes: How the killed runs ended; 0 when the kill came too late.
        victims: Who was killed how often.
        left_over: Files, containers and volumes that nobody removed.
    """

    target: str
    seconds: float = 0.0
    trials: int = 0
    kills: int = 0
    lost: int = 0
    doubled: int = 0
    changed: int = 0
    other_states: int = 0
    resumed: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    victims: Counter[str] = field(default_factory=Counter)
    left_over: int = 0

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.changed or self.other_states or self.left_over)

    def compare(self, expected: dict[str, Sum], found: dict[str, Sum]) -> None:
        for stream, whole in expected.items():
            rows = found.get(stream, Sum(0, 0, 0))
            lost, doubled = max(whole.keys - rows.keys, 0), rows.rows - rows.keys
            self.lost += lost
            self.doubled += doubled
            self.changed += not lost and not doubled and rows != whole


def write_messages(path: Path, rows: int, state_every: int) -> Path:
    subprocess.run([sys.executable, str(TAP), "--write", str(path), str(rows), str(state_every)], check=True)
    return path


def crash(setting: Setting, kills: int, seed: int, folder: Path, verbose: bool = False) -> Outcome:
    """Trials until `kills` runs were killed. Instants are uniform over the undisturbed run, from its start to its end."""
    chance, outcome = random.Random(seed), Outcome(setting.target)
    undisturbed = Trial(setting, folder / "undisturbed")
    undisturbed.finish()
    outcome.seconds = max(again(setting, folder), again(setting, folder))
    expected, state = undisturbed.sums(), undisturbed.state()
    if not expected or any(total.rows != total.keys for total in expected.values()):
        raise AssertionError(f"the undisturbed run gave {expected}")
    while outcome.kills < kills:
        trial = Trial(setting, folder / f"trial{outcome.trials}")
        outcome.trials += 1
        while True:
            victim = choose_victim(chance)
            outcome.codes[trial.kill(chance.uniform(0, outcome.seconds), victim, chance)] += 1
            outcome.victims[victim] += 1
            outcome.kills += 1
            if outcome.kills >= kills or chance.random() > AGAIN:
                break
        trial.finish()
        outcome.resumed += trial.resumed
        trial.wait_for_orphans()
        outcome.compare(expected, trial.sums())
        outcome.other_states += trial.state() != state
        outcome.left_over += len(trial.left_over())
        if not outcome.clean:
            print(f"{trial.folder} is kept: {outcome}", file=sys.stderr)
            break
        shutil.rmtree(trial.folder)
        if verbose and outcome.trials % 10 == 0:
            print(f"{setting.target}: {outcome.kills} kills, all rows there", file=sys.stderr, flush=True)
    shutil.rmtree(undisturbed.folder)
    return outcome


def again(setting: Setting, folder: Path) -> float:
    """The duration of another undisturbed run: the first one also pays for cold caches."""
    trial = Trial(setting, folder / "warm")
    seconds = trial.finish()
    shutil.rmtree(trial.folder)
    return seconds


def table(outcomes: list[Outcome]) -> str:
    head = (
        "target    run, s  kills  trials  resumed   lost  doubled  changed  other states  left over  who was killed; exit codes"
    )
    rows = [
        f"{o.target:8} {o.seconds:7.2f} {o.kills:6} {o.trials:7} {o.resumed:8} {o.lost:6} {o.doubled:8} {o.changed:8} "
        f"{o.other_states:13} {o.left_over:10}  {counts(o.victims)}; {counts(o.codes)}"
        for o in outcomes
    ]
    return "\n".join([head, *rows])


def counts(of: Counter[Any]) -> str:
    return ", ".join(f"{key}: {count}" for key, count in sorted(of.items()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="in each target")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of three streams together")
    parser.add_argument("--state-every", type=int, default=1_000)
    parser.add_argument("--checkpoint-rows", type=int, default=50_000)
    parser.add_argument("--source", choices=["tap", "docker"], default="tap")
    parser.add_argument("--pause-ms", type=float, default=0, help="of the source after every MiB, or state")
    parser.add_argument("--target", action="append", choices=["duckdb", "parquet", "jsonl"])
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**9)
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="dativo-crash-"))
    source: Source
    if chosen.source == "docker":
        # Only this needs the Docker SDK, and an engine.
        from tests.images.build import loaded

        # Else an image that was built anew would not be the one that its name was pinned to.
        os.environ["DATIVO_CACHE"] = str(folder / "cache")
        source = Container(loaded("crash").tag, chosen.rows, chosen.state_every, chosen.pause_ms)
    else:
        source = Tap(write_messages(folder / "messages.jsonl", chosen.rows, chosen.state_every), chosen.pause_ms)
    every = f"a state every {chosen.state_every}, a commit every {chosen.checkpoint_rows}"
    print(f"{chosen.source}, seed {chosen.seed}, {chosen.rows} rows, {every}")
    outcomes = [
        crash(Setting(target, source, chosen.checkpoint_rows), chosen.kills, chosen.seed, folder / target, verbose=True)
        for target in dict.fromkeys(chosen.target or ["duckdb", "parquet", "jsonl"])
    ]
    print(table(outcomes))
    if not all(outcome.clean for outcome in outcomes):
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
