"""Redaction of URLs and of foreign text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from trio_realtime._redaction import SecretMask, redact_url, secret_values


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("wss://h.test/v1?model=m&api-version=v", "wss://h.test/v1?model=m&api-version=v"),
        ("wss://h.test/v1?api-key=k&model=m", "wss://h.test/v1?***&model=m"),
        ("wss://h.test/v1?bare", "wss://h.test/v1?***"),
        ("wss://me:pw@h.test:1/v1", "wss://***@h.test:1/v1"),
        ("wss://me@h.test/v1#frag", "wss://***@h.test/v1#***"),
        ("wss://[broken", "***"),
        ("wss://me:12/34@h.test/v1", "***"),
        ("wss://secret?x@h.test/v1", "***"),
        ("wss://h.test:port/v1", "***"),
        ("wss://h.test/v1?c2VjcmV0==&model=m", "wss://h.test/v1?***&model=m"),
        ("no url at all", "***"),
    ],
)
def test_urls_are_redacted(url: str, shown: str) -> None:
    assert redact_url(url) == shown


def test_the_parameters_that_select_an_agent_are_not_secret() -> None:
    url = "wss://h.test/voice-live/realtime?agent-name=a&agent-project-name=p&agent-access-token=t"
    assert redact_url(url) == (
        "wss://h.test/voice-live/realtime?agent-name=a&agent-project-name=p&***"
    )
    assert secret_values(url) == ("agent-access-token=t", "t", "t")


# --- credentials that a peer repeats --------------------------------------------------------------

KEY = "sk-made/up+key.0123456789"

SENT: dict[str, dict[str, Any]] = {
    "bearer": {"headers": (("Authorization", f"Bearer {KEY}"),)},
    "api-key": {"headers": (("API-Key", KEY),)},
    "cookie": {"headers": (("Cookie", f"session={KEY}"),)},
    "subscription key": {"headers": (("Ocp-Apim-Subscription-Key", KEY),)},
    "query": {"urls": (f"ws://a.test/v1/realtime?model=m&api-key={KEY.replace('+', '%2B')}",)},
    "subprotocol": {"subprotocols": ("realtime", f"openai-insecure-api-key.{KEY}")},
    "user": {"urls": ("ws://somebody:sk-made%2Fup+key.0123456789@a.test/",)},
}


@pytest.mark.parametrize("sent", SENT.values(), ids=SENT.keys())
@pytest.mark.parametrize("escaped", [False, True])
def test_a_key_is_masked_however_it_was_sent(sent: dict[str, Any], escaped: bool) -> None:
    frame = json.dumps({"message": f"Incorrect API key: {KEY}."})
    if escaped:
        frame = frame.replace("/", r"\/")
    mask = SecretMask(**sent)
    masked = mask.frame(frame)
    assert json.loads(masked)["message"] == "Incorrect API key: ***."
    assert mask.frame(frame.encode()) == str(masked).encode()


def test_the_longer_of_two_keys_is_masked_whole() -> None:
    mask = SecretMask(headers=(("api-key", "sk-0123456789"), ("Cookie", "sk-0123456789-more")))
    assert mask.text("not sk-0123456789-more, but sk-0123456789") == "not ***, but ***"


def test_other_text_stays_as_it_is() -> None:
    """Neither the value of another header, nor a subprotocol, nor a short value is a credential."""
    mask = SecretMask(
        headers=(("X-Team", "customer-service"), ("api-key", "short")),
        subprotocols=("realtime",),
        urls=("ws://a.test/v1/realtime?model=gpt-realtime-2.1",),
    )
    frame = '{"type":"realtime","text":"customer-service, in short: gpt-realtime-2.1"}'
    assert mask.frame(frame) is frame


@given(
    st.text(),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=8).filter(
        lambda s: not set(s) & set("*=;")
    ),
    st.text(),
)
def test_no_masked_text_contains_the_key(before: str, key: str, after: str) -> None:
    # Text on both sides that ends or begins like the key must not form it again.
    mask = SecretMask(headers=(("api-key", key),))
    assert key not in mask.text(before + key + after)


ESCAPED = "aB+/<cd=7890"


@given(
    escaped=st.lists(st.booleans(), min_size=len(ESCAPED), max_size=len(ESCAPED)),
    upper=st.booleans(),
)
def test_a_key_is_masked_whichever_characters_json_escapes(
    escaped: list[bool], upper: bool
) -> None:
    """Encoders of .NET write "+" as an escape, those of Go "<" and "&"."""
    template = r"\u{:04X}" if upper else r"\u{:04x}"
    written = "".join(
        template.format(ord(char)) if is_escaped else char
        for char, is_escaped in zip(ESCAPED, escaped, strict=True)
    )
    frame = f'{{"message":"bad key {written}, caf\\u00e9"}}'
    mask = SecretMask(headers=[("api-key", ESCAPED)])
    masked = '{"message":"bad key ***, caf\\u00e9"}'
    assert mask.text(frame) == masked
    assert mask.frame(frame.encode()) == masked.encode()
