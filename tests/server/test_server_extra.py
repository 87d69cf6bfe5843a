"""A missing package of the extra is an error that names the extra."""

from __future__ import annotations

import subprocess
import sys

import pytest

from trio_realtime.server._extra import server_extra

_HIDE = "import sys; sys.modules[{package!r}] = None; import trio_realtime.server.{module}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "package"),
    [
        ("spec", "jinja2"),
        ("managed", "jinja2"),
        ("store", "sqlalchemy"),
        ("store", "alembic"),
        ("gateway", "starlette"),
        ("gateway", "hypercorn"),
        ("gateway", "prometheus_client"),
    ],
)
def test_a_missing_package_of_the_extra(module: str, package: str) -> None:
    code = _HIDE.format(package=package, module=module)
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"ModuleNotFoundError: {package}")
    assert last.endswith("is not installed: pip install 'trio-realtime[server]'")


def test_a_missing_module_of_the_library_is_no_missing_extra() -> None:
    with pytest.raises(ModuleNotFoundError, match="No module named"), server_extra():
        __import__("trio_realtime.no_such_module")
