"""Makes `writer_conformance` importable from the test files beside it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
