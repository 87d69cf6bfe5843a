"""One response: a plan of what to say, and the performer that says it piece by piece.

The performance is a generator that emits events and yields how many seconds to wait before it goes
on. Whoever holds it may stop between two pieces and close what is open; nothing is emitted early,
so nothing has to be taken back. The closing order of an item is always::

    its stream's done event(s), content_part.done, conversation.item.done, output_item.done
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

import attrs
import msgspec
import pybase64

from . import audio
from .audio import AudioFormat
from .conversation import Conversation, Item
from .hosted_mcp import Approvals, ApprovedCall, Toolbox, run_tool
from .ids import Ids
from .responders import Call, Fail, HostedCall, Incomplete, Pause, Say, Step
from .synthesizer import Synthesizer
from .types import Json

__all__ = ["ResponsePlan", "Response", "ResponseEnvironment", "split_tokens"]

#: Seconds that a token takes to write at a pacing of 1.
_TOKEN_SECONDS: Final = 0.06
_CHUNK_MS: Final = 100
#: The transcript runs this far ahead of the audio.
_LEAD_MS: Final = 400
_AUDIO_MS_PER_TOKEN: Final = 50
_TOKENS: Final = re.compile(r"\s*[\w'’-]{1,15}|\s*[^\w\s]|\s+")


def split_tokens(text: str) -> list[str]:
    """Pieces of a text about as long as a model's tokens; joined they are the text again."""
    return _TOKENS.findall(text)


class Emit(Protocol):
    """Puts out one server event; the event id is added."""

    def __call__(self, kind: str, /, **fields: Any) -> None: ...


@attrs.frozen
class ResponseEnvironment:
    """What a performance works on: the way out, the ids, the conversation, consent, the voice."""

    emit: Emit
    ids: Ids
    conversation: Conversation
    approvals: Approvals
    voice: Synthesizer
    pacing: float


@attrs.frozen
class ResponsePlan:
    """What a response is to be. Made once, when it is created; later updates do not reach it.

    Args:
        steps: what the brain decided, or what was approved meanwhile.
        toolbox: hosted tools that may be called.
        modality: ``text`` or ``audio``.
        voice: name or object of the voice, for the echo.
        form: format of the audio.
        speed: of speech, 1 is normal.
        max_output_tokens: a number or ``inf``.
        conversation_id: None for an out-of-band response.
        metadata: echoed.
        input_usage: tokens of the context: text, audio, cached.
        interleaved: whether items stay open until all have streamed, as reasoning models do it.
        labelled: whether messages carry a ``phase``, as reasoning models have it.
        latency: seconds before the first item.
    """

    steps: Sequence[Step | ApprovedCall]
    toolbox: Toolbox
    modality: str
    voice: Any
    form: AudioFormat
    speed: float
    max_output_tokens: int | str
    conversation_id: str | None
    metadata: Json | None
    input_usage: tuple[int, int, int]
    interleaved: bool
    labelled: bool
    latency: float

    @property
    def joins(self) -> bool:
        """Whether the output joins the conversation."""
        return self.conversation_id is not None


@attrs.define(eq=False)
class _OpenItem:
    """An item that is being generated. ``end`` says what is due before it can be closed."""

    item: Item
    index: int
    end: Callable[[_OpenItem], None]
    streamed: str = ""

    @property
    def is_message(self) -> bool:
        return bool(self.item.data["type"] == "message")


class _Stopped(Exception):
    """The performance ends before its last step."""

    def __init__(self, status: str, details: Json) -> None:
        super().__init__(status)
        self.status: str = status
        self.details = details


class Response:
    """A response in progress.

    ``due`` is when :meth:`step` wants to be called next; None once ``response.done`` is out.
    """

    def __init__(self, stage: ResponseEnvironment, plan: ResponsePlan, *, now: float) -> None:
        self.id: str = stage.ids.new("resp")
        self.plan = plan
        self.due: float | None = now
        self.audio_ms: float = 0.0
        self.status: str = "in_progress"
        self.usage: Json | None = None
        self._stage = stage
        self._open: list[_OpenItem] = []
        self._items: list[Item] = []
        self._text_tokens = 0
        self._audio_tokens = 0
        self._performance = self._perform()

    # -- life ----------------------------------------------------------------------------------

    def begin(self) -> None:
        """Emit ``response.created``."""
        self._stage.emit("response.created", response=self._body(None))

    def step(self, now: float) -> None:
        """Emit the next piece, and say in ``due`` when the one after it is wanted."""
        start = now if self.due is None else self.due
        wait = next(self._performance, None)
        self.due = None if wait is None else start + wait

    def cancel(self, reason: str) -> None:
        """Stop here: close what is open, and emit ``response.done`` as ``cancelled``."""
        self._performance.close()
        self.due = None
        self._finish("cancelled", {"type": "cancelled", "reason": reason})

    def owns(self, item: Item) -> bool:
        """Whether the item is one that this response is generating at the moment."""
        return any(entry.item is item for entry in self._open)

    def _perform(self) -> Generator[float, None, None]:
        yield self.plan.latency
        try:
            for position, step in enumerate(self.plan.steps):
                yield from self._play(step, position)
        except _Stopped as stop:
            self._finish(stop.status, stop.details)
        else:
            self._finish("completed", None)

    def _play(self, step: Step | ApprovedCall, position: int) -> Iterator[float]:
        match step:
            case Say():
                yield from self._say(step, position)
            case Call():
                yield from self._call(step)
            case HostedCall():
                yield from self._call_or_ask(step)
            case ApprovedCall():
                self._stage.approvals.begin(step)
                yield from self._call_hosted(step.call, step.request_id)
            case Pause():
                yield step.seconds
            case Fail():
                error = {"type": step.type, "code": step.code, "message": step.message}
                raise _Stopped("failed", {"type": "failed", "error": error})
            case Incomplete():
                raise _incomplete(step.reason)

    def _finish(self, status: str, details: Json | None) -> None:
        self._close_all("completed" if status == "completed" else "incomplete")
        self.status = status
        self.usage = self._count()
        self._stage.emit("response.done", response=self._body(details))

    # -- messages ------------------------------------------------------------------------------

    def _say(self, step: Say, position: int) -> Iterator[float]:
        entry = self._open_message(position)
        if self.plan.modality == "text":
            yield from self._write(entry, step.text)
        else:
            yield from self._speak(entry, step)
        self._settle(entry)

    def _open_message(self, position: int) -> _OpenItem:
        data: Json = {"id": self._stage.ids.new("item"), "type": "message"}
        data |= {"status": "in_progress", "role": "assistant", "content": []}
        if self.plan.labelled:
            calls = any(isinstance(step, Call | HostedCall) for step in self.plan.steps[position:])
            data["phase"] = "commentary" if calls else "final_answer"
        entry = self._open_item(data, self._end_part)
        self._emit_part(entry, "response.content_part.added")
        return entry

    def _write(self, entry: _OpenItem, text: str) -> Iterator[float]:
        for token in split_tokens(text):
            yield self._token_wait()
            self._spend_text()
            self._delta(entry, "response.output_text.delta", token)

    def _speak(self, entry: _OpenItem, step: Say) -> Iterator[float]:
        chunks = self._voice_over(step)
        tokens = split_tokens(step.text)
        said = 0
        for number, chunk in enumerate(chunks):
            horizon = math.ceil(len(tokens) * (number * _CHUNK_MS + _LEAD_MS) / _length_ms(chunks))
            yield from self._transcribe(entry, tokens[said:horizon])
            said = max(said, horizon)
            yield 0.0
            yield self._sound(entry, chunk)
        yield from self._transcribe(entry, tokens[said:])

    def _voice_over(self, step: Say) -> list[bytes]:
        pcm = audio.change_speed(self._stage.voice.speak(step.text), self.plan.speed)
        if step.audio_ms is not None:
            pcm = audio.fit(pcm, step.audio_ms)
        speech = audio.encode(pcm, self.plan.form)
        size = self.plan.form.size(_CHUNK_MS)
        return [speech[start : start + size] for start in range(0, len(speech), size)]

    def _transcribe(self, entry: _OpenItem, tokens: Sequence[str]) -> Iterator[float]:
        for token in tokens:
            yield 0.0
            self._spend_text()
            self._delta(entry, "response.output_audio_transcript.delta", token)

    def _sound(self, entry: _OpenItem, chunk: bytes) -> float:
        """Emit a piece of audio; returns the seconds until the next one."""
        duration = self.plan.form.duration_ms(len(chunk))
        self._spend_audio(duration)
        entry.item.hear_more(chunk)
        self.audio_ms += duration
        delta = pybase64.b64encode(chunk).decode()
        self._stage.emit("response.output_audio.delta", **self._at(entry), delta=delta)
        return duration / 1000 / self._stage.pacing

    # -- calls ---------------------------------------------------------------------------------

    def _call(self, step: Call) -> Iterator[float]:
        call_id = step.call_id or self._stage.ids.call()
        data: Json = {"id": self._stage.ids.new("item"), "type": "function_call"}
        data |= {"status": "in_progress", "name": step.name, "call_id": call_id, "arguments": ""}
        entry = self._open_item(data, self._end_arguments)
        for token in split_tokens(_as_text(step.arguments)):
            yield self._token_wait()
            self._spend_text()
            self._delta(entry, "response.function_call_arguments.delta", token, call_id=call_id)
        self._settle(entry)

    # -- calls of hosted tools -----------------------------------------------------------------

    def _call_or_ask(self, step: HostedCall) -> Iterator[float]:
        if self.plan.toolbox.needs_approval(step):
            yield from self._ask_for(step)
        else:
            yield from self._call_hosted(step, None)

    def _ask_for(self, step: HostedCall) -> Iterator[float]:
        arguments = _as_text(step.arguments)
        for _ in split_tokens(arguments):
            yield self._token_wait()
            self._spend_text()
        data: Json = {"id": self._stage.ids.new("mcpr"), "type": "mcp_approval_request"}
        data |= {"server_label": step.server_label, "name": step.name, "arguments": arguments}
        self._close(self._open_item(data, _nothing), "completed")
        if self.plan.joins:
            call = HostedCall(step.server_label, step.name, arguments)
            self._stage.approvals.ask(data["id"], call)

    def _call_hosted(self, step: HostedCall, request_id: str | None) -> Iterator[float]:
        data: Json = {"id": self._stage.ids.new("mcp"), "type": "mcp_call"}
        data |= {"server_label": step.server_label, "name": step.name, "arguments": ""}
        data |= {"approval_request_id": request_id, "output": None, "error": None}
        entry = self._open_item(data, self._end_hosted_arguments)
        for token in split_tokens(_as_text(step.arguments)):
            yield self._token_wait()
            self._spend_text()
            self._delta(entry, "response.mcp_call_arguments.delta", token)
        self._end_hosted_arguments(entry)
        yield from self._run_hosted(step, entry)

    def _run_hosted(self, step: HostedCall, entry: _OpenItem) -> Iterator[float]:
        self._emit_hosted(entry, "in_progress")
        entry.end = self._give_up_hosted
        tool = self.plan.toolbox.find(step)
        yield 0.0 if tool is None else tool.seconds
        self._end_hosted(entry, run_tool(tool, entry.streamed))
        entry.end = _nothing
        self._close(entry, "completed")

    def _end_hosted_arguments(self, entry: _OpenItem) -> None:
        entry.item.data["arguments"] = entry.streamed
        kind = "response.mcp_call_arguments.done"
        self._stage.emit(kind, **self._where(entry), arguments=entry.streamed)

    def _give_up_hosted(self, entry: _OpenItem) -> None:
        """The response is over before the tool has answered."""
        message = "The response was cancelled."
        self._end_hosted(entry, {"error": {"type": "tool_execution_error", "message": message}})

    def _end_hosted(self, entry: _OpenItem, result: Json) -> None:
        entry.item.data |= result
        self._emit_hosted(entry, "failed" if "error" in result else "completed")

    def _emit_hosted(self, entry: _OpenItem, state: str) -> None:
        at: Json = {"output_index": entry.index, "item_id": entry.item.id}
        self._stage.emit(f"response.mcp_call.{state}", **at)

    # -- opening and closing -------------------------------------------------------------------

    def _open_item(self, data: Json, end: Callable[[_OpenItem], None]) -> _OpenItem:
        item = Item(data, self.plan.form)
        entry = _OpenItem(item, len(self._items), end)
        self._items.append(item)
        self._open.append(entry)
        self._emit_item(entry, "response.output_item.added")
        if self.plan.joins:
            previous = self._stage.conversation.append(item)
            self._stage.emit("conversation.item.added", previous_item_id=previous, item=item.view())
        return entry

    def _settle(self, entry: _OpenItem) -> None:
        """An item has streamed to its end; interleaved ones are closed when all have."""
        if not self.plan.interleaved:
            self._close(entry, "completed")

    def _close_all(self, status: str) -> None:
        for entry in list(self._open):
            self._close(entry, status)

    def _close(self, entry: _OpenItem, status: str) -> None:
        self._open.remove(entry)
        if "status" in entry.item.data:
            entry.item.data["status"] = status
        entry.end(entry)
        if self.plan.joins:
            previous = self._stage.conversation.shown_predecessor(entry.item)
            self._stage.emit(
                "conversation.item.done", previous_item_id=previous, item=entry.item.view()
            )
        self._emit_item(entry, "response.output_item.done")

    def _end_arguments(self, entry: _OpenItem) -> None:
        data = entry.item.data
        data["arguments"] = entry.streamed
        self._stage.emit(
            "response.function_call_arguments.done",
            **self._where(entry),
            call_id=data["call_id"],
            name=data["name"],
            arguments=entry.streamed,
        )

    def _end_part(self, entry: _OpenItem) -> None:
        at = self._at(entry)
        if self.plan.modality == "text":
            self._stage.emit("response.output_text.done", **at, text=entry.streamed)
            content: Json = {"type": "output_text", "text": entry.streamed}
        else:
            self._stage.emit("response.output_audio.done", **at)
            self._stage.emit(
                "response.output_audio_transcript.done", **at, transcript=entry.streamed
            )
            content = {"type": "output_audio"}
            if entry.item.cut_ms is None:
                content["transcript"] = entry.streamed
        self._emit_part(entry, "response.content_part.done")
        entry.item.data["content"] = [content]

    # -- events --------------------------------------------------------------------------------

    def _where(self, entry: _OpenItem) -> Json:
        return {"response_id": self.id, "item_id": entry.item.id, "output_index": entry.index}

    def _at(self, entry: _OpenItem) -> Json:
        return self._where(entry) | {"content_index": 0}

    def _delta(self, entry: _OpenItem, kind: str, delta: str, **more: Any) -> None:
        entry.streamed += delta
        at = self._at(entry) if entry.is_message else self._where(entry)
        padding = self._stage.ids.obfuscation(delta)
        self._stage.emit(kind, **at, **more, delta=delta, obfuscation=padding)

    def _emit_part(self, entry: _OpenItem, kind: str) -> None:
        key = "text" if self.plan.modality == "text" else "transcript"
        part = {"type": self.plan.modality, key: entry.streamed}
        self._stage.emit(kind, **self._at(entry), part=part)

    def _emit_item(self, entry: _OpenItem, kind: str) -> None:
        self._stage.emit(
            kind, response_id=self.id, output_index=entry.index, item=entry.item.view()
        )

    def _body(self, details: Json | None) -> Json:
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": self.status,
            "status_details": details,
            "output": [item.view() for item in self._items],
            "conversation_id": self.plan.conversation_id,
            "output_modalities": [self.plan.modality],
            "max_output_tokens": self.plan.max_output_tokens,
            "audio": {
                "output": {"format": _shown_format(self.plan.form), "voice": self.plan.voice}
            },
            "usage": self.usage,
            "metadata": self.plan.metadata,
        }

    # -- tokens --------------------------------------------------------------------------------

    def _token_wait(self) -> float:
        return _TOKEN_SECONDS / self._stage.pacing

    def _spend_text(self) -> None:
        self._afford(1)
        self._text_tokens += 1

    def _spend_audio(self, duration_ms: float) -> None:
        tokens = math.ceil(duration_ms / _AUDIO_MS_PER_TOKEN)
        self._afford(tokens)
        self._audio_tokens += tokens

    def _afford(self, tokens: int) -> None:
        limit = self.plan.max_output_tokens
        spent = self._text_tokens + self._audio_tokens
        if isinstance(limit, int) and spent + tokens > limit:
            raise _incomplete("max_output_tokens")

    def _count(self) -> Json:
        text, sound, cached = self.plan.input_usage if self._began() else (0, 0, 0)
        output = self._text_tokens + self._audio_tokens
        return {
            "total_tokens": text + sound + output,
            "input_tokens": text + sound,
            "output_tokens": output,
            "input_token_details": {
                "text_tokens": text,
                "audio_tokens": sound,
                "image_tokens": 0,
                "cached_tokens": cached,
                "cached_tokens_details": {
                    "text_tokens": cached,
                    "audio_tokens": 0,
                    "image_tokens": 0,
                },
            },
            "output_token_details": {
                "text_tokens": self._text_tokens,
                "audio_tokens": self._audio_tokens,
            },
        }

    def _began(self) -> bool:
        """A response that failed before it said anything costs nothing."""
        return bool(self._items) or not isinstance(next(iter(self.plan.steps), None), Fail)


def _as_text(arguments: Mapping[str, Any] | str) -> str:
    if isinstance(arguments, str):
        return arguments
    return msgspec.json.encode(dict(arguments)).decode()


def _nothing(_: _OpenItem) -> None:
    """Nothing is due."""


def _incomplete(reason: str) -> _Stopped:
    return _Stopped("incomplete", {"type": "incomplete", "reason": reason})


def _length_ms(chunks: Sequence[bytes]) -> float:
    return max(_CHUNK_MS, len(chunks) * _CHUNK_MS)


def _shown_format(form: AudioFormat) -> Json:
    if form.name == "audio/pcm":
        return {"type": form.name, "rate": audio.SAMPLE_RATE}
    return {"type": form.name}
