"""The command line: one module a command, imported when it is used.

`_root` finds the commands, `_failure` turns what went wrong into words and an exit code,
`_terminal` and `_table` write results. Commands import pyarrow, pydantic, rich and the rest of Dativo inside their functions,
never at the top: `dativo --help` imports all command modules.
"""

from dativo.cli._root import run

__all__ = ["run"]
