"""Object stores: which place a URL and `storage_options` mean, and what their errors say to users."""

from dativo.objectstore._connect import connect
from dativo.objectstore._failure import failures, refused
from dativo.objectstore._options import Place, read_place

__all__ = ["Place", "connect", "failures", "read_place", "refused"]
