"""The type and the highest cost of a CEL rule, found without running it, as the API server does when a CRD comes.

The parser is celpy's. Costs follow the public model of CEL: one unit for reading a variable or a field and for most
calls, a tenth for each byte of a string, and a loop costs its body as often as the list or map may have elements.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import celpy
from celpy.celparser import CELParseError
from lark import Token, Tree

from campaignpool_local.definitions.declared import BOOL, BYTES, DOUBLE, DYN, INT, NULL, STRING, UINT, Type
from campaignpool_local.definitions.functions import FUNCTIONS, NAMES, OPERATORS, NoOverloadError, Term, call, fits

_Node = Tree[Token]
_LIST_COST, _MAP_COST = 10, 30  # of making a list or a map
_LITERALS = {
    "UINT_LIT": UINT,
    "FLOAT_LIT": DOUBLE,
    "INT_LIT": INT,
    "BYTES_LIT": BYTES,
    "BOOL_LIT": BOOL,
    "NULL_LIT": NULL,
}
_RANGES = "(must be list, map, or dynamic)"
_LEAVES = ("list_lit", "map_lit")  # the forms with one child that are more than that child
_MACROS = {"all": 3, "exists": 4, "exists_one": 2, "filter": 13, "map": 12}
"""Macros over a list or a map: what a turn of each costs beside its body."""


class CompileError(Exception):
    """A rule that the API server refuses to compile."""


class Compiled(NamedTuple):
    """What is known of a rule: its type, its highest cost, and whether it reads the state before."""

    type: Type
    cost: int
    uses_old: bool


@lru_cache(maxsize=512)
def parse(expression: str) -> _Node:
    """Return the syntax tree of an expression; raise `CompileError`."""
    try:
        tree: _Node = celpy.Environment().compile(expression)
    except CELParseError as error:
        raise _fault(
            expression, _offset(expression, error), "Syntax error: the expression cannot be parsed"
        ) from error
    return tree


def compile_rule(expression: str, variable: Type) -> Compiled:
    """Check an expression about `self` and `oldSelf`, which have this type; raise `CompileError`."""
    checker = _Checker(expression, {"self": variable, "oldSelf": variable})
    term = checker.term(parse(expression))
    return Compiled(term.type, term.cost, "oldSelf" in checker.read)


def _offset(source: str, error: CELParseError) -> int:
    if error.line is None or error.column is None:
        return len(source)
    lines = source.splitlines(keepends=True)
    return sum(map(len, lines[: error.line - 1])) + error.column - 1


def _fault(source: str, position: int, why: str) -> CompileError:
    """Return an error that shows the place, as CEL does: the line, and a mark below it."""
    before = source[:position]
    line, column = before.count("\n"), len(before) - (before.rfind("\n") + 1)
    shown = (source.splitlines() or [""])[min(line, source.count("\n"))]
    return CompileError(f"ERROR: <input>:{line + 1}:{column + 1}: {why}\n | {shown}\n | {'.' * column}^")


class _Checker:
    """Walks one syntax tree; `read` are the variables that it met."""

    def __init__(self, source: str, variables: dict[str, Type]) -> None:
        self._source, self._variables, self.read = source, variables, set[str]()

    def term(self, node: _Node) -> Term:
        """Return what a part of the expression is."""
        while len(node.children) == 1 and isinstance(node.children[0], Tree) and node.data not in _LEAVES:
            node = node.children[0]
        forms = {
            "expr": self._choice,
            "conditionalor": self._logical,
            "conditionaland": self._logical,
            "member_dot": self._select,
            "member_dot_arg": self._member_call,
            "member_index": self._index,
            "ident_arg": self._call,
            "dot_ident_arg": self._call,
            "ident": self._variable,
            "dot_ident": self._variable,
            "literal": self._literal,
            "list_lit": self._list,
            "map_lit": self._map,
            **dict.fromkeys(("relation", "addition", "multiplication", "unary"), self._operation),
        }
        if node.data not in forms:
            raise self._error(node, "this emulator cannot check expressions of this form")
        return forms[str(node.data)](node)

    def _choice(self, node: _Node) -> Term:
        test, yes, no = map(self.term, self._trees(node.children))
        given = self._operator("?", node, (test, yes, no))
        return Term(given.type, test.cost + max(yes.cost, no.cost), given.size)

    @staticmethod
    def _trees(children: Sequence[_Node | Token]) -> list[_Node]:
        return [child for child in children if isinstance(child, Tree)]

    def _arguments(self, node: _Node) -> list[_Node]:
        lists = [tree for tree in self._trees(node.children) if tree.data == "exprlist"]
        return self._trees(lists[-1].children) if lists else []

    def _error(self, where: _Node | int, why: str) -> CompileError:
        return _fault(self._source, where if isinstance(where, int) else self._place(where), why)

    def _place(self, node: _Node) -> int:
        """Return what CEL takes for the place of an expression: of a field that is read, the dot."""
        while len(node.children) == 1 and isinstance(node.children[0], Tree):
            node = node.children[0]
        if node.data == "member_dot":
            return self._source.rindex(".", 0, getattr(node.children[-1], "start_pos", 0))
        return int(node.meta.start_pos)

    def _operator(self, name: str, node: _Node, operands: Sequence[Term]) -> Term:
        sign, rule = OPERATORS[name]
        try:
            return rule(*operands)
        except NoOverloadError as error:
            last = self._trees(node.children)[1 if len(operands) > 1 else -1]
            called = NAMES.get(sign, f"_{sign}_" if len(operands) > 1 else f"{sign}_")
            types = ", ".join(str(operand.type) for operand in operands)
            why = f"found no matching overload for '{called}' applied to '({types})'"
            raise self._error(self._source.rindex(sign, 0, last.meta.start_pos), why) from error

    def _operation(self, node: _Node) -> Term:
        first, last = self._trees(node.children)
        operands = [self.term(tree) for tree in (*self._trees(first.children), last)]
        given = self._operator(str(first.data), node, operands)
        return Term(given.type, given.cost + sum(operand.cost for operand in operands), given.size)

    def _logical(self, node: _Node) -> Term:
        trees = self._trees(node.children)
        left, right = map(self.term, trees)
        if not (fits(left.type, BOOL) and fits(right.type, BOOL)):
            wrong = left if not fits(left.type, BOOL) else right
            raise self._error(trees[0 if wrong is left else 1], f"expected type 'bool' but found '{wrong.type}'")
        return Term(BOOL, left.cost + right.cost)

    def _variable(self, node: _Node) -> Term:
        name, position = str(node.children[0]), node.meta.start_pos
        if name not in self._variables:
            raise self._error(position, f"undeclared reference to '{name}' (in container '')")
        self.read.add(name)
        result = self._variables[name]
        return Term(result, 1, result.size)

    def _literal(self, node: _Node) -> Term:
        text, kind = str(node.children[0]), _LITERALS.get(getattr(node.children[0], "type", ""), STRING)
        return Term(kind, 0, len(text.strip("rRbB").strip("\"'")) if kind in (STRING, BYTES) else 1)

    def _select(self, node: _Node, *, test: bool = False) -> Term:
        operand, token = self.term(self._trees(node.children)[0]), node.children[-1]
        name, where = str(token), operand.type
        if where.kind == "object":
            if name not in where.fields:
                raise self._error(node, f"undefined field '{name}'")
            result = where.fields[name]
        elif where.kind == "map":
            result = where.element or DYN
        elif where.kind == "dyn":
            result = DYN
        else:
            raise self._error(node, f"type '{where}' does not support field selection")
        reads = where.kind in ("map", "object") and not test
        return Term(BOOL if test else result, operand.cost + int(reads), 1 if test else result.size)

    def _index(self, node: _Node) -> Term:
        container, key = map(self.term, self._trees(node.children))
        wanted = {"list": INT, "map": container.type.key or STRING, "dyn": DYN}.get(container.type.kind)
        if wanted is None or not fits(key.type, wanted):
            end = self._trees(node.children)[0].meta.end_pos
            why = f"found no matching overload for '_[_]' applied to '({container.type}, {key.type})'"
            raise self._error(self._source.index("[", end), why)
        result = container.type.element or DYN
        return Term(result, container.cost + key.cost + 1, result.size)

    def _call(self, node: _Node) -> Term:
        name, arguments = str(node.children[0]), self._arguments(node)
        if name == "has":
            inner = arguments[0] if len(arguments) == 1 else None
            while inner is not None and inner.data != "member_dot":
                trees = self._trees(inner.children)
                inner = trees[0] if len(inner.children) == len(trees) == 1 else None
            if inner is None:
                raise self._error(self._open(node), "invalid argument to has() macro")
            return self._select(inner, test=True)
        return self._called(name, node, None, [self.term(argument) for argument in arguments])

    def _open(self, node: _Node) -> int:
        """Return the place of the parenthesis of a call, which CEL takes for the place of the call."""
        token = next(child for child in node.children if isinstance(child, Token))
        return self._source.index("(", token.start_pos)

    def _called(self, name: str, node: _Node, target: Term | None, arguments: list[Term]) -> Term:
        if name not in FUNCTIONS:
            raise self._error(self._open(node), f"undeclared reference to '{name}' (in container '')")
        try:
            given = call(name, target, arguments)
        except NoOverloadError as error:
            types = f"({', '.join(str(argument.type) for argument in arguments)})"
            shown = f"{target.type}.{types}" if target else types
            why = f"found no matching overload for '{name}' applied to '{shown}'"
            raise self._error(self._open(node), why) from error
        cost = sum(argument.cost for argument in (*arguments, *([target] if target else [])))
        return Term(given.type, given.cost + cost, given.size)

    def _member_call(self, node: _Node) -> Term:
        name, arguments = str(node.children[1]), self._arguments(node)
        target = self.term(self._trees(node.children)[0])
        if name in _MACROS and len(arguments) in (2, 3 if name == "map" else 2):
            return self._macro(name, target, node, arguments)
        return self._called(name, node, target, [self.term(argument) for argument in arguments])

    def _macro(self, name: str, target: Term, node: _Node, arguments: list[_Node]) -> Term:
        ranges = {"list": target.type.element, "map": target.type.key, "dyn": DYN}
        if target.type.kind not in ranges:
            why = f"expression of type '{target.type}' cannot be range of a comprehension {_RANGES}"
            raise self._error(self._trees(node.children)[0], why)
        variable = self._source[arguments[0].meta.start_pos : arguments[0].meta.end_pos]
        before, self._variables = self._variables, {**self._variables, variable: ranges[target.type.kind] or DYN}
        *tests, last = [self.term(argument) for argument in arguments[1:]]
        self._variables = before
        for number, test in enumerate([*tests, *([last] if name != "map" else [])], start=1):
            if not fits(test.type, BOOL):
                raise self._error(arguments[number], f"expected type 'bool' but found '{test.type}'")
        turn = _MACROS[name] + last.cost + sum(item.cost for item in tests)
        cost = target.cost + 1 + target.size * turn + (_LIST_COST if name in ("map", "filter") else 0)
        if name == "map":
            return Term(Type("list", target.size, element=last.type), cost, target.size)
        if name == "filter":
            return Term(Type("list", target.size, element=ranges[target.type.kind]), cost, target.size)
        return Term(BOOL, cost + int(name == "exists_one"))

    def _list(self, node: _Node) -> Term:
        items = [self.term(argument) for argument in self._arguments(node)]
        kinds = {str(item.type) for item in items}
        element = items[0].type if len(kinds) == 1 else DYN
        return Term(Type("list", len(items), element=element), _LIST_COST + sum(i.cost for i in items), len(items))

    def _map(self, node: _Node) -> Term:
        inner = [self.term(tree) for part in self._trees(node.children) for tree in self._trees(part.children)]
        kinds = {str(item.type) for item in inner[1::2]}
        created = Type("map", len(inner) // 2, key=inner[0].type if inner else DYN, element=DYN)
        created = Type("map", created.size, key=created.key, element=inner[1].type if len(kinds) == 1 else DYN)
        return Term(created, _MAP_COST + sum(item.cost for item in inner), created.size)
