"""Rules for the sections: variables, the fence, the brand, length, secrets."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from jinja2 import TemplateSyntaxError, nodes

from evals.linting.draft import SECRETS, Draft, Found, near, nearest
from steps.text_model.brand import BRAND_FILE, BRAND_ID, NO_BRAND, Brand
from steps.text_model.fence import FENCE_CLOSE, FENCE_OPEN
from steps.text_model.templates import GIVEN_NAMES, ROLES, environment

TOKENS_MAX = 2_000  # of one section: past this, models begin to overlook rules
CHARACTERS_PER_TOKEN = 4
UNKNOWN_TAG = re.compile(r"unknown tag '(\w+)'")
TAGS = ("if", "elif", "else", "endif", "for", "endfor", "set", "endset", "filter", "endfilter", "with", "endwith")


def sections(draft: Draft) -> Found:
    names = [name for name, _, _ in draft.sections]
    for place, (name, line, _) in enumerate(draft.sections):
        if name not in ROLES:
            yield draft.problem(line, "section", f"## {name} is not a section{near(name, ROLES) or '; remove it'}")
        elif name in names[:place]:
            yield draft.problem(line, "section", f"## {name} appears twice; merge them")
    for name in ROLES:
        if name not in names and draft.front:
            yield draft.problem(draft.body_starts + 1, "section", f"## {name} is missing; add it")


def syntax(draft: Draft) -> Found:
    for name, line, text in draft.sections:
        try:
            environment().parse(text)
            environment().from_string(text)
        except TemplateSyntaxError as error:
            tag = UNKNOWN_TAG.search(error.message or "")
            meant = near(tag[1], TAGS) if tag else ""
            words = f"{error.message} in ## {name}{meant or '; Jinja syntax is {{ name }} and {% if ... %}'}"
            yield draft.problem(line + error.lineno - 1, "syntax", words)


def undeclared(draft: Draft) -> Found:
    known = set(draft.inputs) | GIVEN_NAMES
    for name in sorted(draft.used - known) if draft.inputs else ():
        hint = near(name, known) or "; declare it under inputs, or remove it"
        line = draft.line_of(rf"{{[{{%].*\b{re.escape(name)}\b", draft.body_starts)
        yield draft.problem(line, "undeclared", f"`{name}` is not an input{hint}")


def unused(draft: Draft) -> Found:
    whole = len(draft.trees) == len(draft.sections)  # an unreadable section may use it
    misspelt = {nearest(name, draft.inputs) for name in draft.used - set(draft.inputs) - GIVEN_NAMES}
    for name in sorted(set(draft.inputs) - draft.used - misspelt) if draft.sections and whole else ():
        free = name in _free(draft)
        words = f"`{name}` is never used; write {{{{ {f'fenced({name})' if free else name} }}}} where it belongs"
        yield draft.problem(draft.input_line(name), "unused", words)


def mistyped(draft: Draft) -> Found:
    """`language == "sp"`: a comparison that is never true."""
    for start, tree in draft.trees:
        for compare in tree.find_all(nodes.Compare):
            if not isinstance(compare.expr, nodes.Name) or compare.expr.name not in draft.inputs:
                continue
            spec = draft.inputs[compare.expr.name]
            for operand in compare.ops:
                for value in _constants(operand.expr):
                    if words := _never(compare.expr.name, spec, value):
                        yield draft.problem(start + compare.lineno - 1, "mistyped", words)


def _constants(node: nodes.Expr) -> list[object]:
    found = [node] if isinstance(node, nodes.Const) else node.find_all(nodes.Const)
    values = [const.value for const in found]
    return [each for value in values for each in (value if isinstance(value, list | tuple) else [value])]


def _never(name: str, spec: Mapping[str, Any], value: object) -> str | None:
    values = [str(each) for each in spec.get("values") or []]
    if values and value not in values:
        return f"`{name}` is never {value!r}{near(str(value), values) or '; it is ' + ', '.join(values)}"
    if spec.get("type") == "int" and type(value) is not int:
        return f"`{name}` is a number and never {value!r}; write it without quotes"
    return None


def brand_names(draft: Draft) -> Found:
    known = [name for name in Brand.__dataclass_fields__ if name not in {"text", "sha256"}]
    for start, tree in draft.trees:
        for got in tree.find_all(nodes.Getattr):
            if isinstance(got.node, nodes.Name) and got.node.name == BRAND_ID and got.attr not in known:
                hint = near(got.attr, known) or f"; it has {', '.join(known)}"
                yield draft.problem(start + got.lineno - 1, "brand-name", f"the brand has no `{got.attr}`{hint}")
    if BRAND_ID in draft.used and draft.brand == NO_BRAND:
        yield draft.problem(
            draft.line_of(r"\bbrand\.", draft.body_starts),
            "brand-name",
            f"uses the brand, but {BRAND_FILE} is missing or broken",
        )


def fence(draft: Draft) -> Found:
    """Free text is printed inside `fenced(...)` and nowhere else."""
    free = _free(draft)
    for start, tree in draft.trees:
        for output in tree.find_all(nodes.Output):
            for part in output.nodes:
                for name in _bare(part):
                    if name in free:
                        words = f"`{name}` is free text outside its fence; write {{{{ fenced({name}) }}}}"
                        yield draft.problem(start + part.lineno - 1, "fence", words)


def _free(draft: Draft) -> set[str]:
    """Inputs that hold what users or models wrote."""
    return {name for name, spec in draft.inputs.items() if spec.get("type") == "str" and not spec.get("values")}


def _bare(node: nodes.Node) -> Iterator[str]:
    """Names in an expression that are not inside a call of `fenced`."""
    if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) and node.node.name == "fenced":
        return
    if isinstance(node, nodes.Name):
        yield node.name
    if isinstance(node, nodes.CondExpr):  # its condition is not printed
        for branch in (node.expr1, node.expr2):
            if branch is not None:
                yield from _bare(branch)
        return
    for child in node.iter_child_nodes():
        yield from _bare(child)


def marks(draft: Draft) -> Found:
    for number, line in enumerate(draft.text.split("\n"), 1):
        if number > draft.body_starts and (FENCE_OPEN in line or FENCE_CLOSE in line):
            words = "a fence mark is written by hand; only {{ fenced(...) }} may write it"
            yield draft.problem(number, "fence-mark", words)


def comments(draft: Draft) -> Found:
    for number, line in enumerate(draft.text.split("\n"), 1):
        if number > draft.body_starts and "<!--" in line:
            words = "this comment is sent to the model; write {# ... #} instead"
            yield draft.problem(number, "comment", words, error=False)


def length(draft: Draft) -> Found:
    for name, line, text in draft.sections:
        tokens = len(text) // CHARACTERS_PER_TOKEN
        if tokens > TOKENS_MAX:
            words = f"## {name} has about {tokens} tokens; past {TOKENS_MAX} models overlook rules: shorten it"
            yield draft.problem(line, "too-long", words, error=False)


def secrets(draft: Draft) -> Found:
    for number, line in enumerate(draft.text.split("\n"), 1):
        if SECRETS.search(line):
            words = "looks like a secret, which would go to the model and into git; remove it and revoke it"
            yield draft.problem(number, "secret", words)


RULES = (sections, syntax, undeclared, unused, mistyped, brand_names, fence, marks, comments, length, secrets)
