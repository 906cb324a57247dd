"""What a run did, as the table it ends with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dativo.cli import _terminal
from dativo.cli._figures import count, duration, number, shortened, size
from dativo.cli._table import Column, show_pairs, show_table

if TYPE_CHECKING:
    from dativo._report import Report

__all__ = ["attempt_pairs", "show_report", "show_streams"]

CHANGES_SHOWN = 3
NAME_WIDTH = 60


def show_streams(streams: Sequence[Mapping[str, Any]]) -> None:
    """A line for each stream of a report, and one for all where there is more than one.

    Args:
        streams: As in `Report.to_dict`.
    """
    staged = any(stream["staged"] for stream in streams)
    columns = [
        Column("stream", folds=True),
        Column("write"),
        Column("rows in", True),
        Column("written", True),
        Column("quarantined", True),
    ]
    names = ["rows_in", "written", "quarantined"]
    if staged:
        columns.append(Column("rolled back", True))
        names.append("staged")
    rows = [
        [_short(stream["stream"]), stream["write"], *(count(stream[name]) for name in names), _changes(stream)]
        for stream in streams
    ]
    columns.append(Column("schema changes", folds=True))
    if len(streams) > 1:
        rows.append(["total", "", *(count(sum(stream[name] for stream in streams)) for name in names), ""])
    # Where all is well there is nothing to say.
    if any(stream.get("status") not in (None, "COMPLETE") for stream in streams):
        columns.append(Column("the connector says"))
        for row, said in zip(rows, [*(stream.get("status") or "-" for stream in streams), ""], strict=False):
            row.append(said)
    show_table(columns, rows)


def _short(name: str) -> str:
    """A stream's name, cut in the middle where it would leave no room for the rest of the table."""
    return name if len(name) <= NAME_WIDTH else f"{name[: NAME_WIDTH // 2]}…{name[-(NAME_WIDTH - NAME_WIDTH // 2 - 1) :]}"


def attempt_pairs(attempts: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """What each attempt of a run did, where there was more than one.

    Args:
        attempts: As in `Report.to_dict`.
    """
    return [(f"attempt {attempt['number']}", _attempt(attempt)) for attempt in attempts if len(attempts) > 1]


def _attempt(attempt: Mapping[str, Any]) -> str:
    parts = [f"after {duration(attempt['waited'])}"] * bool(attempt["waited"])
    parts += [duration(attempt["seconds"]), f"{number(attempt['written'], 'row')} written"]
    parts += [f"{count(attempt['quarantined'])} quarantined"] * bool(attempt["quarantined"])
    parts += [f"{count(attempt['staged'])} rolled back"] * bool(attempt["staged"])
    error = attempt["error"]
    return ", ".join(parts) + (f"; then {error['message'].splitlines()[0]}" if error else "")


def show_report(report: Report) -> None:
    """Streams, time, commits and states of a run that has ended."""
    data = report.to_dict()
    if data["streams"]:
        show_streams(data["streams"])
    else:
        _terminal.write("no stream was read\n")
    _terminal.write("\n")
    show_pairs(
        [
            ("status", report.status),
            ("time", f"{duration(report.seconds)}, {number(report.commits, 'commit')}, {size(report.bytes_in)} read"),
            *attempt_pairs(data["attempts"]),
            ("state before", shortened(report.state_before)),
            ("state after", shortened(report.state_after)),
            ("run", report.run_id),
        ]
    )


def _changes(stream: Mapping[str, Any]) -> str:
    texts = [_change(change) for change in stream["schema_changes"]]
    rest = len(texts) - CHANGES_SHOWN
    return ", ".join(texts[:CHANGES_SHOWN]) + (f", {rest} more" if rest > 0 else "")


def _change(change: Mapping[str, Any]) -> str:
    if change["kind"] == "table":
        return "new table"
    if change["kind"] == "column":
        return f"+ {change['column']} {change['after']}"
    return f"{change['column']} {change['before']} -> {change['after']}"
