"""The generated pages of the reference agree with the schemas of the code."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from trio_realtime.server import gateway, managed, rpc, store
from trio_realtime.server.managed import StopReason
from trio_realtime.server.rpc import load_schema
from trio_realtime.server.service import ServiceSettings
from trio_realtime.server.spec import load_specs
from trio_realtime.server.store.tables import METADATA

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
GUIDES = DOCS / "guides"


@pytest.fixture(scope="module")
def generator() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "generate_server_tables.py"))


def test_generated_pages_are_up_to_date(generator: dict[str, Any]) -> None:
    for path, expected in generator["generated_files"]().items():
        assert path.read_text(encoding="utf-8") == expected, (
            f"{path.name} differs from the code: run python docs/generate_server_tables.py"
        )


def test_every_event_has_a_section() -> None:
    page = (DOCS / "reference" / "stream_events.md").read_text(encoding="utf-8")
    sections = set(re.findall(r"^### (\S+)$", page, re.MULTILINE))
    types = {one["$ref"].rpartition("/")[2] for one in load_schema()["oneOf"]}
    assert types - sections == set()
    assert {cls.type for cls in rpc.messages.CLIENT_MESSAGES} - sections == set()
    assert {cls.type for cls in rpc.messages.SERVER_MESSAGES} - sections == set()


@pytest.mark.parametrize("name", ["agent_spec_keys", "gateway_config_keys"])
def test_every_key_has_a_meaning(name: str) -> None:
    page = (DOCS / "reference" / f"{name}.md").read_text(encoding="utf-8")
    empty = re.findall(r"^\| `(\w+)`[^|]*\| ([^|]*) \|  \|$", page, re.MULTILINE)
    assert [key for key, value in empty if not value.startswith('`"')] == []


def test_the_table_of_settings_has_every_setting() -> None:
    page = (GUIDES / "service-settings.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.+?`) \|", page, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert {field.name for field in ServiceSettings.__attrs_attrs__} - named == set()


def test_the_pages_name_every_reason_table_code_and_message() -> None:
    reasons = (GUIDES / "managed-sessions.md").read_text(encoding="utf-8")
    tables = (GUIDES / "stores.md").read_text(encoding="utf-8")
    stream = (GUIDES / "gateway-stream.md").read_text(encoding="utf-8")
    rest = (GUIDES / "gateway-rest.md").read_text(encoding="utf-8")
    assert [one for one in StopReason.__args__ if f"`{one}`" not in reasons] == []  # type: ignore[attr-defined]
    assert [one for one in METADATA.tables if f"| `{one}` |" not in tables] == []
    codes = [
        value
        for name, value in vars(gateway.stream).items()
        if name.isupper() and isinstance(value, int) and value >= 4000
    ]
    assert [code for code in codes if f"| {code} |" not in stream] == []
    refusals = gateway.admission.RefusalCode.__args__  # type: ignore[attr-defined]
    assert [one for one in refusals if f"`{one}`" not in rest] == []
    assert [cls.type for cls in rpc.messages.CLIENT_MESSAGES if f"`{cls.type}" not in stream] == []


def test_the_page_names_every_route() -> None:
    page = (GUIDES / "gateway-rest.md").read_text(encoding="utf-8")
    source = Path(gateway.api.__file__).read_text(encoding="utf-8")
    paths = re.findall(r'_route\("([^"]+)"', source)
    actions = re.findall(r'_route\(f"\{session\}/(\w+)"', source)
    assert paths
    assert actions
    assert [path for path in paths if path not in page] == []
    assert [name for name in actions if f"/{name}`" not in page] == []


@pytest.mark.parametrize("module", [gateway, managed, rpc, store])
def test_each_package_has_a_page_in_the_reference(module: Any) -> None:
    name = module.__name__.rpartition(".")[2]
    page = (DOCS / "reference" / f"server_{name}.md").read_text(encoding="utf-8")
    assert f".. automodule:: {module.__name__}\n" in page


def test_the_tutorial_shows_files_that_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (GUIDES / "gateway.md").read_text(encoding="utf-8")
    specs, *configs = re.findall(r"^```toml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    program = re.search(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert program is not None
    (tmp_path / "shop_tools.py").write_text(program[1])
    (tmp_path / "agents.toml").write_text(specs)
    monkeypatch.syspath_prepend(tmp_path)
    loaded = load_specs(tmp_path / "agents.toml", check_imports=True)
    assert list(loaded) == ["support"]
    for number, text in enumerate(configs):
        complete = text.replace("3b1a...e85f", "0" * 64)
        if "agents =" not in text:  # a part of the file
            complete = f'agents = "agents.toml"\nallow_anonymous = true\n{complete}'
        config = tmp_path / f"gateway{number}.toml"
        config.write_text(complete)
        gateway.load_config(config, environ={})
