"""Instructions as templates: variables, the sandbox and its limits."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st

from trio_realtime.errors import ConfigurationError
from trio_realtime.server.spec import templates
from trio_realtime.server.spec.templates import (
    MAX_INSTRUCTIONS,
    InstructionsTemplate,
    TemplateFailed,
    VariableMissing,
)


def render(source: str, **variables: Any) -> str:
    return InstructionsTemplate(source).render(variables)


def failure_of(source: str, **variables: Any) -> str:
    with pytest.raises(TemplateFailed) as caught:
        render(source, **variables)
    return str(caught.value)


@attrs.frozen
class Customer:
    """A customer."""

    name: str = "Ada"
    _key: str = "s3cr3t"

    def orders(self) -> list[str]:
        return ["one", "two"]

    def fail(self) -> None:
        raise RuntimeError("s3cr3t")

    def delete(self) -> None:
        """Change the database, as a model of Django does."""

    delete.alters_data = True  # type: ignore[attr-defined]


# --- rendering ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("Hello {{ name }}!", "Hello Ada!"),
        ("{{ name | upper }}{# comment #}", "ADA"),
        ("{% for one in orders %}{{ loop.index }}{{ one }} {% endfor %}", "1a 2b "),
        ("{% for i in range(3) %}{{ i }}{% endfor %}", "012"),
        ("{{ range(2, 8, 3) | list }} {{ range(9, 0, -4) | length }}", "[2, 5] 3"),
        ("{{ customer.name }}: {{ customer.orders() | join(', ') }}", "Ada: one, two"),
        ("{{ '<' }}{{ html }}", "<<b>"),
        ("{{ 'a' * 3 }}{{ 2 * 3 }}{{ 2 ** 8 }}", "aaa6256"),
        ("{% set x = 1 %}{{ x }}\n", "1\n"),
    ],
)
def test_templates_are_rendered(source: str, expected: str) -> None:
    variables = {"name": "Ada", "orders": ["a", "b"], "customer": Customer(), "html": "<b>"}
    assert render(source, **variables) == expected


@given(st.text(alphabet=st.characters(exclude_characters="{}\r", exclude_categories=["Cs"])))
def test_text_without_braces_is_unchanged(text: str) -> None:
    assert render(text) == text


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_the_value_of_a_variable_is_not_a_template(value: str) -> None:
    assert render("<{{ value }}>", value=value) == f"<{value}>"


@given(st.text(alphabet="{}%#ab =.()[]'|\n", max_size=30))
def test_every_source_is_refused_or_rendered_or_fails(source: str) -> None:
    try:
        template = InstructionsTemplate(source)
    except ConfigurationError:
        return
    with contextlib.suppress(TemplateFailed):
        assert isinstance(template.render({"a": "b"}), str)


@pytest.mark.parametrize(
    "source",
    ["{{ a }}", "{{ a.b.c }}", "{{ a | upper }}", "{{ a[0] }}", "{% for x in a %}x{% endfor %}"],
)
def test_undefined_variables_are_empty_unless_strict(source: str) -> None:
    assert render(f"<{source}>") == "<>"
    template = InstructionsTemplate(f"\n{source}", strict=True)
    with pytest.raises(VariableMissing, match=r"^line 2: 'a' is undefined$"):
        template.render({})


def test_a_condition_on_an_undefined_variable() -> None:
    source = "{% if a is defined and a %}x{% else %}y{% endif %}"
    assert render(source) == "y"
    assert InstructionsTemplate(source, strict=True).render({}) == "y"


def test_nothing_is_evaluated_before_a_template_is_rendered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []
    monkeypatch.setitem(templates._LENIENT.filters, "probe", calls.append)
    template = InstructionsTemplate("{{ 'a' | probe }}")
    assert calls == []
    assert (template.render({}), calls) == ("None", ["a"])


def test_a_variable_may_be_called_range() -> None:
    assert render("{{ range }}", range="3 km") == "3 km"


# --- the sandbox --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ customer.orders.__globals__ }}",
        "{{ customer.orders.__func__.__code__ }}",
        "{{ customer._key }}",
        "{{ ''['__class__'] }}",
        "{{ '' | attr('__class__') }}",
        "{{ '{0.__class__}'.format('') }}",
        "{{ '{x.__class__}'.format_map({'x': 1}) }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ self.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ orders.append('x') }}",
        "{{ orders.clear() }}",
        "{{ data.update({'a': 1}) }}",
    ],
)
def test_the_sandbox_refuses(source: str) -> None:
    variables: dict[str, Any] = {"customer": Customer(), "orders": ["a"], "data": {}}
    message = failure_of(source, **variables)
    assert "unsafe" in message or "not safely callable" in message
    assert (variables["orders"], variables["data"]) == (["a"], {})


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{% for i in range(100001) %}{% endfor %}", "range() counts to more than 100000"),
        ("{{ range(10 ** 300) }}", "range() counts to more than 100000"),
        ("{{ range(0, -200000, -1) }}", "range() counts to more than 100000"),
        (
            "{% for i in range(999) %}{% for j in range(999) %}{% endfor %}{% endfor %}",
            "range() counts to more than 100000 in total",
        ),
        (
            "{% set a = range(999) %}{% for i in a %}{% for j in a %}{% endfor %}{% endfor %}",
            "line 1: the loops run more than 100000 times in total",
        ),
        (
            (
                "{% set a = range(999) %}{% for i in a if False %}{% endfor %}"
                "{% for i in a %}{% for j in a if False %}{% endfor %}{% endfor %}"
            ),
            "the loops run more than 100000 times in total",
        ),
        (
            (
                "{% macro f(a) %}{% for i in a %}{% endfor %}{% endmacro %}"
                "{% set a = range(999) %}{% for i in a %}{{ f(a) }}{% endfor %}"
            ),
            "the loops run more than 100000 times in total",
        ),
        (
            (
                "{% set a = range(99) %}"
                "{% for i in a recursive %}{% if loop.depth < 9 %}{{ loop(a) }}{% endif %}{% endfor %}"
            ),
            "the loops run more than 100000 times in total",
        ),
        ("{{ 'a' * 10001 }}", "the result of * is too long"),
        ("{{ 10001 * 'a' }}", "the result of * is too long"),
        ("{{ ([0] * 100) * 101 }}", "the result of * is too long"),
        ("{{ 9 ** 9 ** 9 }}", "the result of ** is too large"),
        ("{{ 'a' ** 2 }}", "the result of ** is too large"),
        ("{{ lipsum(100) }}", "'lipsum' is undefined"),
        (
            "{% for i in range(1000) %}{{ 'a' * 1000 }}{% endfor %}",
            f"the text is longer than {MAX_INSTRUCTIONS} characters",
        ),
    ],
)
def test_what_a_rendering_may_do_is_limited(source: str, expected: str) -> None:
    assert expected in failure_of(source)


def test_loops_have_all_that_jinja_offers() -> None:
    source = (
        "{% for a, b in items if b %}{{ loop.index }}/{{ loop.length }} {{ a }}{{ loop.last }}; "
        "{% else %}none{% endfor %}"
    )
    assert render(source, items=[("x", 1), ("y", 0), ("z", 1)]) == "1/2 xFalse; 2/2 zTrue; "
    assert render(source, items=[]) == "none"
    assert render(source) == "none"
    assert "TypeError" in failure_of(source, items=3)
    tree = [{"name": "a", "children": [{"name": "b"}]}]
    source = "{% for i in tree recursive %}{{ i.name }}({{ loop(i.children or []) }}){% endfor %}"
    assert render(source, tree=tree) == "a(b())"


def test_the_limits_are_those_of_one_rendering() -> None:
    template = InstructionsTemplate("{% for i in range(60000) %}{% endfor %}x")
    assert [template.render({}), template.render({})] == ["x", "x"]


def test_a_value_that_is_too_long() -> None:
    assert render("{{ a }}", a="x" * MAX_INSTRUCTIONS) == "x" * MAX_INSTRUCTIONS
    assert "longer than" in failure_of("{{ a }}", a="x" * (MAX_INSTRUCTIONS + 1))


# --- failures -----------------------------------------------------------------------------------


def test_failures_name_the_line_and_no_values() -> None:
    assert failure_of("a\n\n{{ customer.fail() }}", customer=Customer()) == "line 3: RuntimeError"
    assert failure_of("a\n{{ 1 + 's3cr3t' }}") == "line 2: TypeError"
    assert failure_of("{{ 1 / 0 }}") == "line 1: ZeroDivisionError"
    assert failure_of("{{ a() }}") == "line 1: 'a' is undefined"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ data[key] + 1 }}", "'dict object' has no attribute ..."),
        ("{{ data[[key, key] | join(' of ')] + 1 }}", "'dict object' has no attribute ..."),
        ("{{ [key][number] + 1 }}", "list object has no element ..."),
        ("{{ data.price + 1 }}", "'dict object' has no attribute 'price'"),
        ("{{ [1] | map(key) | list }}", "No filter named ..."),
        ("{{ [1] | select(key) | list }}", "No test named ..."),
        ("{{ customer.delete() }}", "delete is not safely callable"),
        ("{{ customer['_' ~ part] }}", "unsafe access to 'Customer': attribute ..."),
        ("{{ ''.__class__ }}", "unsafe access to 'str': attribute '__class__'"),
    ],
)
def test_failures_quote_the_template_and_no_values(source: str, expected: str) -> None:
    variables: dict[str, Any] = {"key": "s3cr3t", "part": "key", "number": 4711, "data": {}}
    assert failure_of(source, customer=Customer(), **variables) == f"line 1: {expected}"
    with pytest.raises((TemplateFailed, VariableMissing)) as caught:
        InstructionsTemplate(source, strict=True).render({"customer": Customer(), **variables})
    assert str(caught.value) == f"line 1: {expected}"


def test_endless_recursion_is_a_failure() -> None:
    assert "RecursionError" in failure_of("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}")


@pytest.mark.parametrize("source", ["{% import 'a' as b %}", "{% from a import b %}"])
def test_templates_have_no_files(source: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape("cannot include, import or extend")):
        InstructionsTemplate(source)
