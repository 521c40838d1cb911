"""What a message template may say, and where it goes wrong: checked before it is ever compiled.

Templates are Jinja2 in a sandbox, but the sandbox alone bounds no work. So only what is listed here is
accepted: printing, `if`, `for` over data (two deep), `set` of a plain value, the filters and tests of
`schemas.template_environment`, and nothing that calls, defines, includes, repeats or pads.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache

from jinja2 import Template, nodes
from jinja2.exceptions import TemplateSyntaxError

from schemas.errors import InputError
from schemas.template_environment import TemplateEnvironment, bound_loops, make_environment
from schemas.template_source import Places, TemplateFault, scan

__all__ = ["ROOTS", "TemplateError", "TemplateFault", "check_part", "compile_part", "make_environment"]

ROOTS = ("customer", "signals", "run", "steps", "links")
SOURCE_LIMIT_BYTES = 32 * 1024
LOOP_LIMIT = 2

_ACCEPTED = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.For, nodes.Assign, nodes.Name,
    nodes.Const, nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.Filter, nodes.Test, nodes.Compare,
    nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.CondExpr, nodes.Concat, nodes.List, nodes.Tuple,
    nodes.Keyword, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Neg,
    nodes.Pos,
)  # fmt: skip
_WORDS = {
    nodes.Pow: "`**`", nodes.Macro: "`macro`", nodes.CallBlock: "`call`", nodes.Include: "`include`",
    nodes.Import: "`import`", nodes.FromImport: "`from`", nodes.Extends: "`extends`", nodes.Block: "`block`",
    nodes.FilterBlock: "`filter` blocks", nodes.With: "`with`", nodes.AssignBlock: "`set` blocks",
    nodes.Dict: "{…}", nodes.Scope: "`autoescape`",
}  # fmt: skip


class TemplateError(InputError):
    """A template can't be used."""

    code = "HF144"
    remedy = "`holdfast validate` shows each fault of a template with its line."

    def __init__(self, faults: list[TemplateFault]) -> None:
        self.faults = faults
        first = faults[0]
        hint = f" ({first.hint})" if first.hint else ""
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        super().__init__(f"template line {first.line}, column {first.column}: {first.message}{hint}{more}")


def check_part(text: str, *, known: Mapping[str, Collection[str]], html: bool) -> list[TemplateFault]:
    """All faults of one part of a template, in order of place.

    known: the root names that may be used, each with the attribute names it has; an empty collection means
        that any name may follow.
    """
    return _parse(text, known, html)[1]


@lru_cache(maxsize=2048)
def compile_part(text: str, html: bool) -> Template:
    """The checked part, ready for a bounded rendering; any attribute of the five roots is taken as known.

    Raises TemplateError with the faults. Kept by text, so that no text is checked and compiled twice.
    """
    tree, faults = _parse(text, dict.fromkeys(ROOTS, ()), html)
    if tree is None or faults:
        raise TemplateError(faults)
    environment = tree.environment
    if environment is None:
        raise TemplateError([TemplateFault(1, 1, "the template has no environment")])
    bound_loops(tree)
    try:
        return Template.from_code(environment, environment.compile(tree), environment.make_globals(None))
    except (RecursionError, SyntaxError, MemoryError, ValueError) as error:
        raise TemplateError(
            [TemplateFault(1, 1, f"it can't be compiled: {error}", "make it simpler")]
        ) from None


def _parse(
    text: str, known: Mapping[str, Collection[str]], html: bool
) -> tuple[nodes.Template | None, list[TemplateFault]]:
    if len(text.encode("utf-8", "replace")) > SOURCE_LIMIT_BYTES:
        return None, [TemplateFault(1, 1, f"it has more than {SOURCE_LIMIT_BYTES // 1024} KB", "shorten it")]
    environment = _ENVIRONMENTS[html]
    try:
        fault = scan(environment, text)
        if fault:
            return None, [fault]
        tree = environment.parse(text)
    except TemplateSyntaxError as error:
        line = min(error.lineno, text.count("\n") + 1)
        return None, [TemplateFault(line, Places(text).find(line), error.message or "it can't be read")]
    except (RecursionError, ValueError, OverflowError) as error:
        return None, [TemplateFault(1, 1, f"it can't be read: {error}", "make it simpler")]
    checker = _Checker(text, known, environment)
    checker.check(tree)
    return tree, sorted(checker.faults, key=lambda found: (found.line, found.column))


class _Checker:
    def __init__(
        self, text: str, known: Mapping[str, Collection[str]], environment: TemplateEnvironment
    ) -> None:
        self.faults: list[TemplateFault] = []
        self._places = Places(text)
        self._known = known
        self._environment = environment

    def check(self, tree: nodes.Template) -> None:
        self._visit_all(tree.body, frozenset(), 0)

    def _fault(self, node: nodes.Node, message: str, hint: str = "", pattern: str = r"\{[{%]") -> None:
        # the parser wraps `autoescape` in a node without a line
        line = node.lineno or next((child.lineno for child in node.iter_child_nodes()), 1)
        self.faults.append(TemplateFault(line, self._places.find(line, pattern), message, hint))

    def _visit_all(self, children: Collection[nodes.Node], names: frozenset[str], loops: int) -> None:
        for child in children:
            self._visit(child, names, loops)
            if isinstance(child, nodes.Assign) and isinstance(child.target, nodes.Name):
                names = names | {child.target.name}

    def _visit(self, node: nodes.Node, names: frozenset[str], loops: int) -> None:
        if not isinstance(node, _ACCEPTED):
            self._refuse(node)
        elif isinstance(node, nodes.For):
            self._visit_loop(node, names, loops + 1)
        elif isinstance(node, nodes.If):
            self._visit(node.test, names, loops)
            for block in (node.body, node.elif_, node.else_):
                self._visit_all(block, names, loops)
        elif isinstance(node, nodes.Assign):
            self._visit_assignment(node, names, loops)
        elif isinstance(node, nodes.Name):
            if node.name not in names:
                self._check_root(node)
        else:
            self._visit_expression(node, names)
            for child in node.iter_child_nodes():
                self._visit(child, names, loops)

    def _visit_loop(self, node: nodes.For, names: frozenset[str], loops: int) -> None:
        if loops > LOOP_LIMIT:
            self._fault(node, f"loops go at most {LOOP_LIMIT} deep", pattern=r"\bfor\b")
        if node.recursive:
            self._fault(node, "a loop can't be recursive", pattern=r"\brecursive\b")
        self._visit(node.iter, names, loops)
        targets = node.target.items if isinstance(node.target, nodes.Tuple) else [node.target]
        inner = names | {"loop"}
        for target in targets:
            if not isinstance(target, nodes.Name):
                self._fault(node, "a loop gives its items one name", pattern=r"\bfor\b")
            elif self._is_free(target):
                inner |= {target.name}
        if node.test is not None:
            self._visit(node.test, inner, loops)
        self._visit_all(node.body, inner, loops)
        self._visit_all(node.else_, names, loops)

    def _visit_assignment(self, node: nodes.Assign, names: frozenset[str], loops: int) -> None:
        if not isinstance(node.target, nodes.Name):
            self._fault(node, "`set` gives one name to one value", pattern=r"\bset\b")
        else:
            self._is_free(node.target)
        # each of these could double a value, and the next `set` double it again
        if any(
            isinstance(node.node, bad) or node.node.find(bad)
            for bad in (nodes.Concat, nodes.List, nodes.Tuple)
        ):
            self._fault(node, "`set` takes a plain value", "write the text where it is printed", r"\bset\b")
        self._visit(node.node, names, loops)

    def _is_free(self, name: nodes.Name) -> bool:
        if name.name in self._known or name.name in ROOTS or name.name == "loop" or name.name.startswith("_"):
            self._fault(
                name,
                f"`{name.name}` can't be given another meaning",
                "take another name",
                rf"\b{name.name}\b",
            )
            return False
        return True

    def _visit_expression(self, node: nodes.Node, names: frozenset[str]) -> None:
        if isinstance(node, (nodes.Getattr, nodes.Getitem)):
            self._check_attribute(node, names)
        elif isinstance(node, nodes.Const) and node.value is None:
            self._fault(node, "there is no `none` here", "use `is defined`", r"\b[nN]one\b")
        elif isinstance(node, (nodes.Filter, nodes.Test)):
            kind = "filter" if isinstance(node, nodes.Filter) else "test"
            allowed = self._environment.filters if kind == "filter" else self._environment.tests
            if node.name not in allowed:
                hint = _nearest(node.name, allowed) or "there are: " + ", ".join(
                    filter(str.isidentifier, allowed)
                )
                self._fault(node, f"unknown {kind} `{node.name}`", hint, rf"\b{re.escape(node.name)}\b")
            if node.dyn_args is not None or node.dyn_kwargs is not None:
                self._fault(node, "`*` in arguments isn't for templates")
        elif isinstance(node, nodes.Mul) and _mentions(node, (str, list)):
            self._fault(node, "a text or list can't be multiplied", pattern=r"\*")
        elif isinstance(node, nodes.Mod) and _mentions(node, (str,)):
            self._fault(node, "`%` can't format text", "print the value where it belongs", r"%(?!\})")
        elif isinstance(node, nodes.Output):
            for child in node.nodes:
                if isinstance(child, nodes.Name) and child.name in self._known and child.name not in names:
                    hint = f"write {child.name}.something"
                    self._fault(child, f"`{child.name}` is a group of values", hint, rf"\b{child.name}\b")

    def _check_root(self, node: nodes.Name) -> None:
        if node.name not in self._known:
            hint = _nearest(node.name, self._known) or "there are: " + ", ".join(self._known)
            self._fault(node, f"unknown name `{node.name}`", hint, rf"\b{re.escape(node.name)}\b")

    def _check_attribute(self, node: nodes.Getattr | nodes.Getitem, names: frozenset[str]) -> None:
        if isinstance(node, nodes.Getattr):
            attribute = node.attr
        elif isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
            attribute = node.arg.value
        else:
            return
        word = rf"\b{re.escape(attribute)}\b"
        if attribute.startswith("_"):
            self._fault(node, f"`{attribute}` is out of reach of templates", pattern=word)
            return
        root = node.node
        if isinstance(root, nodes.Name) and root.name not in names:
            attributes = self._known.get(root.name, ())
            if attributes and attribute not in attributes:
                hint = _nearest(attribute, attributes)
                self._fault(node, f"`{root.name}` has no `{attribute}`", hint, word)

    def _refuse(self, node: nodes.Node) -> None:
        if isinstance(node, nodes.Call):
            called = node.node
            name = called.name if isinstance(called, nodes.Name) else getattr(called, "attr", "")
            hint = f"use the filter `| {name}`" if name in self._environment.filters else "use a filter"
            pattern = rf"\b{re.escape(name)}\b" if name else r"\("
            self._fault(node, f"templates can't call{f' `{name}`' if name else ''}", hint, pattern)
            return
        what = _WORDS.get(type(node), f"`{type(node).__name__.lower()}`")
        self._fault(
            node, f"{what} can't be used in a template", pattern=re.escape(what.strip("`").split("`")[0])
        )


def _mentions(node: nodes.BinExpr, types: tuple[type, ...]) -> bool:
    for side in (node.left, node.right):
        if isinstance(side, nodes.Const) and isinstance(side.value, types):
            return True
        if isinstance(side, (nodes.List, nodes.Tuple)) and list in types:
            return True
        if isinstance(side, (nodes.Concat, nodes.TemplateData)) and str in types:
            return True
    return False


def _nearest(word: str, words: Collection[str]) -> str:
    near: Iterator[str] = iter(get_close_matches(word, list(words), n=2, cutoff=0.6))
    found = " or ".join(f"`{name}`" for name in near)
    return f"did you mean {found}?" if found else ""


_ENVIRONMENTS = {True: make_environment(html=True), False: make_environment(html=False)}
