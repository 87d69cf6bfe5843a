"""Finds the names of openai-agents that a Python program uses. The program is parsed, not executed.

Names are followed through imports, aliases, assignments, annotations, ``self``, and the calls of functions
of the same program, so that ``event.audio`` is known to be a field of ``RealtimeAudio`` in the branch in which
``event.type == "audio"``. A value that cannot be followed is taken for a session or an event if it has
the name of one.
"""

from __future__ import annotations

import ast
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager

import attrs

from .mapping import Mapping, Use
from .python_types import (
    COLLECTION_METHODS,
    CONFIG_KEYS,
    EVENT_FIELDS,
    EVENT_TYPES,
    GUESSES,
    MEMBER_TYPES,
    MODEL_EVENT_TYPES,
    UNIONS,
)

REALTIME = "agents.realtime."
PASSES = 3
"""Types that one pass learns, of parameters and attributes, are used by the next one."""


@attrs.frozen
class Imported:
    """An expression that is a module, class or function of the SDK or of asyncio."""

    name: str


@attrs.frozen
class Instance:
    """An expression that is an instance of a class of the SDK, or a collection of such instances."""

    of: str


Known = Imported | Instance | None


def find_uses(source: str, mapping: Mapping) -> list[Use]:
    """Return the uses of the SDK in a program, in the order of its lines.

    Raises:
        SyntaxError: it is not Python.
    """
    tree = ast.parse(source)
    if not imports_sdk(tree):
        return []
    knowledge = Knowledge()
    uses: list[Use] = []
    for _ in range(PASSES):
        visitor = _Visitor(mapping, knowledge)
        visitor.visit_program(tree)
        uses = visitor.uses
    return sorted(uses, key=lambda use: use.line)


def imports_sdk(tree: ast.AST) -> bool:
    """Return whether a program imports ``agents`` or a part of it."""
    for node in ast.walk(tree):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            modules = [node.module or ""]
        if any(module.partition(".")[0] == "agents" for module in modules):
            return True
    return False


@attrs.define
class Knowledge:
    """What the passes over a program learn about it.

    Attributes:
        attributes: types of ``self.x``, by class and name.
        parameters: types of the arguments that the program passes to its own functions, by function.
        returns: types that its functions return.
        expected: types of dictionaries that are passed on as variables, by scope and variable.
    """

    attributes: dict[tuple[str, str], Known] = attrs.field(factory=dict[tuple[str, str], Known])
    parameters: dict[str, dict[int | str, Known]] = attrs.field(
        factory=dict[str, dict[int | str, Known]]
    )
    returns: dict[str, Known] = attrs.field(factory=dict[str, Known])
    expected: dict[tuple[str, str], str] = attrs.field(factory=dict[tuple[str, str], str])


@attrs.define
class Scope:
    """The variables of the module or of one function.

    Attributes:
        name: identifies the scope in all passes.
        function: the function, as :class:`Knowledge` names it.
    """

    name: str
    function: str = ""
    variables: dict[str, Known] = attrs.field(factory=dict[str, Known])


class _Visitor(ast.NodeVisitor):
    """One pass. ``visit`` of an expression returns what is known about its value."""

    def __init__(self, mapping: Mapping, knowledge: Knowledge) -> None:
        self.uses: list[Use] = []
        self._mapping = mapping
        self._knowledge = knowledge
        self._scopes = [Scope("")]
        self._class = ""
        self._narrowed: dict[str, Known] = {}
        self._later: list[tuple[ast.FunctionDef | ast.AsyncFunctionDef, list[Scope], str]] = []

    def visit_program(self, tree: ast.Module) -> None:
        """Visit the module, and then the bodies of functions: they may use what comes after them."""
        self.visit(tree)
        while self._later:
            function, scopes, self._class = self._later.pop(0)
            self._scopes = scopes
            self._narrowed = {}
            for statement in function.body:
                self.visit(statement)

    def visit(self, node: ast.AST) -> Known:
        """Visit a part of the program. Returns what is known about the value of an expression."""
        known: Known = super().visit(node)
        return known

    # --- names ---------------------------------------------------------------------------------

    def _use(self, line: int, *names: str, shown: str = "") -> None:
        self.uses.append(Use(names, line, shown))

    def _refer(self, node: ast.expr | ast.alias, name: str) -> Imported:
        """Record the use of an imported name, unless it is a module."""
        found = Imported(name)
        if not name.islower() or self._mapping.find(name):
            self._use(node.lineno, name)
        return found

    def _bind(self, target: ast.expr, value: Known) -> None:
        match target:
            case ast.Name(id=name):
                self._scopes[-1].variables[name] = value
                self._narrowed.pop(name, None)
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                if value is not None:
                    self._knowledge.attributes.setdefault((self._class, name), value)
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                for element in elements:
                    self._bind(element, None)
            case _:
                self.visit(target)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            root = alias.name.partition(".")[0]
            if root in {"agents", "asyncio"}:
                imported = alias.name if alias.asname else root
                self._scopes[-1].variables[alias.asname or root] = Imported(imported)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        if node.level or module.partition(".")[0] not in {"agents", "asyncio"}:
            return
        for alias in node.names:
            name = self._canonical(f"{module}.{alias.name}")
            self._scopes[-1].variables[alias.asname or alias.name] = self._refer(alias, name)

    def _canonical(self, path: str) -> str:
        """Return the name under which the tables list what is imported as ``path``."""
        last = path.rpartition(".")[2]
        if path.startswith(REALTIME):
            return last if self._mapping.find(last) or last[0].isupper() else path
        if path.startswith("agents.") and not self._mapping.find(path):
            return self._mapping.find_last(last) or path
        return path

    def visit_Name(self, node: ast.Name) -> Known:
        if node.id in self._narrowed:
            return self._narrowed[node.id]
        for scope in reversed(self._scopes):
            if node.id in scope.variables:
                known = scope.variables[node.id]
                if isinstance(known, Imported):
                    return self._refer(node, known.name)
                return known or guess(node.id)
        return guess(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> Known:
        owner = self.visit(node.value)
        if isinstance(owner, Imported):
            return self._refer(node, self._canonical(f"{owner.name}.{node.attr}"))
        narrowed = self._narrowed.get(ast.unparse(node))
        if isinstance(owner, Instance):
            return narrowed or self._member(node, owner.of, node.attr)
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            known = self._knowledge.attributes.get((self._class, node.attr))
            return narrowed or known or guess(node.attr)
        return narrowed or guess(node.attr)

    def _member(self, node: ast.expr, owner: str, name: str) -> Known:
        """Record the use of a field or method. Collections have methods that are no names of the SDK."""
        if name in COLLECTION_METHODS:
            return Instance(owner)
        names = [f"{of}.{name}" for of in (owner, *related(owner, name))]
        is_event_type = name == "type" and not is_configuration(owner)
        if not is_event_type and self._mapping.find(*names):
            self._use(node.lineno, *names)
        member = next((MEMBER_TYPES[name] for name in names if name in MEMBER_TYPES), None)
        return Instance(member) if member else None

    # --- calls ---------------------------------------------------------------------------------

    def visit_Call(self, node: ast.Call) -> Known:
        before = len(self.uses)
        function = self.visit(node.func)
        called = self._called(node, function, new_uses=self.uses[before:])
        arguments: dict[int | str, Known] = {
            index: self.visit(argument) for index, argument in enumerate(node.args)
        }
        for keyword in node.keywords:
            arguments[keyword.arg or ""] = self._keyword(keyword, called)
        if isinstance(function, Imported):
            result = MEMBER_TYPES.get(function.name)
            is_ours = is_class(function.name) and not function.name.startswith("asyncio.")
            return Instance(result) if result else Instance(function.name) if is_ours else None
        if called:
            return function
        own = self._own_function(node.func)
        if own is None:
            return function if isinstance(function, Instance) else None
        learned = self._knowledge.parameters.setdefault(own, {})
        learned.update({key: known for key, known in arguments.items() if known is not None})
        return self._knowledge.returns.get(own)

    def _called(self, node: ast.Call, function: Known, new_uses: list[Use]) -> str:
        """Return the name of the function or method of the SDK that is called."""
        if isinstance(function, Imported):
            if function.name.islower() and not self._mapping.find(function.name):
                self._use(node.lineno, function.name)
            return function.name
        last = new_uses[-1].names[0] if new_uses else ""
        is_method = isinstance(node.func, ast.Attribute) and last.endswith(f".{node.func.attr}")
        return last if is_method else ""

    def _keyword(self, keyword: ast.keyword, called: str) -> Known:
        if not called or keyword.arg is None:
            return self.visit(keyword.value)
        option, field = f"{called}({keyword.arg}=)", f"{called}.{keyword.arg}"
        names = (field, option) if is_class(called) else (option,)
        if not called.startswith("asyncio."):
            self._use(keyword.value.lineno, *names, shown=option)
        expected = next((MEMBER_TYPES[name] for name in names if name in MEMBER_TYPES), "")
        return self._visit_expected(keyword.value, expected)

    def _own_function(self, function: ast.expr) -> str | None:
        match function:
            case ast.Name(id=name):
                return name
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                return f"{self._class}.{name}"
            case _:
                return None

    # --- configurations ------------------------------------------------------------------------

    def _visit_expected(self, node: ast.expr, expected: str) -> Known:
        """Visit a value that is a configuration of the given type if it is a dictionary."""
        match node:
            case ast.Dict() if expected:
                return self._visit_configuration(node, expected)
            case ast.Name(id=name) if expected:
                self._knowledge.expected[self._home_of(name), name] = expected
            case _:
                pass
        return self.visit(node)

    def _home_of(self, variable: str) -> str:
        scopes = (scope for scope in reversed(self._scopes) if variable in scope.variables)
        return next((scope.name for scope in scopes), "")

    def visit_Dict(self, node: ast.Dict) -> Known:
        keys = (key.value for key in node.keys if isinstance(key, ast.Constant))
        expected = next((CONFIG_KEYS[key] for key in keys if key in CONFIG_KEYS), None)
        if expected:
            return self._visit_configuration(node, expected)
        self.generic_visit(node)
        return None

    def _visit_configuration(self, node: ast.Dict, expected: str) -> Instance:
        for key, value in zip(node.keys, node.values, strict=True):
            text = key.value if isinstance(key, ast.Constant) else None
            name = f"{expected}.{text}" if isinstance(text, str) else ""
            if name:
                self._use(value.lineno if key is None else key.lineno, name)
            elif key is not None:
                self.visit(key)
            self._visit_expected(value, MEMBER_TYPES.get(name, ""))
        return Instance(expected)

    def visit_Subscript(self, node: ast.Subscript) -> Known:
        owner = self.visit(node.value)
        if isinstance(owner, Instance) and isinstance(node.slice, ast.Constant):
            if is_configuration(owner.of) and isinstance(node.slice.value, str):
                return self._member(node, owner.of, node.slice.value)
            return owner
        inner = self.visit(node.slice)
        return owner or inner  # an item of a collection, or an annotation such as dict[str, X]

    # --- statements ----------------------------------------------------------------------------

    def visit_Assign(self, node: ast.Assign) -> None:
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        expected = (self._knowledge.expected.get((self._scopes[-1].name, name)) for name in names)
        value = self._visit_expected(node.value, next(filter(None, expected), ""))
        for target in node.targets:
            self._bind(target, value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        declared = self._annotation(node.annotation)
        expected = declared.of if isinstance(declared, Instance) else ""
        value = self._visit_expected(node.value, expected) if node.value else None
        self._bind(node.target, declared or value)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> Known:
        value = self.visit(node.value)
        self._bind(node.target, value)
        return value

    def _annotation(self, node: ast.expr | None) -> Known:
        """Record the names in an annotation, and return an instance of the first class among them."""
        if node is None:
            return None
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                quoted = ast.parse(node.value, mode="eval").body
            except SyntaxError:
                return None
            for part in ast.walk(quoted):
                ast.copy_location(part, node)
            node = quoted
        before = len(self.uses)
        known = self.visit(node)
        if known is None and len(self.uses) > before:
            known = Imported(self.uses[-1].names[0])
        return Instance(known.name) if isinstance(known, Imported) else known

    def visit_BinOp(self, node: ast.BinOp) -> Known:
        left, right = self.visit(node.left), self.visit(node.right)
        return left or right if isinstance(node.op, ast.BitOr) else None

    def visit_Await(self, node: ast.Await) -> Known:
        return self.visit(node.value)

    def visit_IfExp(self, node: ast.IfExp) -> Known:
        self.visit(node.test)
        body, otherwise = self.visit(node.body), self.visit(node.orelse)
        return body or otherwise

    def visit_With(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            value = self.visit(item.context_expr)
            if item.optional_vars is not None:
                self._bind(item.optional_vars, value)
        for statement in node.body:
            self.visit(statement)

    visit_AsyncWith = visit_With  # noqa: N815

    def _iterate(self, target: ast.expr, iterable: ast.expr, *, is_async: bool) -> None:
        value = self.visit(iterable)
        if is_async and isinstance(value, Instance):
            value = Instance(MEMBER_TYPES.get(f"{value.of}.__aiter__", value.of))
        self._bind(target, value)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self._iterate(node.target, node.iter, is_async=bool(node.is_async))
        for condition in node.ifs:
            self.visit(condition)

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> Known:
        for generator in node.generators:
            self.visit(generator)
        return self.visit(node.elt)

    visit_SetComp = visit_GeneratorExp = visit_ListComp  # noqa: N815

    def visit_DictComp(self, node: ast.DictComp) -> Known:
        for generator in node.generators:
            self.visit(generator)
        self.visit(node.key)
        return self.visit(node.value)

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self._iterate(node.target, node.iter, is_async=isinstance(node, ast.AsyncFor))
        for statement in (*node.body, *node.orelse):
            self.visit(statement)

    visit_AsyncFor = visit_For  # noqa: N815

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        bases = [self.visit(base) for base in node.bases]
        for decorator in node.decorator_list:
            self.visit(decorator)
        outer, self._class = self._class, node.name
        names = [base.name for base in bases if isinstance(base, Imported)]
        for statement in node.body:
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef) and names:
                self._overridden(statement, names)
            self.visit(statement)
        self._class = outer

    def _overridden(self, method: ast.FunctionDef | ast.AsyncFunctionDef, bases: list[str]) -> None:
        """A method that overrides one of the SDK, such as a hook, uses its name."""
        for base in bases:
            found = self._mapping.find(f"{base}.{method.name}")
            if found and found[1].note:
                self._use(method.lineno, found[0])

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for decorator in node.decorator_list:
            self.visit(decorator)
        name = f"{self._class}.{node.name}" if self._class else node.name
        scope = Scope(f"{self._scopes[-1].name}.{name}", name)
        passed = self._knowledge.parameters.get(name, {})
        arguments = node.args
        positional = [*arguments.posonlyargs, *arguments.args]
        if self._class and positional and positional[0].arg in {"self", "cls"}:
            positional = positional[1:]
        for index, argument in enumerate((*positional, *arguments.kwonlyargs)):
            known = self._annotation(argument.annotation)
            scope.variables[argument.arg] = known or passed.get(index) or passed.get(argument.arg)
        for default in (*arguments.defaults, *filter(None, arguments.kw_defaults)):
            self.visit(default)
        returned = self._annotation(node.returns)
        if returned is not None:
            self._knowledge.returns[name] = returned
        self._later.append((node, [*self._scopes, scope], self._class))

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_Return(self, node: ast.Return) -> None:
        value = self.visit(node.value) if node.value else None
        if isinstance(value, Instance):
            self._knowledge.returns.setdefault(self._scopes[-1].function, value)

    # --- narrowing -----------------------------------------------------------------------------

    def visit_If(self, node: ast.If) -> None:
        narrowed = self._test(node.test)
        with self._narrow(narrowed):
            for statement in node.body:
                self.visit(statement)
        for statement in node.orelse:
            self.visit(statement)

    @contextmanager
    def _narrow(self, narrowed: dict[str, Known]) -> Generator[None]:
        before = dict(self._narrowed)
        self._narrowed.update(narrowed)
        yield
        self._narrowed = before

    def _test(self, test: ast.expr) -> dict[str, Known]:
        """Visit a condition, and return what it says about the types of variables."""
        match test:
            case ast.BoolOp(op=ast.And(), values=values):
                narrowed: dict[str, Known] = {}
                for value in values:
                    with self._narrow(narrowed):
                        narrowed |= self._test(value)
                return narrowed
            case ast.Call(func=ast.Name(id="isinstance"), args=[subject, classes]):
                self.visit(subject)
                known = self._annotation(
                    classes.elts[0] if isinstance(classes, ast.Tuple) else classes
                )
                for other in classes.elts[1:] if isinstance(classes, ast.Tuple) else ():
                    self.visit(other)
                return {ast.unparse(subject): known} if known else {}
            case ast.Compare(left=ast.Attribute(attr="type") as left, comparators=[right]):
                owner = self.visit(left.value)
                return self._types(left.value, owner, right)
            case _:
                self.visit(test)
                return {}

    def visit_Compare(self, node: ast.Compare) -> None:
        if isinstance(node.left, ast.Attribute) and node.left.attr == "type":
            self._test(node)
        else:
            self.generic_visit(node)

    def _types(self, subject: ast.expr, owner: Known, values: ast.expr) -> dict[str, Known]:
        """Record the event types that ``event.type`` is compared with."""
        constants = [node for node in ast.walk(values) if isinstance(node, ast.Constant)]
        found = [self._event_type(constant, owner) for constant in constants]
        only = found[0] if len(found) == 1 else ""
        return {ast.unparse(subject): Instance(only)} if only else {}

    def _event_type(self, constant: ast.Constant, owner: Known) -> str:
        value = constant.value
        if not isinstance(value, str) or not isinstance(owner, Instance):
            return ""
        of_model = owner.of.startswith("RealtimeModel")
        types = MODEL_EVENT_TYPES if of_model else EVENT_TYPES
        name = types.get(value, "") if owner.of.startswith("Realtime") else ""
        if name:
            self._use(constant.lineno, name, shown=f'{name} (type "{value}")')
        return name

    def visit_Match(self, node: ast.Match) -> None:
        subject = node.subject
        by_type = isinstance(subject, ast.Attribute) and subject.attr == "type"
        expression = subject.value if isinstance(subject, ast.Attribute) and by_type else subject
        owner = self.visit(expression)
        for case in node.cases:
            narrowed = self._pattern(case.pattern, expression, owner, by_type=by_type)
            if case.guard is not None:
                self.visit(case.guard)
            with self._narrow(narrowed):
                for statement in case.body:
                    self.visit(statement)

    def _pattern(
        self, pattern: ast.pattern, subject: ast.expr, owner: Known, *, by_type: bool
    ) -> dict[str, Known]:
        match pattern:
            case ast.MatchValue(value=ast.Constant() as constant) if by_type:
                name = self._event_type(constant, owner)
                return {ast.unparse(subject): Instance(name)} if name else {}
            case ast.MatchClass(cls=cls, kwd_attrs=names):
                known = self._annotation(cls)
                if isinstance(known, Instance):
                    for name in names:
                        self._member(cls, known.of, name)
                    return {ast.unparse(subject): known}
            case ast.MatchOr(patterns=patterns):
                for alternative in patterns:
                    self._pattern(alternative, subject, owner, by_type=by_type)
            case _:
                pass
        return {}


def related(owner: str, field: str) -> Iterator[str]:
    """Yield the members of a union that have a field, or the unions that a class is a member of."""
    for member in UNIONS.get(owner, ()):
        if field in EVENT_FIELDS.get(member, (field,)):
            yield member
    yield from (union for union, members in UNIONS.items() if owner in members)


def is_configuration(name: str) -> bool:
    """Return whether a class of the SDK is a dictionary of settings."""
    return name.endswith(("Config", "Settings"))


def is_class(name: str) -> bool:
    """Return whether the last part of a name is written like that of a class."""
    return name.rpartition(".")[2][:1].isupper()


def guess(name: str) -> Known:
    """Guess what a variable is whose value cannot be followed."""
    guesses: Iterable[str] = (of for end, of in GUESSES.items() if name.endswith(end))
    return next(map(Instance, guesses), None)
