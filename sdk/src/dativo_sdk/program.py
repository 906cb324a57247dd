"""Runs a reader or a writer as a program: `python -m dativo_sdk.program TARGET ARGUMENTS…`.

`TARGET` is `module:Class`, `path.py:Class` or the path of a shared library. The program is an Airbyte source (`spec`, `check`,
`discover`, `read`) and a Singer tap (`--discover`, `--config`, `--catalog`, `--state`, `--about`). With `--format arrow`, or the
environment variable `DATIVO_FORMAT=arrow`, it sends Arrow data instead of a line a record.

A plugin's own console script is one line:

```python
def program() -> int: return dativo_sdk.program.main(MyReader)
```
"""

from __future__ import annotations

import sys

from dativo_sdk._program.run import main, main_of_target

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main_of_target())
