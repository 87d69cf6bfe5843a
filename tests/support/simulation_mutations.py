"""Mutants of the library: each breaks one invariant, and a simulation has to notice it.

Run ``PYTHONPATH=tests python -m support.simulation_mutations`` for a table of the seeds that it takes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import attrs
import pytest
import trio

from trio_realtime.core.calls.ledger import ToolLedger
from trio_realtime.core.guardrails import GuardrailWindows
from trio_realtime.core.history.items import History
from trio_realtime.core.interruption import Interruption
from trio_realtime.core.responses.queue import ResponseQueue
from trio_realtime.realtime_model.websocket import WebSocketConnection, WebSocketModel
from trio_realtime.session import lifecycle
from trio_realtime.session.connection.send_queue import SendQueue
from trio_realtime.session.consumers.bus import EventBus
from trio_realtime.session.consumers.channel import EventChannel
from trio_realtime.session.runtime import SessionRuntime
from trio_realtime.session.tools.runner import ToolRunner
from trio_realtime.testing.simulation import InvariantViolation, draw_plan, run_plan
from trio_realtime.wire import (
    ConversationItemCreate,
    FunctionCallOutputItem,
    ResponseCreate,
    ResponseParams,
)

Patch: TypeAlias = pytest.MonkeyPatch

MAX_SEEDS = 400


@attrs.frozen
class Mutant:
    """A change of the library that breaks an invariant.

    Attributes:
        invariant: the number of the invariant.
        name: what the change does.
        apply: makes the change.
    """

    invariant: int
    name: str
    apply: Callable[[Patch], None]


def _wrap(patch: Patch, owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
    """Replace a function by ``wrapper(original, *args)``."""
    original = getattr(owner, name)

    def replaced(*args: Any, **kwargs: Any) -> Any:
        return wrapper(original, *args, **kwargs)

    patch.setattr(owner, name, replaced)


# --- invariants 1 to 4: calls and requests


def _is_output(event: Any) -> bool:
    return isinstance(event, ConversationItemCreate) and isinstance(
        event.item, FunctionCallOutputItem
    )


def _lose_outputs(patch: Patch) -> None:
    def send(original: Any, runtime: Any, event: Any) -> None:
        if not _is_output(event):
            original(runtime, event)

    _wrap(patch, SessionRuntime, "_send_effect", send)


def _answer_twice(patch: Patch) -> None:
    def send(original: Any, runtime: Any, event: Any) -> None:
        original(runtime, event)
        if _is_output(event):
            original(runtime, event)

    _wrap(patch, SessionRuntime, "_send_effect", send)


def _run_twice(patch: Patch) -> None:
    def begin(original: Any, ledger: Any, call_id: str, *args: Any) -> bool:
        if not ledger.is_busy:
            ledger._calls.pop(call_id, None)
        return bool(original(ledger, call_id, *args))

    _wrap(patch, ToolLedger, "begin", begin)


def _send_creates_twice(patch: Patch) -> None:
    def send(original: Any, runtime: Any, event: Any) -> None:
        original(runtime, event)
        match event:
            case ResponseCreate(response=ResponseParams(conversation="none")):
                pass
            case ResponseCreate():
                original(runtime, event)
            case _:
                pass

    _wrap(patch, SessionRuntime, "_send_effect", send)


def _lose_rejected_requests(patch: Patch) -> None:
    def rejected(original: Any, queue: Any, *args: Any, **kwargs: Any) -> Any:
        was_rejected = original(queue, *args, **kwargs)
        if was_rejected:
            queue._requests.pop(0)
        return was_rejected

    _wrap(patch, ResponseQueue, "rejected", rejected)


def _complete_early(patch: Patch) -> None:
    def completed(original: Any, ledger: Any) -> Any:
        for calls in ledger._responses.values():
            if calls.total > 1 and len(calls.open) < calls.total:
                calls.open.clear()
        return original(ledger)

    _wrap(patch, ToolLedger, "pop_completed", completed)


# --- invariants 5 and 6: interruptions


def _keep_unread_audio(patch: Patch) -> None:
    patch.setattr(EventChannel, "discard_audio", lambda _channel, _response_id: None)


def _never_cancel(patch: Patch) -> None:
    patch.setattr(Interruption, "cancel_calls", lambda _interruption, _response_id=None: [])


def _cancel_everything(patch: Patch) -> None:
    def interrupt(original: Any, ledger: Any, _response_id: str | None = None) -> Any:
        return original(ledger, None)

    _wrap(patch, ToolLedger, "interrupt", interrupt)


def _go_on_at_once(patch: Patch) -> None:
    patch.setattr(ToolLedger, "is_cancelling", property(lambda _ledger: False))


def _do_not_wait(patch: Patch) -> None:
    async def wait_ended(_runner: Any, _call_ids: set[str]) -> None:
        await trio.lowlevel.checkpoint()

    patch.setattr(ToolRunner, "wait_ended", wait_ended)


# --- invariants 7 and 8: the end


def _leave_a_task(patch: Patch) -> None:
    async def close(original: Any, shutdown: Any, *args: Any) -> None:
        trio.lowlevel.spawn_system_task(trio.sleep, 10_000, name="left behind")
        await original(shutdown, *args)

    _wrap(patch, lifecycle._Shutdown, "__call__", close)


def _close_slowly(patch: Patch) -> None:
    async def close(original: Any, shutdown: Any, *args: Any) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(1.5)
        await original(shutdown, *args)

    _wrap(patch, lifecycle._Shutdown, "__call__", close)


def _fail_first(patch: Patch) -> None:
    async def receive(original: Any, channel: Any) -> Any:
        if channel._session_end.is_set and channel._session_end.loss is not None:
            raise channel._end()
        return await original(channel)

    _wrap(patch, EventChannel, "receive", receive)


# --- invariants 9 and 10: history and memory


def _append_always(patch: Patch) -> None:
    def add(original: Any, history: Any, item: Any, _previous: Any = None) -> Any:
        return original(history, item)

    _wrap(patch, History, "add", add)


def _keep_deleted_items(patch: Patch) -> None:
    patch.setattr(History, "delete", lambda _history, _item_id: True)


def _ignore_the_final_transcript(patch: Patch) -> None:
    patch.setattr(History, "add_transcript", lambda *_args, **_kwargs: None)


def _never_overflow(patch: Patch) -> None:
    patch.setattr(EventChannel, "_is_over", lambda _channel, _others=0: False)


def _drop_control_events(patch: Patch) -> None:
    def drop(_original: Any, channel: Any) -> None:
        while channel._events and channel._is_over():
            event = channel._events.popleft()
            channel._audio -= len(getattr(event, "data", b""))

    _wrap(patch, EventChannel, "_drop_oldest_audio", drop)


def _send_without_waiting(patch: Patch) -> None:
    async def space(queue: Any) -> None:
        await trio.lowlevel.checkpoint()
        queue._end.raise_if_set()

    patch.setattr(SendQueue, "wait_for_audio_space", space)
    patch.setattr(SendQueue, "wait_for_text_space", space)


# --- invariants 11 to 13: the wire, secrets, guardrails


def _reject_unknown_events(patch: Patch) -> None:
    from trio_realtime.wire import FrameError, UnknownEvent

    async def receive(original: Any, connection: Any) -> Any:
        event = await original(connection)
        if isinstance(event, UnknownEvent):
            raise FrameError("unknown event")
        return event

    _wrap(patch, WebSocketConnection, "receive", receive)


def _hide_unknown_events(patch: Patch) -> None:
    from trio_realtime.events import RawModelEvent
    from trio_realtime.wire import UnknownEvent

    def emit(original: Any, bus: Any, event: Any) -> None:
        if not (isinstance(event, RawModelEvent) and isinstance(event.data, UnknownEvent)):
            original(bus, event)

    _wrap(patch, EventBus, "emit", emit)


def _log_the_key(patch: Patch) -> None:
    async def resolve(original: Any, model: Any, options: Any) -> Any:
        resolved = await original(model, options)
        logging.getLogger("trio_realtime").info("connecting with %s", resolved.headers)
        return resolved

    _wrap(patch, WebSocketModel, "_resolve", resolve)


def _check_long_replies_only(patch: Patch) -> None:
    def end(original: Any, windows: Any, response_id: str, agent: Any, text: str) -> Any:
        return original(windows, response_id, agent, text) if len(text) > 30 else None

    _wrap(patch, GuardrailWindows, "end", end)


def _open_the_gate(patch: Patch) -> None:
    from trio_realtime.core.audio.guardrail_gate import GuardedAudio

    def hold(_original: Any, gate: Any, event: Any, _text_length: int, now: float) -> Any:
        return gate._release(event, now)

    _wrap(patch, GuardedAudio, "hold", hold)


MUTANTS: Sequence[Mutant] = (
    Mutant(1, "outputs of calls are lost", _lose_outputs),
    Mutant(1, "calls are answered twice", _answer_twice),
    Mutant(2, "a call id may run again", _run_twice),
    Mutant(3, "creates are sent twice", _send_creates_twice),
    Mutant(3, "rejected requests are lost", _lose_rejected_requests),
    Mutant(4, "the first answer completes all calls", _complete_early),
    Mutant(5, "unread audio survives an interruption", _keep_unread_audio),
    Mutant(6, "an interruption cancels no tools", _never_cancel),
    Mutant(6, "a trip cancels the tools of all responses", _cancel_everything),
    Mutant(6, "creates do not wait for cancelled tools", _go_on_at_once),
    Mutant(6, "interrupt() does not wait for tools", _do_not_wait),
    Mutant(7, "a task is left", _leave_a_task),
    Mutant(7, "closing takes too long", _close_slowly),
    Mutant(8, "the failure comes before the events", _fail_first),
    Mutant(9, "items are always appended", _append_always),
    Mutant(9, "deleted items stay", _keep_deleted_items),
    Mutant(9, "transcripts are ignored", _ignore_the_final_transcript),
    Mutant(10, "channels have no limits", _never_overflow),
    Mutant(10, "control events are dropped", _drop_control_events),
    Mutant(10, "senders do not wait for space", _send_without_waiting),
    Mutant(11, "unknown events are errors", _reject_unknown_events),
    Mutant(11, "unknown events are not visible raw", _hide_unknown_events),
    Mutant(12, "the key is logged", _log_the_key),
    Mutant(13, "short replies are not checked", _check_long_replies_only),
    Mutant(13, "the gate is open", _open_the_gate),
)


def seeds_to_notice(
    mutant: Mutant, *, max_seeds: int = MAX_SEEDS
) -> tuple[int, InvariantViolation] | None:
    """Return the first seed whose session breaks the invariant of a mutant; ``None`` if none does."""
    with pytest.MonkeyPatch.context() as patch:
        mutant.apply(patch)
        for seed in range(max_seeds):
            violation = run_plan(draw_plan(seed)).violation
            if violation is not None and violation.number == mutant.invariant:
                return seed, violation
    return None


def main() -> None:
    """Print a table of all mutants."""
    for mutant in MUTANTS:
        found = seeds_to_notice(mutant)
        noticed = "NOT NOTICED" if found is None else f"seed {found[0]}: {found[1]}"
        print(f"{mutant.invariant:2} {mutant.name:45} {noticed:.120}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
