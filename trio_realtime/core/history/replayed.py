"""What a new connection is given of the conversation: each item as a client may create it.

=============================================  ====================================================
item                                           is created as
=============================================  ====================================================
messages of the system and of the user         they are; the user's audio as its transcript, or else as
                                               the audio that is remembered
messages of the assistant                      the text that was heard: the service accepts no audio of
                                               the assistant
function calls that are answered               they are, and their outputs after them
function calls that are not answered yet       nothing; the call is created with its output
items that the service makes (MCP, unknown)    nothing: a client cannot create them
=============================================  ====================================================

What was heard of a transcript is estimated from the fraction of the audio, because transcripts have no
times. A word that was begun counts as heard.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import attrs

from trio_realtime.items import MAX_ID_LENGTH, HistoryItem
from trio_realtime.wire import (
    ContentPart,
    ConversationItemCreate,
    FunctionCallItem,
    FunctionCallOutputItem,
    InputAudio,
    InputImage,
    InputText,
    MessageItem,
    OutputAudio,
    OutputText,
    UnknownPart,
)

from .items import History


def replayed_items(
    history: History,
    answered_calls: Collection[str],
    clip: Callable[[str], bytes | None],
    token: Callable[[str], str],
) -> list[ConversationItemCreate]:
    """Return the creations that teach a connection the conversation, in order.

    Args:
        history: the items. An item whose id a service would not accept gets another one.
        answered_calls: the ids of calls whose outputs wait to be sent.
        clip: returns the remembered audio of a message of the user.
        token: makes item ids.
    """
    items = history.snapshot()
    calls = {item.call_id for item in items if isinstance(item, FunctionCallItem)}
    answered = {item.call_id for item in items if isinstance(item, FunctionCallOutputItem)}
    answered.update(answered_calls)
    creations: list[ConversationItemCreate] = []
    for item in items:
        if item.id is None:
            continue
        created = _created(item, calls & answered, history, clip)
        if created is None:
            continue
        if len(item.id) > MAX_ID_LENGTH:
            created = attrs.evolve(created, id=history.replay_id(item.id, token))
        creations.append(ConversationItemCreate(item=created))
    return creations


def _created(
    item: HistoryItem,
    answered: Collection[str | None],
    history: History,
    clip: Callable[[str], bytes | None],
) -> MessageItem | FunctionCallItem | FunctionCallOutputItem | None:
    match item:
        case MessageItem():
            content = tuple(heard_parts(item, history, clip))
            return attrs.evolve(item, status=None, content=content) if content else None
        case FunctionCallItem() | FunctionCallOutputItem() if item.call_id in answered:
            return attrs.evolve(item, status=None)
        case _:
            return None


def heard_parts(
    message: MessageItem,
    history: History,
    clip: Callable[[str], bytes | None] = lambda _item_id: None,
) -> Iterator[ContentPart]:
    """Yield the parts of a message as a client may create them.

    Args:
        message: an item of the history.
        history: knows what was heard.
        clip: returns the remembered audio of a message of the user.
    """
    item_id = message.id or ""
    for index, part in enumerate(message.content):
        match part:
            case OutputAudio(transcript=transcript):
                heard = heard_text(transcript or "", history.heard_fraction(item_id, index))
                if heard:
                    yield OutputText(text=heard)
            case InputAudio(transcript=transcript) if transcript:
                yield InputText(text=transcript)
            case InputAudio(audio=audio):
                remembered = audio if audio is not None else clip(item_id)
                if remembered:
                    yield InputAudio(audio=remembered)
            case InputImage(image_url=None) | UnknownPart() | OutputText(text=""):
                pass
            case _:
                yield part


def heard_text(text: str, fraction: float) -> str:
    """Return the beginning of a text of which this fraction was heard, up to the end of a word."""
    if fraction >= 1:
        return text
    length = round(len(text) * max(fraction, 0.0))
    while 0 < length < len(text) and not text[length].isspace():
        length += 1
    return text[:length].rstrip()
