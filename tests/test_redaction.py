"""Redaction of URLs and of foreign text."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from trio_realtime._redaction import mask_secrets, redact_url, secret_values


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


def test_secrets_in_foreign_text_are_masked() -> None:
    text = "Incorrect API key provided: sk-0123456789, not sk-0123456789-more."
    assert mask_secrets(text, ["sk-0123456789", "sk-0123456789-more"]) == (
        "Incorrect API key provided: ***, not ***."
    )


def test_short_values_are_not_masked() -> None:
    assert mask_secrets("an array of local variables", ["", "a", "local"]) == (
        "an array of local variables"
    )


def test_text_without_a_secret_is_not_copied() -> None:
    text = "x" * 100_000
    assert mask_secrets(text, ["sk-0123456789"]) is text


@given(st.text(), st.text(min_size=8).filter(lambda s: "*" not in s), st.text())
def test_no_masked_text_contains_the_secret(before: str, secret: str, after: str) -> None:
    # Text on both sides that ends or begins like the secret must not form it again.
    assert secret not in mask_secrets(before + secret + after, [secret])
