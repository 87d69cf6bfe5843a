"""What the user and the network do: carry out the actions of a plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Final

import attrs
import trio

from trio_realtime import RealtimeSession, ServerVad, errors
from trio_realtime.items import HistoryItem, InputText
from trio_realtime.wire import FunctionCallItem, FunctionCallOutputItem, MessageItem

from .agents import REFUSED_AGENT, Cast, make_agent
from .log import InvariantViolation, Log
from .network import WEIRD_EVENTS, Network
from .plan import Action, Settings

__all__ = ["Performer"]

_OTHER_AGENTS: Final = tuple(make_agent(f"agent {number}") for number in range(3))
_SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "speed": {"speed": 1.1},
    "tokens": {"max_output_tokens": 1000},
    "no vad": {"turn_detection": None},
    "vad": {"turn_detection": ServerVad()},
    "no interrupt": {"turn_detection": ServerVad(interrupt_response=False)},
    "text": {"output_modalities": ("text",)},
}
_RAW_EVENTS: Final[dict[str, dict[str, Any]]] = {
    "create": {"type": "response.create", "response": {"metadata": {"raw": "yes"}}},
    "out of band": {"type": "response.create", "response": {"conversation": "none"}},
    "cancel": {"type": "response.cancel"},
    "cancel named": {"type": "response.cancel", "response_id": "resp_none"},
    "session": {"type": "session.update", "session": {"max_output_tokens": 900}},
    "message": {
        "type": "conversation.item.create",
        "item": {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "a raw message"}],
        },
    },
    "future": {"type": "future.request", "event_id": "event_raw", "value": None},
}


@attrs.define(eq=False)
class Performer:
    """Carries out the actions of one plan.

    Args:
        session: the session.
        log: the log of what is done.
        network: the network.
        settings: the settings of the plan.
        outcomes: how often which action ended in which way.
    """

    session: RealtimeSession[Cast]
    log: Log
    network: Network
    settings: Settings
    outcomes: Counter[str] = attrs.field(factory=Counter[str])
    _interrupts: int = 0

    async def perform(self, action: Action) -> None:
        """Carry out an action, and cancel it if the plan says so."""
        outcome = "cancelled"
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                if action.cancel_after is not None:
                    nursery.start_soon(_cancel_after, action.cancel_after, scope)
                outcome = await self._carry_out(action)
                nursery.cancel_scope.cancel()
        self.outcomes[f"{action.kind}: {outcome}"] += 1

    async def _carry_out(self, action: Action) -> str:
        try:
            await self._actions[action.kind](self, action)
        except errors.InternalError as bug:
            self.log.report(InvariantViolation(0, f"{action.kind} raised {bug!r}"))
            return "InternalError"
        except errors.RealtimeError as error:
            return type(error).__name__
        except ExceptionGroup as group:
            unexpected = group.split(errors.RealtimeError)[1]
            if unexpected is not None:
                self.log.report(InvariantViolation(0, f"{action.kind} raised {unexpected!r}"))
            return type(group.exceptions[0]).__name__
        except Exception as error:  # noqa: BLE001 - any other exception is what a simulation looks for
            self.log.report(InvariantViolation(0, f"{action.kind} raised {error!r}"))
            return "crash"
        return "done"

    # --- text

    async def _write(self, action: Action) -> None:
        text = f"text: {action.value}"
        self.log.note("request", text)
        await self.session.send_message(text)
        self.log.note("queued text", text)

    async def _write_quietly(self, action: Action) -> None:
        text = f"note: {action.value}"
        await self.session.send_message(text, respond=False)
        self.log.note("queued text", text)

    async def _write_much(self, action: Action) -> None:
        text = "much " * (action.value // 5)
        await self.session.send_message(text, respond=False)
        self.log.note("queued text", text)

    async def _ask(self, action: Action) -> None:
        text = f"question: {action.value}"
        self.log.note("ask", text)
        await self.session.ask(text)

    # --- audio

    def _speech(self, milliseconds: int) -> bytes:
        return (
            b"\x00\x80" * (4 * milliseconds)
            if self._is_pcmu
            else b"\x00\x40\x00\xc0" * (12 * milliseconds)
        )

    def _silence(self, milliseconds: int) -> bytes:
        return b"\xff" * (8 * milliseconds) if self._is_pcmu else bytes(48 * milliseconds)

    @property
    def _is_pcmu(self) -> bool:
        return self.settings.audio_format == "pcmu"

    async def _send_audio(self, audio: bytes, *, commit: bool = False) -> None:
        await self.session.send_audio(audio, commit=commit)
        if not self.session.is_muted:
            self.log.note("queued audio", audio)

    async def _speak(self, action: Action) -> None:
        for start in range(0, action.value, 100):
            await self._send_audio(self._speech(min(100, action.value - start)))
        await self._send_audio(self._silence(700))

    async def _push_to_talk(self, action: Action) -> None:
        await self._send_audio(self._speech(action.value), commit=True)
        self.log.note("request", "create")
        await (await self.session.create_response())

    async def _noise(self, _action: Action) -> None:
        await self._send_audio(self._silence(300))

    async def _clear_audio(self, _action: Action) -> None:
        await self.session.clear_audio()
        self.log.note("cleared audio")

    async def _mute(self, action: Action) -> None:
        self.session.mute(action.kind == "mute")

    # --- responses

    async def _interrupt(self, _action: Action) -> None:
        self._interrupts += 1
        number = self._interrupts
        self.log.note("interrupting", number)
        try:
            await self.session.interrupt()
            self.log.note("stopped", number)
        finally:
            self.log.note("interrupted", number)

    async def _change_of_mind(self, action: Action) -> None:
        """Interrupt, and write before the interruption is complete."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._interrupt_unless_over, action)
            await trio.sleep(0.03)
            await self._write(action)

    async def _interrupt_unless_over(self, action: Action) -> None:
        with suppress(errors.RealtimeError):
            await self._interrupt(action)

    async def _create_response(self, _action: Action) -> None:
        self.log.note("request", "create")
        await (await self.session.create_response(instructions="be brief"))

    async def _create_and_cancel(self, _action: Action) -> None:
        self.log.note("request", "create")
        response = await self.session.create_response()
        await trio.sleep(0.3)
        self.log.note("withdrawn")
        response.cancel()
        await response

    async def _out_of_band(self, _action: Action) -> None:
        response = await self.session.create_response(conversation="none", instructions="aside")
        await response

    # --- history

    async def _delete_item(self, action: Action) -> None:
        def delete(items: Sequence[HistoryItem]) -> list[HistoryItem]:
            return [
                item for index, item in enumerate(items) if index != int(action.value) % len(items)
            ]

        await self.session.update_history(delete)

    async def _rewrite_item(self, action: Action) -> None:
        def rewrite(items: Sequence[HistoryItem]) -> list[HistoryItem]:
            written = MessageItem(role="user", content=(InputText(text=f"edit: {action.value}"),))
            own = [item for item in items if isinstance(item, MessageItem) and item.role == "user"]
            return [written if own and item is own[-1] else item for item in items]

        await self.session.update_history(rewrite)

    async def _reorder(self, action: Action) -> None:
        def reorder(items: Sequence[HistoryItem]) -> list[HistoryItem]:
            texts = [
                index
                for index, item in enumerate(items)
                if isinstance(item, MessageItem)
                and all(isinstance(part, InputText) for part in item.content)
            ]
            result = list(items)
            if texts:
                moved = result.pop(texts[int(action.value) % len(texts)])
                result.insert(int(action.value) % (len(result) + 1), moved)
            return result

        await self.session.update_history(reorder)

    # --- settings

    async def _update_settings(self, action: Action) -> None:
        await self.session.update_settings(**_SETTINGS[action.value])

    async def _refused_settings(self, _action: Action) -> None:
        await self.session.update_settings(voice="no-such-voice", max_output_tokens=0)

    async def _other_agent(self, action: Action) -> None:
        await self.session.update_agent(_OTHER_AGENTS[int(action.value) % len(_OTHER_AGENTS)])

    async def _refused_agent(self, _action: Action) -> None:
        await self.session.update_agent(REFUSED_AGENT)

    # --- raw events

    async def _raw_event(self, action: Action) -> None:
        event = self._raw(action.value)
        if event is not None:
            await self.session.send_raw(event)

    def _raw(self, kind: str) -> dict[str, Any] | None:
        if kind in _RAW_EVENTS:
            if kind == "create":
                self.log.note("request", "raw")
            return _RAW_EVENTS[kind]
        if kind == "answer":
            return self._raw_answer()
        last = self.session.history[-1] if self.session.history else None
        item_id = last.id if last is not None and last.id is not None else "item_none"
        cut = {"content_index": 0, "audio_end_ms": 100} if kind == "truncate" else {}
        return {"type": f"conversation.item.{kind}", "item_id": item_id, **cut}

    def _raw_answer(self) -> dict[str, Any] | None:
        answered = {
            item.call_id
            for item in self.session.history
            if isinstance(item, FunctionCallOutputItem)
        }
        open_calls = [
            item.call_id
            for item in self.session.history
            if isinstance(item, FunctionCallItem) and item.call_id not in answered
        ]
        if not open_calls:
            return None
        self.log.note("raw answer", open_calls[-1])
        item = {"type": "function_call_output", "call_id": open_calls[-1], "output": "by hand"}
        return {"type": "conversation.item.create", "item": item}

    # --- the network and the end

    async def _stall(self, action: Action) -> None:
        self.network.stall(action.value)

    async def _drop(self, _action: Action) -> None:
        self.network.drop()

    async def _server_closes(self, _action: Action) -> None:
        self.network.close_from_server()

    async def _unknown_event(self, action: Action) -> None:
        self.network.inject(WEIRD_EVENTS[int(action.value) % len(WEIRD_EVENTS)])

    async def _aclose(self, _action: Action) -> None:
        self.log.note("ending", "aclose")
        await self.session.aclose()

    async def _end_call(self, _action: Action) -> None:
        self.log.note("request", "goodbye")
        if await self.session.end_call():
            self.log.note("ending", "end call")

    _actions: ClassVar[dict[str, Callable[[Performer, Action], Awaitable[None]]]] = {
        "write": _write,
        "write quietly": _write_quietly,
        "write much": _write_much,
        "ask": _ask,
        "speak": _speak,
        "push to talk": _push_to_talk,
        "noise": _noise,
        "interrupt": _interrupt,
        "change of mind": _change_of_mind,
        "mute": _mute,
        "unmute": _mute,
        "create response": _create_response,
        "create and cancel": _create_and_cancel,
        "out of band": _out_of_band,
        "delete item": _delete_item,
        "rewrite item": _rewrite_item,
        "reorder": _reorder,
        "settings": _update_settings,
        "refused settings": _refused_settings,
        "other agent": _other_agent,
        "refused agent": _refused_agent,
        "raw event": _raw_event,
        "clear audio": _clear_audio,
        "stall": _stall,
        "drop": _drop,
        "server closes": _server_closes,
        "unknown event": _unknown_event,
        "aclose": _aclose,
        "end call": _end_call,
    }


async def _cancel_after(steps: int, scope: trio.CancelScope) -> None:
    """Cancel a scope after a number of checkpoints."""
    for _ in range(steps):
        await trio.lowlevel.checkpoint()
    scope.cancel()
