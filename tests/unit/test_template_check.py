"""Templates are refused for what they may not say, at the word at fault, before anything runs."""

from __future__ import annotations

import pytest

from schemas.template import TemplateError, check_part, compile_part

KNOWN = {
    "customer": ["first_name", "email", "business_name"],
    "signals": ["health_score", "usage_drop_percent", "recent_features", "plan"],
    "run": [],
    "steps": [],
    "links": ["unsubscribe", "booking"],
}


def check(text: str, *, html: bool = False) -> list[tuple[int, int, str, str]]:
    return [
        (fault.line, fault.column, fault.message, fault.hint)
        for fault in check_part(text, known=KNOWN, html=html)
    ]


@pytest.mark.parametrize(
    "text",
    [
        "no tags at all, 50 % off {# a comment #}",
        "Hi {{ customer.first_name | default('there') }}",
        "{% if signals.health_score < 40 and signals.plan != 'free' %}low{% elif signals.plan in ['pro'] %}p"
        "{% else %}ok{% endif %}",
        "{% for name in signals.recent_features %}{{ loop.index }}. {{ name }}\n{% else %}none{% endfor %}",
        "{% set name = customer.first_name | default('you') %}{{ name | upper }}",
        "{{ signals.usage_drop_percent | round(1) }} %, {{ signals.health_score * 2 + 1 }}",
        "{{ steps.call_1.outcome }} {{ run.anything }} {{ links.booking }} {{ signals['plan'] }}",
        "{% raw %}{{ not.a.tag }}{% endraw %}",
        "{{ 'a' ~ customer.first_name if customer.first_name is defined else 'b' }}",
        "{{ signals.recent_features[0] }} {{ signals.recent_features[:2] | join(' and ') }}",
    ],
)
def test_what_a_message_needs_is_accepted(text: str) -> None:
    assert check(text) == []
    compile_part(text, False)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{{ customer.first_nam }}", (1, 13, "`customer` has no `first_nam`", "did you mean `first_name`?")),
        ("Hi\n  {{ custmer.email }}", (2, 6, "unknown name `custmer`", "did you mean `customer`?")),
        (
            "{{ signals['healt_score'] }}",
            (1, 13, "`signals` has no `healt_score`", "did you mean `health_score`?"),
        ),
        ("{{ customer }}", (1, 4, "`customer` is a group of values", "write customer.something")),
        ("{{ customer.email | uper }}", (1, 21, "unknown filter `uper`", "did you mean `upper`?")),
        ("{{ customer.email.upper() }}", (1, 19, "templates can't call `upper`", "use the filter `| upper`")),
        (
            "first_nam {{ customer.first_nam }}",
            (1, 23, "`customer` has no `first_nam`", "did you mean `first_name`?"),
        ),
    ],
)
def test_a_fault_names_its_place_and_the_nearest_word(text: str, fault: tuple[int, int, str, str]) -> None:
    assert check(text) == [fault]


def test_every_fault_is_reported_in_order() -> None:
    text = "{{ a.b }}\n{{ signals.x }} {{ signals.x }}\n{{ range(9) }}"
    assert [(line, column) for line, column, _, _ in check(text)] == [(1, 4), (2, 12), (2, 28), (3, 4)]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\n{% if customer.email %}", 2),
        ("{{", 1),
        ("a\n\n{{ 'x }}", 3),
        ("{% endif %}", 1),
        ("{{ a..b }}", 1),
    ],
)
def test_a_syntax_error_has_its_line(text: str, line: int) -> None:
    [(at, _, message, _)] = check(text)
    assert at == line
    assert message


UNBOUNDED = {
    "power": "{{ 9 ** 9 ** 9 }}",
    "repeated text": "{{ 'a' * 1000000000 }}",
    "repeated list": "{{ [1] * 1000000000 }}",
    "range": "{% for i in range(1000000000) %}{{ i }}{% endfor %}",
    "lipsum": "{{ lipsum(n=100000) }}",
    "cycler": "{{ cycler('a') }}",
    "joiner": "{% set j = joiner() %}",
    "namespace": "{% set n = namespace(a=1) %}",
    "padding": "{{ 'a' | center(1000000000) }}",
    "indent": "{{ 'a' | indent(1000000000) }}",
    "word wrap": "{{ 'a' | wordwrap(1) }}",
    "format filter": "{{ '%1000000000d' | format(1) }}",
    "format operator": "{{ '%1000000000d' % 1 }}",
    "format method": "{{ '{:1000000000}'.format(1) }}",
    "class": "{{ ''.__class__.__mro__ }}",
    "subscripted class": "{{ ''['__class__'] }}",
    "attr filter": "{{ customer | attr('__class__') }}",
    "map": "{{ signals.recent_features | map('upper') }}",
    "macro": "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
    "call": "{% call a() %}{% endcall %}",
    "include": "{% include 'x' %}",
    "import": "{% import 'x' as x %}",
    "from": "{% from 'x' import y %}",
    "extends": "{% extends 'x' %}",
    "block": "{% block a %}{% endblock %}",
    "filter block": "{% filter upper %}a{% endfilter %}",
    "with": "{% with a = 1 %}{% endwith %}",
    "autoescape off": "{% autoescape false %}{% endautoescape %}",
    "safe": "{{ customer.email | safe }}",
    "doubling": "{% set a = 'aaaa' %}" + "{% set a = a ~ a %}" * 60 + "{{ a }}",
    "doubling list": "{% set a = [1] %}" + "{% set a = [a, a] %}" * 60 + "{{ a }}",
    "set block": "{% set a %}x{% endset %}",
    "recursive loop": "{% for a in signals.recent_features recursive %}{{ loop(a) }}{% endfor %}",
    "three loops": "{% for a in signals.recent_features %}{% for b in signals.recent_features %}"
    "{% for c in signals.recent_features %}{% endfor %}{% endfor %}{% endfor %}",
    "hidden root": "{% set signals = 1 %}",
    "none": "{{ none }}",
    "dict": "{{ {'a': 1} }}",
    "self": "{{ self }}",
    "star": "{{ signals.plan | default(*signals.recent_features) }}",
    "size": "x" * (32 * 1024 + 1),
    "nested ifs": "{%if 1%}" * 1500 + "{%endif%}" * 1500,
    "parentheses": "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "brackets": "{{ " + "[" * 3000 + "1" + "]" * 3000 + " }}",
    "chain of not": "{{ " + "not " * 3000 + "1 }}",
    "chain of plus": "{{ 1" + "+1" * 3000 + " }}",
    "chain of dots": "{{ run" + ".a" * 3000 + " }}",
    "chain of filters": "{{ 1" + "|int" * 3000 + " }}",
    "chain of conditions": "{{ 1" + " if 1 else 1" * 1000 + " }}",
    "long number": "{{ " + "9" * 30_000 + " }}",
    "many tags": "{{1}}" * 6000,
    "unclosed blocks": "{%if 1%}" * 4000,
    "unclosed prints": "{{ " * 10_000,
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("text", UNBOUNDED.values(), ids=UNBOUNDED.keys())
def test_whatever_has_no_bound_is_refused_and_never_compiled(text: str) -> None:
    assert check(text)
    with pytest.raises(TemplateError) as raised:
        compile_part(text, html=True)
    assert raised.value.code == "HF144"


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    [
        "{{ customer.email }}" * 1000,
        ("{{" + "not " * 95 + "run.a}}") * 60,
        ("{{run" + ".a" * 48 + "}}") * 99,
        ("{{" + "(" * 20 + "run.a" + ")" * 20 + "}}") * 200,
        "{% if run.a %}1" + "{% elif run.b %}2" * 900 + "{% endif %}",
        "{%if run.a%}" * 20 + "x" + "{%endif%}" * 20,
        " " * 32_000 + "{{ 1 }}",
    ],
)
def test_the_largest_that_is_accepted_still_compiles(text: str) -> None:
    compile_part(text, html=True)
