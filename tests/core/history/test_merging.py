"""An update of an item never loses what is known of it."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from support.history import assistant, content, history_of, note_sent, user
from trio_realtime.core.history.items import Change, History
from trio_realtime.wire import (
    ContentPart,
    FunctionCallItem,
    InputAudio,
    InputImage,
    InputText,
    OutputAudio,
    OutputText,
)

PICTURE = "data:image/png;base64,AAAA"

# --- text and transcripts of the assistant --------------------------------------------------------


def test_an_item_in_progress_contains_its_deltas() -> None:
    history = history_of(assistant("a", status="in_progress"))

    history.append_text("a", 0, "Good ", OutputAudio)
    history.append_text("a", 1, "text", OutputText)
    history.append_text("a", 0, "day", OutputAudio)

    assert content(history, "a") == (
        OutputAudio(transcript="Good day"),
        OutputText(text="text"),
    )


def test_a_part_has_the_kind_with_which_it_was_opened() -> None:
    history = history_of(assistant("a", status="in_progress"))
    history.open_part("a", 0, OutputAudio)
    history.open_part("unknown", 0, OutputAudio)

    history.append_arguments("a", "hm")

    assert content(history, "a") == (OutputAudio(transcript="hm"),)


@pytest.mark.parametrize("final", [None, ""])
def test_the_deltas_replace_a_missing_final_transcript(final: str | None) -> None:
    history = history_of(assistant("a", status="in_progress"))
    history.append_text("a", 0, "as ", OutputAudio)
    history.append_text("a", 0, "heard", OutputAudio)

    history.finish(assistant("a", OutputAudio(transcript=final), status="completed"))

    assert content(history, "a") == (OutputAudio(transcript="as heard"),)


def test_the_deltas_stay_if_the_final_version_has_no_content() -> None:
    history = history_of(assistant("a", status="in_progress"))
    history.append_text("a", 0, "the beginning", OutputText)

    history.finish(assistant("a", status="incomplete"))

    assert history.snapshot() == (
        assistant("a", OutputText(text="the beginning"), status="incomplete"),
    )


@pytest.mark.parametrize("kind", [OutputAudio, OutputText])
def test_a_final_text_replaces_the_deltas_and_late_deltas_change_nothing(
    kind: type[OutputAudio | OutputText],
) -> None:
    final = OutputAudio(transcript="final") if kind is OutputAudio else OutputText(text="final")
    history = history_of(assistant("a", status="in_progress"))
    history.append_text("a", 0, "draft", kind)

    history.finish(assistant("a", final, status="completed"))
    assert content(history, "a") == (final,)

    history.append_text("a", 0, " and more", kind)
    assert content(history, "a") == (final,)


def test_deltas_survive_a_version_that_is_not_final() -> None:
    history = history_of(assistant("a", status="in_progress"))
    history.append_text("a", 0, "one ", OutputAudio)

    history.add(assistant("a", status="in_progress"))
    history.append_text("a", 0, "two", OutputAudio)

    assert content(history, "a") == (OutputAudio(transcript="one two"),)


@pytest.mark.parametrize("echo", [OutputAudio(), OutputAudio(audio=b"\1\2")])
def test_a_transcript_survives_a_version_without_it(echo: OutputAudio) -> None:
    # After a truncation, the service's version has no transcript.
    known = OutputAudio(transcript="Once heard.")
    history = history_of(assistant("a", known, status="completed"))

    assert history.add(assistant("a", echo, status="incomplete")) is Change.UPDATED

    assert content(history, "a") == (attrs.evolve(known, audio=echo.audio),)


def test_retrieved_audio_stays() -> None:
    history = history_of(user("u", InputAudio(audio=b"\1\2", transcript="hello")))

    history.add(user("u", InputAudio()))
    assert content(history, "u") == (InputAudio(audio=b"\1\2", transcript="hello"),)

    history.add(user("u", InputAudio(audio=b"\3", transcript="hallo")))
    assert content(history, "u") == (InputAudio(audio=b"\3", transcript="hallo"),)


@pytest.mark.parametrize("kind", [InputText, OutputText])
def test_a_text_survives_an_empty_text(kind: type[InputText | OutputText]) -> None:
    history = history_of(assistant("a", kind(text="words")))

    history.add(assistant("a", kind(text="")))
    assert content(history, "a") == (kind(text="words"),)

    history.add(assistant("a", kind(text="other words")))
    assert content(history, "a") == (kind(text="other words"),)


def test_parts_missing_from_an_update_stay() -> None:
    history = history_of(assistant("a", OutputText(text="one"), OutputText(text="two")))

    history.add(assistant("a", OutputText(text="ONE")))

    assert content(history, "a") == (OutputText(text="ONE"), OutputText(text="two"))


def test_a_message_of_another_role_replaces_the_item() -> None:
    history = history_of(assistant("a", OutputText(text="mine")))

    history.add(user("a"))

    assert history.snapshot() == (user("a"),)


def test_an_item_of_another_kind_replaces_the_item() -> None:
    history = history_of(assistant("a", OutputText(text="mine")))
    call = FunctionCallItem(id="a", name="f")

    history.add(call)

    assert history.snapshot() == (call,)


# --- images -------------------------------------------------------------------------------------


def history_with_local_copy(*parts: ContentPart) -> History:
    history = History()
    note_sent(history, user("u", *parts, status=None))
    return history


IMAGE = InputImage(image_url=PICTURE, detail="low")
CAPTION = InputText(text="what is this?")


@pytest.mark.parametrize("sent", [(IMAGE, CAPTION), (CAPTION, IMAGE), (IMAGE,)])
@pytest.mark.parametrize("echoes_part", [True, False])
def test_an_image_stays_although_the_service_does_not_echo_it(
    sent: tuple[ContentPart, ...], echoes_part: bool
) -> None:
    bare = attrs.evolve(IMAGE, image_url=None)
    echo = [bare if part is IMAGE else part for part in sent if echoes_part or part is not IMAGE]
    history = history_with_local_copy(*sent)

    history.add(user("u", *echo))
    history.finish(user("u", *echo))

    assert content(history, "u") == sent


def test_an_echoed_image_replaces_the_local_copy() -> None:
    other = InputImage(image_url="data:image/png;base64,BBBB")
    history = history_with_local_copy(IMAGE)

    history.add(user("u", other))

    assert content(history, "u") == (other,)


# --- function calls -----------------------------------------------------------------------------


def call(arguments: str = "", status: str | None = "in_progress", **more: Any) -> FunctionCallItem:
    fields = {"call_id": "call_1", "name": "f", **more}
    return FunctionCallItem(id="a", arguments=arguments, status=status, **fields)


def test_final_arguments_replace_the_deltas() -> None:
    history = history_of(call())
    history.append_arguments("a", '{"x"')
    history.append_arguments("a", ":1")
    assert history.get("a") == call('{"x":1')

    history.finish(call('{"x":1}', "completed"))
    assert history.get("a") == call('{"x":1}', "completed")


def test_fields_missing_from_a_final_call_stay() -> None:
    history = history_of(call())
    history.append_arguments("a", "{}")

    history.finish(call(status="completed", call_id=None, name=""))

    assert history.get("a") == call("{}", "completed")
