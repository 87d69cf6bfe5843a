"""An environment of its own for the client of another project. Imported in all of them."""

from __future__ import annotations

from importlib.metadata import distributions
from pathlib import Path

import attrs


@attrs.frozen
class PythonEnvironment:
    """A virtual environment.

    Attributes:
        directory: where it is, or will be.
    """

    directory: Path

    @property
    def python(self) -> str:
        """The interpreter."""
        return str(self.directory / "bin" / "python")

    def version(self, distribution: str) -> str | None:
        """Return the version of a distribution, or None if it is not installed there."""
        path = [str(one) for one in self.directory.glob("lib/python*/site-packages")]
        found = next(iter(distributions(name=distribution, path=path)), None)
        return None if found is None else found.version
