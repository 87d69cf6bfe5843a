"""Generation of one response, from its plan to ``response.done``.

:class:`ResponseGenerator` wraps a generator that emits events and yields the seconds to wait
before it continues. A response can be cancelled while the generator is suspended, because events
are emitted only when they are due. Each item closes in this order::

    done event(s) of its content, content_part.done, conversation.item.done, output_item.done
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, Protocol

import attrs
import msgspec
import pybase64

from . import audio
from .audio import AudioFormat
from .conversation import Conversation, Item
from .hosted_mcp import ApprovedCall, HostedToolset, McpApprovals, run_tool
from .ids import Ids
from .responders import Call, Fail, HostedCall, Incomplete, Pause, Say, Step
from .synthesizer import Speech, Synthesizer
from .types import Json

__all__ = [
    "ResponseEnvironment",
    "ResponseGenerator",
    "ResponsePlan",
    "limit_output",
    "split_tokens",
]

#: Characters of one message, or of the arguments of one call.
MAX_OUTPUT_CHARACTERS: Final = 256_000

#: Seconds per text token at a pacing of 1.
_TOKEN_SECONDS: Final = 0.06
_CHUNK_MS: Final = 100
#: How far the transcript runs ahead of the audio.
_TRANSCRIPT_LEAD_MS: Final = 400
_AUDIO_MS_PER_TOKEN: Final = 50
_TOKENS: Final = re.compile(r"\s*[\w'’-]{1,15}|\s*[^\w\s]|\s+")


def split_tokens(text: str) -> list[str]:
    """Split a text into pieces as long as typical tokens. Joined, they are the text again."""
    return list(_iter_tokens(text))


def _iter_tokens(text: str) -> Iterator[str]:
    return (match.group() for match in _TOKENS.finditer(text))


def _count_tokens(text: str) -> int:
    return sum(1 for _ in _TOKENS.finditer(text))


def limit_output(steps: Iterable[Step]) -> Iterator[Step]:
    """Yield the steps of a response up to the first one whose text is too long.

    That one is truncated, and the response ends as ``incomplete``, as that of a model does.
    """
    for step in steps:
        limited = _limited(step)
        yield limited
        if limited is not step:
            yield Incomplete("max_output_tokens")
            return


def _limited(step: Step) -> Step:
    """Return the step, or a truncated copy if its text is too long."""
    if isinstance(step, Say) and len(step.text) > MAX_OUTPUT_CHARACTERS:
        return attrs.evolve(step, text=step.text[:MAX_OUTPUT_CHARACTERS])
    if isinstance(step, Call | HostedCall):
        arguments = _arguments_text(step.arguments)
        if len(arguments) > MAX_OUTPUT_CHARACTERS:
            return attrs.evolve(step, arguments=arguments[:MAX_OUTPUT_CHARACTERS])
    return step


class Emit(Protocol):
    """Function that emits one server event and adds its event id."""

    def __call__(self, kind: str, /, **fields: Any) -> None: ...


@attrs.frozen
class ResponseEnvironment:
    """What responses and transcriptions of a connection work on."""

    emit: Emit
    ids: Ids
    conversation: Conversation
    approvals: McpApprovals
    synthesizer: Synthesizer
    pacing: float


@attrs.frozen
class ResponsePlan:
    """Settings of a response. Later session updates do not change them.

    Args:
        hosted_toolset: hosted tools that the response may call.
        modality: ``text`` or ``audio``.
        voice: name or object of the voice, for the response object.
        audio_format: format of the output audio.
        speed: speed of speech; 1 is normal.
        max_output_tokens: a number or ``inf``.
        conversation_id: id of the conversation; None for an out-of-band response.
        metadata: metadata for the response object.
        input_usage: numbers of text, audio and cached tokens of the context.
        interleaved: whether items stay open until all have streamed, as with reasoning models.
        has_phases: whether messages have a ``phase``, as with reasoning models.
        latency: seconds before the first item.
    """

    hosted_toolset: HostedToolset
    modality: str
    voice: Any
    audio_format: AudioFormat
    speed: float
    max_output_tokens: int | str
    conversation_id: str | None
    metadata: Json | None
    input_usage: tuple[int, int, int]
    interleaved: bool
    has_phases: bool
    latency: float

    @property
    def in_conversation(self) -> bool:
        """Whether the output becomes part of the conversation."""
        return self.conversation_id is not None


@attrs.define(eq=False)
class _OpenItem:
    """An output item in progress. ``end`` emits what must precede its closing events."""

    item: Item
    index: int
    end: Callable[[_OpenItem], None]
    streamed: str = ""

    @property
    def is_message(self) -> bool:
        return bool(self.item.data["type"] == "message")


class _ResponseEnded(Exception):
    """Raised by a step that ends the response early."""

    def __init__(self, status: str, details: Json) -> None:
        super().__init__(status)
        self.status: str = status
        self.details = details


class ResponseGenerator:
    """Generates the events of one response.

    Attributes:
        due: when to call :meth:`step` next; None before :meth:`start` and after ``response.done``.
        audio_ms: duration of the emitted audio, in milliseconds.
        status: ``status`` of the response object.
        usage: ``usage`` of the response object; None until ``response.done``.
    """

    def __init__(self, environment: ResponseEnvironment, plan: ResponsePlan) -> None:
        self.id: str = environment.ids.new("resp")
        self.plan = plan
        self.due: float | None = None
        self.audio_ms: float = 0.0
        self.status: str = "in_progress"
        self.usage: Json | None = None
        self._environment = environment
        self._steps: Sequence[Step | ApprovedCall] = ()
        self._open: list[_OpenItem] = []
        self._items: list[Item] = []
        self._text_tokens = 0
        self._audio_tokens = 0
        self._generator = self._generate()

    # -- lifecycle -------------------------------------------------------------------------------

    def begin(self) -> None:
        """Emit ``response.created``."""
        self._environment.emit("response.created", response=self._response_object(None))

    def start(self, steps: Sequence[Step | ApprovedCall], *, now: float) -> None:
        """Set the content of the response: steps from the responder, or approved calls."""
        self._steps = steps
        self.due = now

    def step(self, now: float) -> None:
        """Emit the next events, and set ``due`` to the time of those that follow."""
        start = now if self.due is None else self.due
        wait = next(self._generator, None)
        self.due = None if wait is None else start + wait

    def cancel(self, reason: str) -> None:
        """Cancel the response: close open items and emit ``response.done``."""
        self._generator.close()
        self.due = None
        self._finish("cancelled", {"type": "cancelled", "reason": reason})

    def owns(self, item: Item) -> bool:
        """Return whether the item is an output item in progress of this response."""
        return any(entry.item is item for entry in self._open)

    def _generate(self) -> Generator[float, None, None]:
        yield self.plan.latency
        try:
            for position, step in enumerate(self._steps):
                yield from self._run_step(step, position)
        except _ResponseEnded as stop:
            self._finish(stop.status, stop.details)
        else:
            self._finish("completed", None)

    def _run_step(self, step: Step | ApprovedCall, position: int) -> Iterator[float]:
        match step:
            case Say():
                yield from self._stream_message(step, position)
            case Call():
                yield from self._stream_call(step)
            case HostedCall():
                yield from self._call_or_request_approval(step)
            case ApprovedCall():
                self._environment.approvals.mark_started(step)
                yield from self._call_hosted(step.call, step.request_id)
            case Pause():
                yield step.seconds
            case Fail():
                error = {"type": step.type, "code": step.code, "message": step.message}
                raise _ResponseEnded("failed", {"type": "failed", "error": error})
            case Incomplete():
                raise _incomplete(step.reason)

    def _finish(self, status: str, details: Json | None) -> None:
        self._close_all("completed" if status == "completed" else "incomplete")
        self.status = status
        self.usage = self._usage()
        self._environment.emit("response.done", response=self._response_object(details))

    # -- messages --------------------------------------------------------------------------------

    def _stream_message(self, step: Say, position: int) -> Iterator[float]:
        entry = self._open_message(position)
        if self.plan.modality == "text":
            yield from self._stream_text(entry, step.text)
        else:
            yield from self._stream_audio(entry, step)
        self._finish_item(entry)

    def _open_message(self, position: int) -> _OpenItem:
        data: Json = {"id": self._environment.ids.new("item"), "type": "message"}
        data |= {"status": "in_progress", "role": "assistant", "content": []}
        if self.plan.has_phases:
            calls = any(isinstance(step, Call | HostedCall) for step in self._steps[position:])
            data["phase"] = "commentary" if calls else "final_answer"
        entry = self._open_item(data, self._end_part)
        self._emit_part(entry, "response.content_part.added")
        return entry

    def _stream_text(self, entry: _OpenItem, text: str) -> Iterator[float]:
        for token in _iter_tokens(text):
            yield self._token_delay()
            self._charge_text()
            self._emit_delta(entry, "response.output_text.delta", token)

    def _stream_audio(self, entry: _OpenItem, step: Say) -> Iterator[float]:
        speech = self._synthesize(step.text)
        duration_ms = speech.duration_ms / self.plan.speed
        if step.audio_ms is not None:
            duration_ms = step.audio_ms
        duration_ms = _whole_chunks_ms(duration_ms)
        tokens, token_count = _iter_tokens(step.text), _count_tokens(step.text)
        emitted = 0
        for number, chunk in enumerate(self._encoded_chunks(step, speech)):
            transcript_ms = number * _CHUNK_MS + _TRANSCRIPT_LEAD_MS
            horizon = math.ceil(token_count * transcript_ms / duration_ms)
            yield from self._stream_transcript(entry, islice(tokens, horizon - emitted))
            emitted = horizon
            yield 0.0
            yield self._emit_audio(entry, chunk)
        yield from self._stream_transcript(entry, tokens)

    def _synthesize(self, text: str) -> Speech:
        return Speech.of(self._environment.synthesizer.synthesize(text))

    def _encoded_chunks(self, step: Say, speech: Speech) -> Iterator[bytes]:
        """Generate the audio of a step, one chunk at a time."""
        pieces = self._pieces(step, speech)
        for chunk in audio.split(pieces, audio.FORMATS["audio/pcm"].size(_CHUNK_MS)):
            yield audio.encode(chunk, self.plan.audio_format)

    def _pieces(self, step: Say, speech: Speech) -> Iterable[bytes]:
        speed = self.plan.speed
        if step.audio_ms is None:
            return audio.change_speed(speech.pieces, speed)
        again = iter([speech])

        def generate() -> Iterable[bytes]:
            # Pieces can be taken once only, so repeating them takes another synthesis.
            current = next(again, None) or self._synthesize(step.text)
            return audio.change_speed(current.pieces, speed)

        return audio.fit_duration(generate, step.audio_ms)

    def _stream_transcript(self, entry: _OpenItem, tokens: Iterable[str]) -> Iterator[float]:
        for token in tokens:
            yield 0.0
            self._charge_text()
            self._emit_delta(entry, "response.output_audio_transcript.delta", token)

    def _emit_audio(self, entry: _OpenItem, chunk: bytes) -> float:
        """Emit a chunk of audio. Return the seconds until the next one."""
        duration = self.plan.audio_format.duration_ms(len(chunk))
        self._charge_audio(duration)
        if self.plan.in_conversation:
            self._environment.conversation.append_audio(entry.item, chunk)
        self.audio_ms += duration
        delta = pybase64.b64encode(chunk).decode()
        self._environment.emit(
            "response.output_audio.delta", **self._part_position(entry), delta=delta
        )
        return duration / 1000 / self._environment.pacing

    # -- calls -----------------------------------------------------------------------------------

    def _stream_call(self, step: Call) -> Iterator[float]:
        call_id = step.call_id or self._environment.ids.call()
        data: Json = {"id": self._environment.ids.new("item"), "type": "function_call"}
        data |= {"status": "in_progress", "name": step.name, "call_id": call_id, "arguments": ""}
        entry = self._open_item(data, self._end_arguments)
        for token in _iter_tokens(_arguments_text(step.arguments)):
            yield self._token_delay()
            self._charge_text()
            self._emit_delta(
                entry, "response.function_call_arguments.delta", token, call_id=call_id
            )
        self._finish_item(entry)

    # -- calls of hosted tools -------------------------------------------------------------------

    def _call_or_request_approval(self, step: HostedCall) -> Iterator[float]:
        if self.plan.hosted_toolset.needs_approval(step):
            yield from self._request_approval(step)
        else:
            yield from self._call_hosted(step, None)

    def _request_approval(self, step: HostedCall) -> Iterator[float]:
        arguments = _arguments_text(step.arguments)
        for _ in _iter_tokens(arguments):
            yield self._token_delay()
            self._charge_text()
        data: Json = {"id": self._environment.ids.new("mcpr"), "type": "mcp_approval_request"}
        data |= {"server_label": step.server_label, "name": step.name, "arguments": arguments}
        self._close(self._open_item(data, _do_nothing), "completed")
        if self.plan.in_conversation:
            call = HostedCall(step.server_label, step.name, arguments)
            self._environment.approvals.request(data["id"], call)

    def _call_hosted(self, step: HostedCall, request_id: str | None) -> Iterator[float]:
        data: Json = {"id": self._environment.ids.new("mcp"), "type": "mcp_call"}
        data |= {"server_label": step.server_label, "name": step.name, "arguments": ""}
        data |= {"approval_request_id": request_id, "output": None, "error": None}
        entry = self._open_item(data, self._end_hosted_arguments)
        for token in _iter_tokens(_arguments_text(step.arguments)):
            yield self._token_delay()
            self._charge_text()
            self._emit_delta(entry, "response.mcp_call_arguments.delta", token)
        self._end_hosted_arguments(entry)
        yield from self._run_hosted_tool(step, entry)

    def _run_hosted_tool(self, step: HostedCall, entry: _OpenItem) -> Iterator[float]:
        self._emit_hosted_state(entry, "in_progress")
        entry.end = self._cancel_hosted
        tool = self.plan.hosted_toolset.find(step)
        yield 0.0 if tool is None else tool.seconds
        self._complete_hosted(entry, run_tool(tool, entry.streamed))
        entry.end = _do_nothing
        self._close(entry, "completed")

    def _end_hosted_arguments(self, entry: _OpenItem) -> None:
        entry.item.data["arguments"] = entry.streamed
        kind = "response.mcp_call_arguments.done"
        self._environment.emit(kind, **self._item_position(entry), arguments=entry.streamed)

    def _cancel_hosted(self, entry: _OpenItem) -> None:
        """Fail a call whose response ends before the tool returns."""
        message = "The response was cancelled."
        self._complete_hosted(
            entry, {"error": {"type": "tool_execution_error", "message": message}}
        )

    def _complete_hosted(self, entry: _OpenItem, result: Json) -> None:
        entry.item.data |= result
        self._emit_hosted_state(entry, "failed" if "error" in result else "completed")

    def _emit_hosted_state(self, entry: _OpenItem, state: str) -> None:
        self._environment.emit(
            f"response.mcp_call.{state}", output_index=entry.index, item_id=entry.item.id
        )

    # -- opening and closing items ---------------------------------------------------------------

    def _open_item(self, data: Json, end: Callable[[_OpenItem], None]) -> _OpenItem:
        item = Item(data, self.plan.audio_format)
        entry = _OpenItem(item, len(self._items), end)
        self._items.append(item)
        self._open.append(entry)
        self._emit_item(entry, "response.output_item.added")
        if self.plan.in_conversation:
            previous = self._environment.conversation.append(item)
            self._environment.emit(
                "conversation.item.added", previous_item_id=previous, item=item.view()
            )
        return entry

    def _finish_item(self, entry: _OpenItem) -> None:
        """Close an item that has streamed. Interleaved items close when all have streamed."""
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
        if self.plan.in_conversation:
            self._environment.conversation.measure(entry.item)
            previous = self._environment.conversation.done_predecessor_id(entry.item)
            self._environment.emit(
                "conversation.item.done", previous_item_id=previous, item=entry.item.view()
            )
        self._emit_item(entry, "response.output_item.done")

    def _end_arguments(self, entry: _OpenItem) -> None:
        data = entry.item.data
        data["arguments"] = entry.streamed
        self._environment.emit(
            "response.function_call_arguments.done",
            **self._item_position(entry),
            call_id=data["call_id"],
            name=data["name"],
            arguments=entry.streamed,
        )

    def _end_part(self, entry: _OpenItem) -> None:
        at = self._part_position(entry)
        if self.plan.modality == "text":
            self._environment.emit("response.output_text.done", **at, text=entry.streamed)
            content: Json = {"type": "output_text", "text": entry.streamed}
        else:
            self._environment.emit("response.output_audio.done", **at)
            self._environment.emit(
                "response.output_audio_transcript.done", **at, transcript=entry.streamed
            )
            content = {"type": "output_audio"}
            if entry.item.truncated_ms is None:
                content["transcript"] = entry.streamed
        self._emit_part(entry, "response.content_part.done")
        entry.item.data["content"] = [content]

    # -- events ----------------------------------------------------------------------------------

    def _item_position(self, entry: _OpenItem) -> Json:
        return {"response_id": self.id, "item_id": entry.item.id, "output_index": entry.index}

    def _part_position(self, entry: _OpenItem) -> Json:
        return self._item_position(entry) | {"content_index": 0}

    def _emit_delta(self, entry: _OpenItem, kind: str, delta: str, **extra: Any) -> None:
        entry.streamed += delta
        at = self._part_position(entry) if entry.is_message else self._item_position(entry)
        padding = self._environment.ids.obfuscation(delta)
        self._environment.emit(kind, **at, **extra, delta=delta, obfuscation=padding)

    def _emit_part(self, entry: _OpenItem, kind: str) -> None:
        key = "text" if self.plan.modality == "text" else "transcript"
        part = {"type": self.plan.modality, key: entry.streamed}
        self._environment.emit(kind, **self._part_position(entry), part=part)

    def _emit_item(self, entry: _OpenItem, kind: str) -> None:
        self._environment.emit(
            kind, response_id=self.id, output_index=entry.index, item=entry.item.view()
        )

    def _response_object(self, details: Json | None) -> Json:
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
                "output": {
                    "format": self.plan.audio_format.to_json(),
                    "voice": self.plan.voice,
                }
            },
            "usage": self.usage,
            "metadata": self.plan.metadata,
        }

    # -- tokens ----------------------------------------------------------------------------------

    def _token_delay(self) -> float:
        return _TOKEN_SECONDS / self._environment.pacing

    def _charge_text(self) -> None:
        self._check_token_limit(1)
        self._text_tokens += 1

    def _charge_audio(self, duration_ms: float) -> None:
        tokens = math.ceil(duration_ms / _AUDIO_MS_PER_TOKEN)
        self._check_token_limit(tokens)
        self._audio_tokens += tokens

    def _check_token_limit(self, tokens: int) -> None:
        limit = self.plan.max_output_tokens
        spent = self._text_tokens + self._audio_tokens
        if isinstance(limit, int) and spent + tokens > limit:
            raise _incomplete("max_output_tokens")

    def _usage(self) -> Json:
        text, audio_tokens, cached = self.plan.input_usage if self._is_billed() else (0, 0, 0)
        output = self._text_tokens + self._audio_tokens
        return {
            "total_tokens": text + audio_tokens + output,
            "input_tokens": text + audio_tokens,
            "output_tokens": output,
            "input_token_details": {
                "text_tokens": text,
                "audio_tokens": audio_tokens,
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

    def _is_billed(self) -> bool:
        """Return False for a response that failed without output, which costs nothing."""
        return bool(self._items) or not isinstance(next(iter(self._steps), None), Fail)


def _arguments_text(arguments: Mapping[str, Any] | str) -> str:
    if isinstance(arguments, str):
        return arguments
    return msgspec.json.encode(dict(arguments)).decode()


def _do_nothing(_: _OpenItem) -> None:
    """Do nothing."""


def _incomplete(reason: str) -> _ResponseEnded:
    return _ResponseEnded("incomplete", {"type": "incomplete", "reason": reason})


def _whole_chunks_ms(milliseconds: float) -> int:
    return max(1, math.ceil(milliseconds / _CHUNK_MS)) * _CHUNK_MS
