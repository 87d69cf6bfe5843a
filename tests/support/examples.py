"""Running an example program in a child process, against the local server."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
TIMEOUT = 20
"""Seconds that an example may take."""

SILENCE = bytes(960)  # 20 ms
TONE = (b"\x00\x20" * 30 + b"\x00\xe0" * 30) * 8  # 20 ms of 400 Hz


def run_example(
    name: str, sound: Sequence[bytes] = (), *, directory: Path | None = None
) -> tuple[bytes, str]:
    """Run an example, write ``sound`` to its stdin in real time, return its stdout and stderr.

    The example runs in ``directory``, where it may write files.
    """
    env = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "AZURE_"))}
    with subprocess.Popen(
        [sys.executable, "-X", "dev", str(EXAMPLES / name)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
        cwd=directory,
    ) as process:
        try:
            _speak(process, sound)
            out, err = process.communicate(timeout=TIMEOUT)
        finally:
            process.kill()
    assert process.returncode == 0, err.decode()
    assert b"Traceback" not in err, err.decode()
    return out, err.decode()


def _speak(process: subprocess.Popen[bytes], sound: Sequence[bytes]) -> None:
    assert process.stdin is not None
    start = time.monotonic()
    for number, frame in enumerate(sound):
        time.sleep(max(0.0, start + number * 0.02 - time.monotonic()))
        process.stdin.write(frame)
        process.stdin.flush()
