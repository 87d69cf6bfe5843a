"""``RealtimeAgent``: validation of its options."""

from __future__ import annotations

from typing import Any

import pytest

from trio_realtime import RealtimeAgent
from trio_realtime.errors import ConfigurationError


@pytest.mark.parametrize("field", ["tools", "input_guardrails", "hosted_tools"])
def test_an_option_that_is_not_a_list_is_rejected(field: str) -> None:
    options: Any = {field: None}
    with pytest.raises(ConfigurationError, match="expected a list, got NoneType"):
        RealtimeAgent(name="Assistant", **options)


def test_an_undecorated_function_is_rejected() -> None:
    def plain() -> None:
        """Undecorated."""

    with pytest.raises(ConfigurationError, match=r"plain.*@function_tool"):
        RealtimeAgent(name="Assistant", tools=[plain])


@pytest.mark.parametrize("prompt", ["pmpt_1", {}, {"id": ""}, {"promptId": "pmpt_1"}, ["pmpt_1"]])
def test_a_prompt_without_an_id_is_rejected(prompt: Any) -> None:
    with pytest.raises(ConfigurationError, match="prompt of agent 'A'"):
        RealtimeAgent[None](name="A", prompt=prompt)
