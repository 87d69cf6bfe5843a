"""Looking up settings: explicit ones, then the environment, then the spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import attrs

from trio_realtime.endpoints.environment import parse_flag

from .settings import Origin, ServiceSettings, SettingSource, mask_value

__all__ = ["Candidate", "Found", "Lookup"]

Candidate: TypeAlias = tuple[str, tuple[str, ...]]
"""The name of a setting, and its variables in the order of precedence."""

_ORIGINS: Final[tuple[Origin, ...]] = ("explicit", "environment", "spec")


@attrs.frozen(kw_only=True, repr=False)
class Found:
    """A value and where it came from. ``repr`` shows no secrets."""

    setting: str
    value: Any
    origin: Origin
    variable: str | None = None

    @property
    def label(self) -> str:
        """What to call the value in an error message."""
        if self.variable is not None:
            return self.variable
        return (
            f"{self.setting} in the service of the spec" if self.origin == "spec" else self.setting
        )

    def source(self) -> SettingSource:
        """Return the origin, with the value masked."""
        return SettingSource(
            setting=self.setting,
            origin=self.origin,
            value=mask_value(self.setting, self.value),
            variable=self.variable,
        )

    def __repr__(self) -> str:
        return f"Found({self.source()})"


@attrs.frozen
class Lookup:
    """Finds the values of settings.

    Args:
        explicit: the explicit settings. A blank one suppresses its variables.
        environ: the environment. An empty variable counts as not set.
        spec: the settings of the agent spec.
    """

    explicit: ServiceSettings
    environ: Mapping[str, str] = attrs.field(repr=False)
    spec: ServiceSettings

    def find(self, name: str, *variables: str) -> Found | None:
        """Return the value of one setting; ``None`` if it is not given."""
        return self.find_first((name, variables))

    def find_first(self, *candidates: Candidate) -> Found | None:
        """Return the first setting that is given.

        An explicit one comes before any variable, and a variable before anything in the spec.
        """
        for origin in _ORIGINS:
            for name, variables in candidates:
                found = self._find_in(origin, name, variables)
                if found is not None:
                    return found
        return None

    def find_flag(self, name: str, variable: str) -> Found | None:
        """Return the value of a setting that is a boolean; ``None`` if it is not given.

        Raises:
            ConfigurationError: the variable is not a boolean.
        """
        if (given := getattr(self.explicit, name)) is not None:
            return Found(setting=name, value=given, origin="explicit")
        if text := self.environ.get(variable):
            value = parse_flag(text, variable)
            return Found(setting=name, value=value, origin="environment", variable=variable)
        if (given := getattr(self.spec, name)) is not None:
            return Found(setting=name, value=given, origin="spec")
        return None

    def _find_in(self, origin: Origin, name: str, variables: tuple[str, ...]) -> Found | None:
        given = getattr(self.explicit, name)
        if origin == "explicit":
            return Found(setting=name, value=given, origin=origin) if given else None
        if origin == "spec":
            value = getattr(self.spec, name)
            return Found(setting=name, value=value, origin=origin) if value else None
        if given is None:
            for variable in variables:
                if value := self.environ.get(variable):
                    return Found(setting=name, value=value, origin=origin, variable=variable)
        return None
