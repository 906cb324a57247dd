"""Runs images as confined processes, without a container daemon."""

from dativo_engines.sandbox._groups import held_controllers
from dativo_engines.sandbox._images import Image, ImageInfo, ImageStore
from dativo_engines.sandbox._runtime import SandboxedProcess, SandboxRuntime

__all__ = ["Image", "ImageInfo", "ImageStore", "SandboxRuntime", "SandboxedProcess", "held_controllers"]
