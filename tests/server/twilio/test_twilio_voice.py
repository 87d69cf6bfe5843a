"""TwiML, signatures and tokens."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings, strategies as st

from trio_realtime.errors import ConfigurationError
from trio_realtime.server.twilio import (
    TOKEN_PARAMETER,
    InvalidSignature,
    StreamTokens,
    sign,
    twilio_voice,
    twiml,
    validate_signature,
)

URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
FORM = {
    "CallSid": "CA1234567890ABCDE",
    "Caller": "+12349013030",
    "Digits": "1234",
    "From": "+12349013030",
    "To": "+18005551212",
}


def test_the_published_example_of_a_signature_is_valid() -> None:
    assert sign("12345", URL, FORM) == "0/KCTR6DLpKmkAf8muzZqo1nDgQ="
    other = {**FORM, "Caller": "+14158675309", "From": "+14158675309"}
    assert sign("12345", URL, other) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="
    assert validate_signature("12345", URL, FORM, "0/KCTR6DLpKmkAf8muzZqo1nDgQ=")


@pytest.mark.parametrize("signature", [None, "", "0/KCTR6DLpKmkAf8muzZqo1nDgQ", "\xff"])
def test_other_signatures_are_invalid(signature: str | None) -> None:
    assert not validate_signature("12345", URL, FORM, signature)


def test_a_changed_request_is_invalid() -> None:
    signature = sign("12345", URL, FORM)
    assert not validate_signature("12346", URL, FORM, signature)
    assert not validate_signature("12345", URL + "0", FORM, signature)
    assert not validate_signature("12345", URL, {**FORM, "To": "+1"}, signature)
    assert validate_signature("12345", URL, list(FORM.items()), signature)


@pytest.mark.parametrize(
    ("signed", "called"),
    [
        ("https://a.example:443/x", "https://a.example/x"),
        ("https://a.example/x", "https://a.example:443/x"),
        ("http://a.example:80/x?y=1", "http://a.example/x?y=1"),
        ("https://a.example/x", "https://a.example:8443/x"),
    ],
)
def test_the_default_port_and_a_port_that_twilio_leaves_out_do_not_matter(
    signed: str, called: str
) -> None:
    assert validate_signature("key", called, {}, sign("key", signed))
    assert not validate_signature("key", called.replace("a.", "b."), {}, sign("key", signed))


def test_another_port_is_another_address() -> None:
    url = "https://a.example:8443/x"
    assert validate_signature("key", url, {}, sign("key", url))
    assert not validate_signature("key", url, {}, sign("key", "https://a.example:8444/x"))
    assert not validate_signature("key", "https://a.example/x", {}, sign("key", url))


@pytest.mark.parametrize("url", ["https://[/x", "https://a:b/x", "https://a:99999/x", "\ud800"])
def test_a_request_that_is_no_valid_one_is_no_error(url: str) -> None:
    """Anybody may send one."""
    assert not validate_signature("key", url, {"\ud800": "\udfff"}, "0/KCTR6DLpKmkAf8muzZqo1nDgQ=")


def test_a_name_may_occur_several_times() -> None:
    pairs = [("a", "2"), ("a", "1"), ("b", "3")]
    assert sign("key", "https://x.example/", pairs) == sign(
        "key", "https://x.example/", {"b": "3", "a": ["1", "2"]}
    )


def test_an_empty_auth_token_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="auth_token is empty"):
        validate_signature("", URL, FORM, sign("", URL, FORM))


# --- TwiML


def parameters_of(text: str) -> dict[str, str]:
    return {
        node.attrib["name"]: node.attrib["value"] for node in ET.fromstring(text).iter("Parameter")
    }


def test_twiml_connects_a_stream() -> None:
    text = twiml(
        "wss://example.com/stream", {"name": 'J"<&>'}, status_callback="https://example.com/status"
    )
    assert text == (
        '<?xml version="1.0" encoding="UTF-8"?><Response><Connect>'
        '<Stream url="wss://example.com/stream" statusCallback="https://example.com/status">'
        '<Parameter name="name" value="J&quot;&lt;&amp;&gt;" /></Stream></Connect></Response>'
    )


@settings(deadline=None)
@given(st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=100), max_size=5))
def test_parameters_arrive_unchanged_or_are_refused(parameters: dict[str, str]) -> None:
    try:
        text = twiml("wss://example.com/stream", parameters)
    except ConfigurationError:
        bad = "".join([*parameters, *parameters.values()])
        assert any(ord(char) < 32 or ord(char) > 0xD7FF for char in bad)
        return
    assert parameters_of(text) == parameters


@pytest.mark.parametrize(
    "url",
    [
        *("https://example.com/", "wss://example.com/?a=1", "wss://", "stream", "wss://a/#b"),
        *("wss://[", "wss://a:b/", "wss://a:99999/", "wss://a:0/"),
    ],
)
def test_addresses_that_twilio_does_not_accept_are_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="stream_url"):
        twiml(url)


@pytest.mark.parametrize("parameters", [{"a": 1}, {"a": None}, {1: "a"}])
def test_a_parameter_that_is_no_text_is_refused(parameters: dict[Any, Any]) -> None:
    with pytest.raises(ConfigurationError, match="a name and a value that are a str"):
        twiml("wss://example.com/", parameters)


def test_a_long_parameter_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="more than 500 characters"):
        twiml("wss://example.com/", {"a": "x" * 500})


# --- tokens and the webhook


def test_a_token_is_valid_once_for_its_call() -> None:
    tokens = StreamTokens(lifetime=60)
    token = tokens.issue(0, "CA1")
    assert token not in repr(vars(tokens))
    assert not tokens.redeem("other", 1, "CA1")
    assert tokens.redeem(token, 1, "CA1")
    assert not tokens.redeem(token, 1, "CA1")
    assert not tokens.redeem(tokens.issue(0, "CA1"), 1, "CA2")
    assert not tokens.redeem(tokens.issue(0), 60)
    assert tokens.redeem(tokens.issue(0), 59.9, "CA3")
    assert not tokens.redeem("\ud800", 60)


def test_only_so_many_tokens_wait() -> None:
    tokens = StreamTokens(max_tokens=2)
    first, second, third = (tokens.issue(0) for _ in range(3))
    assert [tokens.redeem(token, 0) for token in (first, second, third)] == [False, True, True]


def test_the_webhook_is_answered_with_a_token() -> None:
    tokens = StreamTokens()
    headers = {"X-Twilio-Signature": sign("12345", URL, FORM)}
    text = twilio_voice(
        URL,
        FORM,
        headers,
        auth_token="12345",
        stream_url="wss://example.com/stream",
        tokens=tokens,
        now=0,
        parameters={"caller": FORM["From"]},
    )
    parameters = parameters_of(text)
    assert parameters["caller"] == "+12349013030"
    assert tokens.redeem(parameters[TOKEN_PARAMETER], 0, FORM["CallSid"])


@pytest.mark.parametrize("headers", [{}, {"x-twilio-signature": "wrong"}])
def test_a_webhook_of_somebody_else_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(InvalidSignature):
        twilio_voice(URL, FORM, headers, auth_token="12345", stream_url="wss://example.com/")
    assert twilio_voice(URL, FORM, headers, auth_token=None, stream_url="wss://example.com/")


def test_the_name_of_the_token_is_taken() -> None:
    with pytest.raises(ConfigurationError, match="'token' is for the token"):
        twilio_voice(
            URL, {}, {}, auth_token=None, stream_url="wss://a.example/", parameters={"token": "1"}
        )


def test_a_token_needs_the_time() -> None:
    """With another clock than that of the stream, it would expire at once, or never."""
    with pytest.raises(ConfigurationError, match=r"now=trio\.current_time"):
        twilio_voice(
            URL, {}, {}, auth_token=None, stream_url="wss://a.example/", tokens=StreamTokens()
        )
