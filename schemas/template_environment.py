"""The Jinja2 environment that templates run in: few filters, no calls, no globals, every value bounded.

Whatever a template may do once takes time linear in its source and its data; what could multiply (powers,
repetition, padding, joining text with text) isn't there, or refuses when its result would pass `TEXT_LIMIT`.
`schemas.template` refuses the rest before a template is compiled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from datetime import date
from typing import Any

from jinja2 import StrictUndefined, Undefined, nodes
from jinja2.exceptions import TemplateRuntimeError
from jinja2.filters import FILTERS
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS

TEXT_LIMIT = 100_000
"""The most characters that one value inside a template may have."""

INTEGER_BITS_LIMIT = 256
LOOP_FILTER = "each of"  # not a name that a template can write
_LOOP_WORDS = frozenset({"index", "index0", "revindex", "revindex0", "first", "last", "length"})
_DATE_WORDS = frozenset({"year", "month", "day", "hour", "minute"})


class TemplateLimitError(TemplateRuntimeError):
    """A template asked for more than it may have."""


before_each_round: ContextVar[Callable[[], None]] = ContextVar("before_each_round")
"""Called before each round of a loop in the present rendering; raises when the rendering has had enough."""


class NamedMapping(Mapping[str, Any]):
    """A mapping that knows its path, so that a missing value can be reported by the name the author wrote."""

    __slots__ = ("_data", "path")

    def __init__(self, data: Mapping[str, Any], path: str) -> None:
        self._data = data
        self.path = path

    def __getitem__(self, key: str) -> Any:
        value = self._data[key]
        return NamedMapping(value, f"{self.path}.{key}") if isinstance(value, Mapping) else value

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)


class TemplateEnvironment(ImmutableSandboxedEnvironment):
    """A sandbox in which a name after a dot is a key of the data, and None means that there is no value."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self, *, html: bool) -> None:
        # no cache here: schemas.template keeps what it has checked, and nothing else may be loaded
        super().__init__(
            undefined=StrictUndefined, autoescape=html, finalize=_print_value, cache_size=0, optimized=False
        )
        self.globals.clear()
        self.filters = {name: _bounded(function) for name, function in ALLOWED_FILTERS.items()}
        self.filters[LOOP_FILTER] = _each
        self.tests = {name: TESTS[name] for name in ALLOWED_TESTS}

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """A key of a mapping, an item of a list, a word of `loop` or of a date; never a Python attribute."""
        if isinstance(obj, Undefined):
            return obj  # so that `steps.call.outcome | default("…")` works where the call didn't happen
        value: Any = None
        if isinstance(obj, Mapping):
            value = obj.get(argument) if isinstance(argument, str) else None
        elif isinstance(obj, (LoopContext, date)) and isinstance(argument, str):
            words = _LOOP_WORDS if isinstance(obj, LoopContext) else _DATE_WORDS
            value = getattr(obj, argument, None) if argument in words else None
        elif isinstance(obj, (list, tuple, str)) and isinstance(argument, (int, slice)):
            try:
                value = obj[argument]
            except (IndexError, TypeError, ValueError):
                value = None
        if value is None:
            where = f"{obj.path}.{argument}" if isinstance(obj, NamedMapping) else f"{argument!r}"
            return self.undefined(f"{where} has no value", obj=obj, name=str(argument))
        return value

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic on numbers, and `+` on texts; anything that repeats or formats is refused."""
        for side in (left, right):
            if isinstance(side, Undefined):
                str(side)  # raises what is missing
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            return _check_size(left + right)
        if not (_is_number(left) and _is_number(right)) or operator == "**":
            raise TemplateRuntimeError(f"`{operator}` works on numbers only; join texts with `~`")
        try:
            result = self.binop_table[operator](left, right)
        except (ZeroDivisionError, OverflowError) as error:
            raise TemplateRuntimeError(f"`{operator}`: {error}") from None
        if isinstance(result, int) and result.bit_length() > INTEGER_BITS_LIMIT:
            raise TemplateLimitError("a number became too large")
        return result


def make_environment(html: bool) -> TemplateEnvironment:
    """The environment for HTML parts (values are escaped) or for text parts."""
    return TemplateEnvironment(html=html)


def bound_loops(tree: nodes.Template) -> None:
    """Make every loop of a parsed template ask `before_each_round`."""
    for loop in tree.find_all(nodes.For):
        loop.iter = nodes.Filter(loop.iter, LOOP_FILTER, [], [], None, None, lineno=loop.lineno)
        loop.set_environment(tree.environment)  # type: ignore[arg-type]  # a parsed tree has one


def _each(value: Any) -> Iterator[Any]:
    if isinstance(value, Undefined):
        str(value)  # raises what is missing
    if isinstance(value, str) or not isinstance(value, (Sequence, Mapping)):
        raise TemplateRuntimeError("only a list can be looped over")
    check = before_each_round.get(_no_rendering)
    for item in value:
        check()
        yield StrictUndefined("an item of the list has no value") if item is None else item


def _no_rendering() -> None:
    raise TemplateLimitError("loops run only inside a bounded rendering")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _check_size(value: Any) -> Any:
    if isinstance(value, str) and len(value) > TEXT_LIMIT:
        raise TemplateLimitError(f"a text grew past {TEXT_LIMIT} characters")
    return value


def _print_value(value: Any) -> Any:
    """What `{{ }}` puts into a message: lists as an enumeration, whole numbers without `.0`, never None."""
    if value is None:
        raise_missing("the value")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise_missing("the number")
        return int(value) if value.is_integer() and abs(value) < 1e15 else value
    if isinstance(value, (list, tuple)):
        return _join(value, ", ")
    if isinstance(value, Mapping):
        raise TemplateRuntimeError("a group of values can't be printed; name one of them after a dot")
    return _check_size(value)


def raise_missing(what: str) -> None:
    """Fail as an undefined value does."""
    str(StrictUndefined(f"{what} is missing"))


def _bounded(function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, with None taken as undefined on both sides, and long results refused."""

    def apply(value: Any, *args: Any, **kwargs: Any) -> Any:
        if value is None:
            value = StrictUndefined("the value is missing")
        if function is not _default:
            for argument in (value, *args, *kwargs.values()):
                if isinstance(argument, Undefined):
                    str(argument)  # raises what is missing
        result = function(value, *args, **kwargs)
        return StrictUndefined("the value is missing") if result is None else _check_size(result)

    return apply


def _default(value: Any, default: Any = "", boolean: bool = False) -> Any:
    return default if isinstance(value, Undefined) or (boolean and not value) else value


def _join(values: Any, separator: Any = "") -> str:
    if isinstance(values, str) or not isinstance(values, (Sequence, Mapping)):
        raise TemplateRuntimeError("`join` takes a list")
    if len(values) > 1000:
        raise TemplateLimitError("`join` takes at most 1000 items")
    texts = []
    for value in values:
        printed = _print_value(value)
        texts.append(printed if isinstance(printed, str) else str(printed))
    if sum(map(len, texts)) + len(str(separator)) * len(texts) > TEXT_LIMIT:
        raise TemplateLimitError(f"a text grew past {TEXT_LIMIT} characters")
    return str(separator).join(texts)


def _replace(value: Any, old: str, new: str) -> str:
    text = value if isinstance(value, str) else str(value)
    if not old:
        raise TemplateRuntimeError("`replace` needs a text to look for")
    if len(text) + text.count(old) * len(new) > TEXT_LIMIT:
        raise TemplateLimitError(f"a text grew past {TEXT_LIMIT} characters")
    return text.replace(old, new)


def _truncate(value: Any, length: int = 255, end: str = "…") -> str:
    """At most `length` characters, cut at a word where there is one."""
    text = value if isinstance(value, str) else str(value)
    if len(text) <= length:
        return text
    cut = text[: max(length - len(end), 0)]
    inside_a_word = text[len(cut)] != " " and " " in cut
    return (cut.rsplit(" ", 1)[0] if inside_a_word else cut) + end


def _round(value: float, precision: int = 0) -> float:
    if not 0 <= precision <= 10:
        raise TemplateRuntimeError("`round` takes 0 to 10 decimals")
    return round(value, precision)


def _sort(values: Any, reverse: bool = False) -> list[Any]:
    return sorted(_items(values, "sort"), reverse=reverse)


def _sum(values: Any) -> Any:
    numbers = _items(values, "sum")
    if not all(map(_is_number, numbers)):
        raise TemplateRuntimeError("`sum` takes a list of numbers")
    return sum(numbers)


def _items(values: Any, word: str) -> list[Any]:
    if not isinstance(values, (list, tuple)) or any(value is None for value in values):
        raise TemplateRuntimeError(f"`{word}` takes a list without gaps")
    return list(values)


def _first(values: Any) -> Any:
    return values[0] if isinstance(values, (list, tuple, str)) and values else None


def _last(values: Any) -> Any:
    return values[-1] if isinstance(values, (list, tuple, str)) and values else None


def _min(values: Any) -> Any:
    return min(_items(values, "min"), default=None)


def _max(values: Any) -> Any:
    return max(_items(values, "max"), default=None)


ALLOWED_FILTERS: dict[str, Callable[..., Any]] = {
    "default": _default, "d": _default, "join": _join, "replace": _replace, "truncate": _truncate,
    "round": _round, "sort": _sort, "sum": _sum, "first": _first, "last": _last, "min": _min, "max": _max,
    "upper": FILTERS["upper"], "lower": FILTERS["lower"], "title": FILTERS["title"],
    "capitalize": FILTERS["capitalize"], "trim": FILTERS["trim"], "length": FILTERS["length"],
    "count": FILTERS["count"], "int": FILTERS["int"], "float": FILTERS["float"], "abs": abs,
    "escape": FILTERS["escape"], "e": FILTERS["e"], "urlencode": FILTERS["urlencode"],
}  # fmt: skip
ALLOWED_TESTS = (
    "defined", "undefined", "even", "odd", "divisibleby", "number", "string", "boolean", "true", "false",
    "in", "eq", "==", "ne", "!=", "lt", "<", "le", "<=", "gt", ">", "ge", ">=", "equalto", "greaterthan",
    "lessthan",
)  # fmt: skip
