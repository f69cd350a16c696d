"""Shaking: the declarations at a file's top that only what a form leaves out has used. Pure.

So an import that only step bodies use is not loaded into a workflow, nor is a client made there
for them. A declaration that nothing used before stays, and so does what is exported.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from tree_sitter import Node

from .parse import Source
from .rewriting import Rewriting
from .scopes import Scopes

__all__ = ("drop_unused",)

_DECLARATIONS = frozenset(
    {
        "import_statement",
        "function_declaration",
        "generator_function_declaration",
        "class_declaration",
        "lexical_declaration",
        "variable_declaration",
    }
)


def drop_unused(
    source: Source,
    scopes: Scopes,
    removed: Sequence[tuple[int, int]],
    rewriting: Rewriting,
    *,
    keep: Iterable[int],
) -> list[Node]:
    """Take away the declarations that are used in the *removed* pieces, and in nothing that stays.

    Args:
        removed: first and last byte of each piece, in order and apart.
        keep: places whose statements stay.

    Returns:
        the statements that go.
    """
    statements = source.root.named_children
    starts = [statement.start_byte for statement in statements]
    cuts = [piece[0] for piece in removed]
    owners = {
        name: index
        for index, statement in enumerate(statements)
        if statement.type in _DECLARATIONS
        for name in _names(statement, scopes, source)
    }
    uses: dict[int, set[int]] = {}
    losses: set[int] = set()
    for reference in scopes.references:
        target = owners.get(reference.name)
        scope = reference.scope.find(reference.name)
        if target is None or scope is None or not scope.is_module:
            continue
        piece = bisect_right(cuts, reference.place) - 1
        if piece >= 0 and reference.place < removed[piece][1]:
            losses.add(target)
        else:
            uses.setdefault(bisect_right(starts, reference.place) - 1, set()).add(target)
    within = {bisect_right(starts, place) - 1 for place in (*cuts, *keep)}
    candidates = _reached(losses, uses) - within
    live = _reached((k for k in range(len(statements)) if k not in candidates), uses)
    unused = [statements[k] for k in sorted(candidates - live)]
    for statement in unused:
        rewriting.drop(statement.start_byte, statement.end_byte)
    return unused


def _names(statement: Node, scopes: Scopes, source: Source) -> list[str]:
    """The names of the module that a statement declares."""
    stack, names = [statement], list[str]()
    while stack:
        node = stack.pop()
        if node.type in {"identifier", "shorthand_property_identifier_pattern"}:
            if scopes.declares(node):
                names.append(source.name(node))
        elif node.type not in {"statement_block", "class_body", "formal_parameters"}:
            stack.extend(child for child in node.named_children if not _is_value(node, child))
    return names


def _is_value(node: Node, child: Node) -> bool:
    return node.type == "variable_declarator" and child == node.child_by_field_name("value")


def _reached(first: Iterable[int], uses: dict[int, set[int]]) -> set[int]:
    """The statements that these use, and those that they use in turn, with themselves."""
    reached: set[int] = set()
    pending = list(first)
    while pending:
        statement = pending.pop()
        if statement not in reached:
            reached.add(statement)
            pending.extend(uses.get(statement, ()))
    return reached
