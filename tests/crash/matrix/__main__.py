"""Interrupts runs into every target in every write mode, at each step of a commit and at random instants, and compares all rows.

    python -m tests.crash.matrix --kills 1000                          # over the whole matrix
    python -m tests.crash.matrix --kills 40 --target duckdb --mode merge
    python -m tests.crash.matrix --kills 1000 --results FILE           # goes on where an earlier call with this file was ended
    python -m tests.crash.matrix --document --results FILE             # writes the table into docs/delivery.md

After each interruption the job is run again until it ends well; its rows must be those of a run that nobody disturbed. Exits 1
when a row was lost, doubled or changed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.matrix.places import PLACES, modes, opened, removed
from tests.crash.matrix.trial import Cell, Rows, Trial, differences

DOCUMENT = Path(__file__).parents[3] / "docs" / "delivery.md"
BEGIN, END = "<!-- matrix: begin -->\n", "<!-- matrix: end -->\n"
AGAIN = 0.3
"""Share of reruns that are interrupted as well."""


@dataclass
class Outcome:
    """What happened in one cell.

    Attributes:
        lost, more: Rows that lacked, and that were too many or other ones, over all trials.
        ways: How runs were interrupted, and how often.
        late: Runs that ended before the interruption.
    """

    target: str
    mode: str
    trials: int = 0
    kills: int = 0
    lost: int = 0
    more: int = 0
    late: int = 0
    ways: Counter[str] = field(default_factory=Counter)


def seen_whole(cell: Cell, found: Rows, *states: Rows) -> bool:
    """Whether readers see one of the states; table by table where each has commits of its own."""
    if cell.place.connector not in ("delta", "iceberg"):
        return found in states
    names = set(found).union(*states)
    return all(any(found.get(name) == state.get(name) for state in states) for name in names)


def crash(cell: Cell, kills: int, chance: random.Random, folder: Path) -> Outcome:
    """Trials until so many runs were interrupted. Every way has its turn before any has its second."""
    outcome = Outcome(cell.place.name, cell.mode)
    expected, before, seconds = undisturbed(cell, folder / "undisturbed")
    ways: list[str] = []
    while outcome.kills < kills:
        trial = Trial(cell, folder / f"trial{outcome.trials}")
        outcome.trials += 1
        if cell.mode == "overwrite":
            trial.finish()
            trial.edit(2)
        while True:
            ways = ways or chance.sample(cell.kills(), len(cell.kills()))
            way = ways.pop()
            code = trial.interrupt(way, seconds, chance)
            outcome.kills += code != 0
            outcome.late += code == 0
            outcome.ways[way] += code != 0
            if cell.mode == "overwrite" and not seen_whole(cell, trial.rows(), before, expected):
                raise AssertionError(f"readers saw neither the old table nor the new one: {trial.folder}")
            if outcome.kills >= kills or chance.random() > AGAIN:
                break
        trial.finish()
        lost, more = differences(expected, trial.rows())
        outcome.lost += lost
        outcome.more += more
        if lost or more:
            print(f"{trial.folder} is kept: {outcome}", file=sys.stderr)
            break
        removed(cell.place, trial.folder)
    return outcome


def undisturbed(cell: Cell, folder: Path) -> tuple[Rows, Rows, float]:
    """The rows of an undisturbed run; those before it, where it overwrites; and how long it takes."""
    trial = Trial(cell, folder)
    seconds = trial.finish()
    before = trial.rows()
    if cell.mode == "overwrite":
        trial.edit(2)
        seconds = trial.finish()
    expected = trial.rows()
    if not expected or not all(name in expected for name in ("orders", "users")):
        raise AssertionError(f"the undisturbed run gave {list(expected)}: {trial.folder}")
    removed(cell.place, folder)
    return expected, before, seconds


def kept(path: Path | None) -> list[Outcome]:
    """The cells of earlier calls, in the order of the matrix."""
    if path is None or not path.exists():
        return []
    found = [Outcome(**json.loads(line)) for line in path.read_text().splitlines()]
    for outcome in found:
        outcome.ways = Counter(outcome.ways)
    return sorted(found, key=lambda outcome: (PLACES.index(outcome.target), outcome.mode))


def table(outcomes: list[Outcome]) -> str:
    """In Markdown."""
    lines = [
        "| target | mode | runs interrupted | at a step of the commit | Dativo, its tree, the source | the server, the network "
        "| rows lost | rows doubled or changed |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for each in outcomes:
        steps = sum(count for way, count in each.ways.items() if way.startswith("at "))
        outside = each.ways["server"] + each.ways["network"]
        rest = each.kills - steps - outside
        counts = (each.kills, steps, rest, outside or "-", each.lost, each.more)
        lines.append(f"| `{each.target}` | `{each.mode}` | {' | '.join(str(count) for count in counts)} |")
    total = [sum(getattr(each, name) for each in outcomes) for name in ("kills", "lost", "more")]
    lines.append(f"| all | | {total[0]} | | | | {total[1]} | {total[2]} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1_000, help="over all cells")
    parser.add_argument("--target", action="append", choices=PLACES)
    parser.add_argument("--mode", action="append")
    parser.add_argument("--rows", type=int, default=6_000, help="of two streams together")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**9)
    parser.add_argument("--results", type=Path, help="every finished cell is kept there, and not done again")
    parser.add_argument("--document", action="store_true")
    chosen = parser.parse_args()
    outcomes = kept(chosen.results)
    if chosen.document:
        text = DOCUMENT.read_text()
        before, rest = text.split(BEGIN)
        DOCUMENT.write_text(before + BEGIN + table(outcomes) + END + rest.split(END)[1])
        return 0
    folder = Path(tempfile.mkdtemp(prefix="dativo-matrix-"))
    names = chosen.target or list(PLACES)
    cells = []
    for name in names:
        with opened(name) as place:
            cells += [(name, mode) for mode in modes(place) if not chosen.mode or mode in chosen.mode]
    each = -(-chosen.kills // len(cells))
    print(f"seed {chosen.seed}, {chosen.rows} rows, {len(cells)} cells, {each} interruptions in each", flush=True)
    done = {(outcome.target, outcome.mode) for outcome in outcomes}
    for name in names:
        left = [mode for target, mode in cells if target == name and (target, mode) not in done]
        with opened(name) if left else contextlib.nullcontext() as place:
            for mode in left:
                cell = Cell(place, mode, chosen.rows)
                began = time.monotonic()
                outcome = crash(cell, each, random.Random(f"{chosen.seed} {name} {mode}"), folder / name / mode)
                outcomes.append(outcome)
                if chosen.results:
                    with chosen.results.open("a") as file:
                        file.write(json.dumps(vars(outcome)) + "\n")
                print(f"{outcome} in {time.monotonic() - began:.0f} s", flush=True)
    print(table(outcomes))
    if any(outcome.lost or outcome.more for outcome in outcomes):
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
