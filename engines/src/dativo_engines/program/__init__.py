"""Programs that speak Airbyte's commands, in Arrow where they can: executables, in any language."""

from dativo_engines.program._engine import ProgramEngine

__all__ = ["ProgramEngine"]
