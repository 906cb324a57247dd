"""Runs foreign plugins with nothing but what they declare."""

from dativo_engines.plugins._levels import Means, means
from dativo_engines.plugins._permissions import Permitted, permitted
from dativo_engines.plugins._process import PluginProcess
from dativo_engines.plugins._runtime import PluginSandbox

__all__ = ["Means", "Permitted", "PluginProcess", "PluginSandbox", "means", "permitted"]
