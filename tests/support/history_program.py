"""A program that writes events until it is killed. It prints the number of each event that is committed.

Arguments: the URL of the database.
"""

from __future__ import annotations

import itertools
import sys

import trio

from support.session_rows import SESSION, rpc_event
from trio_realtime.server.store import (
    SessionFacts,
    SessionJournal,
    StoredEvents,
    WriteOptions,
    open_history_store,
)


async def main(url: str) -> None:
    facts = SessionFacts(owner_node="node-1")
    journal = SessionJournal(facts, stored=StoredEvents(deltas=True, audio=True, raw=True))
    numbers = itertools.count(1)
    # Small batches, so that the process is killed between two of them, or in one.
    options = WriteOptions(batch_rows=7, batch_delay=0.001)
    async with open_history_store(url, options=options) as store, trio.open_nursery() as nursery:

        async def record() -> None:
            store.writer.put([journal.session_row(SESSION, time=1000.0)])
            for number in numbers:
                kind = "run_started" if number == 1 else "realtime_audio"
                store.writer.put(journal.record(rpc_event(number, kind, {"delta_ms": 20.0})))
                await trio.sleep(0.0005)

        async def report() -> None:
            last = 0
            while True:
                await store.writer.flush()
                seq = await store.last_seq(SESSION)
                if seq is not None and seq > last:
                    last = seq
                    sys.stdout.write(f"{seq}\n")
                    sys.stdout.flush()

        nursery.start_soon(record)
        nursery.start_soon(report)


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
