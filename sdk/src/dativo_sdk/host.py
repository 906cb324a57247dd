"""For programs that run plugins, as Dativo's engines do; plugins need nothing of it.

The plugin API's promises are not made for it: a minor version may change what is here, and the changelog says so. Besides, hosts
use `dativo_sdk.manifest`, what a plugin says without being run; `dativo_sdk.library`, shared libraries;
`dativo_sdk.writer_process`, writers in another process; and `dativo_sdk.flight.wire`, what Flight servers say.
"""

from dativo_sdk._config import config_schema, make_config
from dativo_sdk._installed import EntryPoint, entry_points
from dativo_sdk._plugin import READERS, WRITERS, load_class, missing_hint
from dativo_sdk._program.said import said

__all__ = [
    "READERS",
    "WRITERS",
    "EntryPoint",
    "config_schema",
    "entry_points",
    "load_class",
    "make_config",
    "missing_hint",
    "said",
]
