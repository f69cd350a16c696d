"""Workflow form: a module in which each step is a proxy that asks the host to run it. Pure.

A proxy stands where the step's function stood, so lines stay. One that was declared by
``function`` may be called above its declaration, so its proxy stands where its scope begins.
"""

from __future__ import annotations

from collections.abc import Iterable

from tree_sitter import Node

from .parse import Source
from .rewriting import Rewriting, quoted
from .scopes import FUNCTIONS
from .step_functions import (
    DECLARATION,
    GETTER,
    MEMBER,
    PROPERTY,
    StepFunction,
)

__all__ = ("outermost", "scope_start", "write_proxies")

_USE_STEP = 'globalThis[Symbol.for("WORKFLOW_USE_STEP")]'


def write_proxies(source: Source, steps: Iterable[StepFunction], rewriting: Rewriting) -> None:
    """Replace steps by their proxies; those within others go with them."""
    for step in outermost(steps):
        if step.form == DECLARATION:
            _write_declared(source, step, rewriting)
        elif step.form == MEMBER:
            _write_member(source, step, rewriting)
        else:
            _write_value(source, step, rewriting)


def outermost(steps: Iterable[StepFunction]) -> list[StepFunction]:
    """The steps that are within no other; all are in the order of the source."""
    outer: list[StepFunction] = []
    for step in steps:
        if not outer or step.node.start_byte >= outer[-1].node.end_byte:
            outer.append(step)
    return outer


def _proxy(step: StepFunction) -> str:
    values = [*step.captures, *(("this",) if step.keeps_this else ())]
    closure = f", () => [{', '.join(values)}]" if values else ""
    return f"{_USE_STEP}({quoted(step.id)}{closure})"


def _write_declared(source: Source, step: StepFunction, rewriting: Rewriting) -> None:
    node = step.node
    parent = node.parent
    name = node.child_by_field_name("name")
    assert parent is not None
    assert name is not None
    word = "let" if _is_block(parent) else "var"
    rewriting.insert(scope_start(parent, node), f"{word} {source.of(name)} = {_proxy(step)}; ")
    if parent.type != "export_statement":
        rewriting.drop(node.start_byte, node.end_byte)
        return
    is_default = any(child.type == "default" for child in parent.children)
    alias = f"{source.of(name)} as default" if is_default else source.of(name)
    rewriting.replace(parent.start_byte, parent.end_byte, f"export {{ {alias} }};")


def _is_block(parent: Node) -> bool:
    """Whether a function that stands directly in it is declared in a block."""
    if parent.type in {"program", "export_statement"}:
        return False
    outer = parent.parent
    return outer is None or (outer.type not in FUNCTIONS and outer.type != "class_static_block")


def scope_start(parent: Node, node: Node) -> int:
    """Where the scope of a declared function begins."""
    if parent.type == "statement_block":
        return parent.start_byte + 1
    if parent.type not in {"program", "export_statement"}:
        return node.start_byte  # of a switch, or a label's
    root = parent if parent.type == "program" else parent.parent
    assert root is not None
    first = root.named_children[0]
    return first.end_byte + 1 if first.type == "hash_bang_line" else 0


def _write_value(source: Source, step: StepFunction, rewriting: Rewriting) -> None:
    node = step.node
    name = node.child_by_field_name("name")
    proxy = _proxy(step)
    if step.form == PROPERTY and name is not None:
        proxy = f"{source.of(name)}: {proxy}"
    elif step.form == GETTER and name is not None:
        proxy = f"get {source.of(name)}() {{ return {proxy}(); }}"
    rewriting.replace(node.start_byte, node.end_byte, proxy)


def _write_member(source: Source, step: StepFunction, rewriting: Rewriting) -> None:
    node = step.node
    name = node.child_by_field_name("name")
    assert name is not None
    words = {child.type for child in node.children}
    target = "this" if "static" in words else "this.prototype"
    key = quoted(source.name(name))
    if "get" in words:
        static = "static " if "static" in words else ""
        text = f"{static}get {source.of(name)}() {{ return {_proxy(step)}.call(this); }}"
    else:
        descriptor = f"{{ value: {_proxy(step)}, writable: true, configurable: true }}"
        text = f"static {{ Object.defineProperty({target}, {key}, {descriptor}); }}"
    rewriting.replace(node.start_byte, node.end_byte, text)
