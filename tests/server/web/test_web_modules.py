"""The modules of the page that need no browser, tested with ``node --test``."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from trio_realtime.audio import decode_alaw, decode_ulaw, encode_alaw, encode_ulaw
from trio_realtime.server.web import static_files

TESTS = sorted(Path(__file__).with_name("js").glob("*.test.js"))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package with the modules and their tests, and tables of the library to compare with."""
    root = tmp_path_factory.mktemp("web")
    (root / "package.json").write_text(json.dumps({"type": "module"}))
    (root / "static").mkdir()
    for name, file in static_files().items():
        (root / "static" / name).write_bytes(file.content)
    (root / "js").mkdir()
    for path in TESTS:
        shutil.copy(path, root / "js")
    (root / "js" / "g711.js").write_text(f"export default {json.dumps(g711_tables())};\n")
    return root


def g711_tables() -> dict[str, object]:
    """Return what the library makes of every code, and of samples of every size."""
    codes = bytes(range(256))
    sizes = {0, 1, 7, 8, 31, 32, 33, 255, 256, 257, 4095, 4096, 8191, 16384, 32635, 32767}
    values = sorted({*sizes, *(-size for size in sizes), -32768, *range(-32768, 32768, 97)})
    pcm = b"".join(value.to_bytes(2, "little", signed=True) for value in values)
    encoded = zip(values, encode_ulaw(pcm), encode_alaw(pcm), strict=True)
    return {
        "ulaw": memoryview(decode_ulaw(codes)).cast("h").tolist(),
        "alaw": memoryview(decode_alaw(codes)).cast("h").tolist(),
        "samples": [{"sample": v, "ulaw": ulaw, "alaw": alaw} for v, ulaw, alaw in encoded],
    }


@pytest.mark.parametrize("name", [path.name for path in TESTS])
def test_module(package: Path, name: str) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    result = subprocess.run(
        [node, "--test", f"js/{name}"],
        cwd=package,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "# pass 0" not in result.stdout


@pytest.mark.parametrize("name", [name for name in static_files() if name.endswith(".js")])
def test_every_module_parses(package: Path, name: str) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    command = [node, "--check", f"static/{name}"]
    result = subprocess.run(
        command, cwd=package, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
