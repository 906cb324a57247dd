"""State backends: where states, runs and leases of a project are kept (`docs/state.md`).

A backend is a class of the entry-point group `dativo.state`, named by the scheme of the URLs that it takes, and called with a
`Location`; it has the methods of `StateBackend`, and of `Leasing` when several machines can reach it.
"""

from __future__ import annotations

from dativo.state._backend import Leasing, StateBackend
from dativo.state._entries import Keep, KeptState, Origin, RunEntry, StateEntry
from dativo.state._lease import Holder, Lease, LeaseLostError
from dativo.state._location import Location

__all__ = [
    "Holder",
    "Keep",
    "KeptState",
    "Lease",
    "LeaseLostError",
    "Leasing",
    "Location",
    "Origin",
    "RunEntry",
    "StateBackend",
    "StateEntry",
]
