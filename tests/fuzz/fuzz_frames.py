"""Fuzz the codec and the core with atheris. Not a test: it runs until it finds something or is stopped.

    pip install atheris
    PYTHONPATH=tests python tests/fuzz/fuzz_frames.py -max_total_time=180

Options are those of libFuzzer. The input chooses the mutations of recorded frames, or is itself a frame. An
exception is a finding: libFuzzer writes its input to a file, which can be given as an argument to see it again.
"""

from __future__ import annotations

import sys
from random import Random
from typing import final

import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

with atheris.instrument_imports(include=["trio_realtime"]):
    from support.hostile_core import HostileService, open_conversation
    from support.hostile_frames import recorded_frames

DIALECTS = ("ga", "beta", "voice_live")
MAX_STEPS = 40


@final
class InputRandom(Random):
    """Chooses what the input of the fuzzer says, and the first choice after its end."""

    def __init__(self, data: bytes) -> None:
        super().__init__(0)
        self._data = data
        self._position = 0

    @property
    def is_empty(self) -> bool:
        """Whether the input is used up."""
        return self._position >= len(self._data)

    def getrandbits(self, k: int, /) -> int:
        """Take the next bits."""
        size = (k + 7) // 8
        taken = self._data[self._position : self._position + size]
        self._position += size
        return int.from_bytes(taken, "little") & ((1 << k) - 1)

    def _randbelow(self, n: int) -> int:
        # Without rejected draws, which would not end after the end of the input.
        return self.getrandbits(n.bit_length() + 3) % n

    def random(self) -> float:
        """Take the next number from 0 to 1."""
        return self.getrandbits(16) / 2**16


def fuzz(data: bytes) -> None:
    """Feed one input to a conversation."""
    random = InputRandom(data[1:])
    kind = data[0] if data else 0
    service = HostileService(open_conversation(), random, DIALECTS[kind % 3])
    if kind & 128:
        service.receive(data[1:])
        return
    for _ in range(MAX_STEPS):
        if random.is_empty:
            break
        service.receive_any()
        if not random.randrange(3):
            service.do_something()
        if not random.randrange(30):
            service.lose_connection()
    service.deliver_results()


def main() -> None:
    recorded_frames()  # outside of the first input
    atheris.Setup(sys.argv, fuzz)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
