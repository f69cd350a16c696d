"""Step form: a module in which each step is a function that is registered by its id. Pure.

Steps stay where they are. One within a function is registered as a function of its closure: where
it stands, if a workflow is around it, since of a workflow nothing else stays; else at the module's
end. Workflows become functions that throw.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tree_sitter import Node

from .directives import FoundWorkflow
from .parse import Source
from .paths import module_path
from .rewriting import Rewriting, quoted
from .step_functions import DECLARATION, GETTER, MEMBER, PROPERTY, VALUE, StepFunction
from .workflow_form import scope_start

__all__ = ("write_registrations", "write_stubs")

_REGISTER = 'globalThis[Symbol.for("PERDURE_STEP")]'
_REFERENCE = 'globalThis[Symbol.for("PERDURE_REFERENCE")]'
_NAMED = "__perdure_step"  # registers a function and is its value
_GETTERS = "__perdure_getters"  # likewise the getters of an object, by their names
_HEAD = (
    f"const {_NAMED} = (id, step) => ({_REGISTER}(id, step), step), "
    f"{_GETTERS} = (object, ids) => {{ for (const name in ids) {_REGISTER}(ids[name], "
    "Object.getOwnPropertyDescriptor(object, name).get); return object; }; "
)
_THIS = "__perdure_this"


def write_stubs(
    source: Source,
    workflows: Sequence[tuple[FoundWorkflow, Node]],
    steps: Iterable[StepFunction],
    rewriting: Rewriting,
) -> None:
    """Replace workflows; the steps within are registered where they stand."""
    within = list(steps)
    for workflow, body in workflows:
        inner = [step for step in within if _contains(body, step.node)]
        _write_stub(source, workflow, body, _outer(inner), rewriting)


def write_registrations(
    source: Source,
    steps: Sequence[StepFunction],
    workflows: Sequence[Node],
    rewriting: Rewriting,
) -> None:
    """Register the steps that are within no workflow, and those within another step, too.

    Args:
        workflows: their functions.
    """
    tail: list[str] = []
    needs_head = False
    objects: dict[int, tuple[Node, dict[str, str]]] = {}
    for step in steps:
        if any(_contains(body, step.node) for body in workflows) and not _inner(step, steps):
            continue
        if step.is_nested:
            tail.append(f"{_REGISTER}({quoted(step.id)}, {_factory(step, rewriting)});")
            _write_reference(step, rewriting)
        elif step.form == GETTER and step.node.parent is not None:
            owner = objects.setdefault(step.node.parent.start_byte, (step.node.parent, {}))
            owner[1][step.name] = step.id
        else:
            needs_head |= _write_registration(step, rewriting)
    for node, ids in objects.values():
        table = ", ".join(f"{quoted(name)}: {quoted(id_)}" for name, id_ in ids.items())
        rewriting.insert(node.start_byte, f"{_GETTERS}(")
        rewriting.insert(node.end_byte, f", {{ {table} }})")
    if needs_head or objects:
        rewriting.insert(_head_place(source.root), _HEAD)
    if tail:
        rewriting.insert(len(source.script), "\n;" + "\n".join(tail) + "\n")


def _write_reference(step: StepFunction, rewriting: Rewriting) -> None:
    """Mark a function that stays where it is as a reference to its step, with its closure."""
    node = step.node
    values = [*step.captures, *(("this",) if step.keeps_this else ())]
    closure = f"() => [{', '.join(values)}]"
    if step.form == DECLARATION and node.parent is not None:
        text = f"{_REFERENCE}({quoted(step.id)}, {step.name}, {closure}); "
        rewriting.insert(scope_start(node.parent, node), text)
    elif step.form in {VALUE, PROPERTY}:
        before, after = _wrapped(step)
        key = f"{_key_text(step, rewriting)}: " if step.form == PROPERTY else ""
        rewriting.insert(node.start_byte, f"{key}{_REFERENCE}({quoted(step.id)}, {before}")
        rewriting.insert(node.end_byte, f"{after}, {closure})")


def _contains(outer: Node, inner: Node) -> bool:
    return outer.start_byte < inner.start_byte and inner.end_byte <= outer.end_byte


def _inner(step: StepFunction, steps: Iterable[StepFunction]) -> bool:
    """Whether another step is around it."""
    return any(_contains(other.node, step.node) for other in steps)


def _outer(steps: Sequence[StepFunction]) -> list[StepFunction]:
    return [step for step in steps if not _inner(step, steps)]


def _head_place(root: Node) -> int:
    first = root.named_children[0]
    return first.end_byte + 1 if first.type == "hash_bang_line" else 0


def _statement(node: Node) -> Node:
    """The statement that a declaration is, with its ``export``."""
    parent = node.parent
    is_exported = parent is not None and parent.type == "export_statement"
    return parent if is_exported and parent is not None else node


def _write_registration(step: StepFunction, rewriting: Rewriting) -> bool:
    """Register a step where it stands. Returns whether that needs the module's head."""
    node = step.node
    if step.form == DECLARATION:
        text = f" ;{_REGISTER}({quoted(step.id)}, {step.name});"
        rewriting.insert(_statement(node).end_byte, text)
        return False
    if step.form == MEMBER:
        text = f" static {{ {_REGISTER}({quoted(step.id)}, {_member(step)}); }}"
        rewriting.insert(node.end_byte, text)
        return False
    declaration = _declaration(step)
    if declaration is not None:
        text = f" ;{_REGISTER}({quoted(step.id)}, {step.name});"
        rewriting.insert(_statement(declaration).end_byte, text)
        return False
    before, after = _wrapped(step)
    key = f"{_key_text(step, rewriting)}: " if step.form == PROPERTY else ""
    rewriting.insert(node.start_byte, f"{key}{_NAMED}({quoted(step.id)}, {before}")
    rewriting.insert(node.end_byte, f"{after})")
    return True


def _declaration(step: StepFunction) -> Node | None:
    """The declaration of the variable that it is the value of, if that is a statement."""
    declarator = step.node.parent
    if step.form != VALUE or declarator is None or declarator.type != "variable_declarator":
        return None
    declaration = declarator.parent
    holder = None if declaration is None else declaration.parent
    is_statement = holder is not None and holder.type in {
        "program",
        "export_statement",
        "statement_block",
    }
    return declaration if is_statement and step.name else None


def _member(step: StepFunction) -> str:
    """An expression for a class's member in the class's own block."""
    words = {child.type for child in step.node.children}
    owner = "this" if "static" in words else "this.prototype"
    if "get" in words:
        return f"Object.getOwnPropertyDescriptor({owner}, {quoted(step.name)}).get"
    return f"{owner}[{quoted(step.name)}]"


def _wrapped(step: StepFunction) -> tuple[str, str]:
    """The text before and after an expression, so that the function has its name."""
    if step.form == PROPERTY:
        return ("{ ", f" }}[{quoted(step.name)}]") if step.name else ("Object.values({ ", " })[0]")
    if not step.name or step.node.child_by_field_name("name") is not None:
        return "", ""
    return f"{{ {quoted(step.name)}: ", f" }}[{quoted(step.name)}]"


def _key_text(step: StepFunction, rewriting: Rewriting) -> str:
    name = step.node.child_by_field_name("name")
    assert name is not None
    return rewriting.of(name)


def _parts(step: StepFunction) -> tuple[str, str]:
    """The text before and after a step's function in a function of its closure."""
    names = [*step.captures, *((_THIS,) if step.keeps_this else ())]
    is_bound = step.form == DECLARATION or (step.form == VALUE and _binds(step))
    if is_bound:
        retries = f" {step.name}.maxRetries = {step.max_retries};" if step.max_retries else ""
        before, after = f"{{ const {step.name} = ", f";{retries} return {step.name}; }}"
    elif step.form == GETTER:
        key = quoted(step.name)
        before, after = "(Object.getOwnPropertyDescriptor({ ", f" }}, {key}).get)"
    else:
        inner = _wrapped(step)
        before, after = f"({inner[0]}", f"{inner[1]})"
    if not step.keeps_this:
        return f"([{', '.join(names)}]) => {before}", after
    if not is_bound:
        before, after = f"{{ return {before}", f"{after}; }}"
    return f"([{', '.join(names)}]) => (function () {before}", f"{after}).call({_THIS})"


def _binds(step: StepFunction) -> bool:
    parent = step.node.parent
    return bool(step.name) and parent is not None and parent.type == "variable_declarator"


def _factory(step: StepFunction, rewriting: Rewriting) -> str:
    before, after = _parts(step)
    return f"{before}{rewriting.of(step.node)}{after}"


def _write_stub(
    source: Source,
    workflow: FoundWorkflow,
    body: Node,
    steps: Sequence[StepFunction],
    rewriting: Rewriting,
) -> None:
    before, between, after = _stub(source, workflow, body)
    place = body.start_byte
    text = before
    for step in steps:
        head, tail = _parts(step)
        text += f"{_REGISTER}({quoted(step.id)}, {head}"
        rewriting.replace(place, step.node.start_byte, text)
        place = step.node.end_byte
        text = f"{tail}){between}"
    rewriting.replace(place, body.end_byte, text + after)


def _stub(source: Source, workflow: FoundWorkflow, body: Node) -> tuple[str, str, str]:
    """The text before the steps of a workflow, between them, and after them."""
    name = workflow.path.rpartition(".")[2]
    advice = f'a workflow cannot be called in a step: start {name}, with start from "workflow/api"'
    throws = f"{{ throw new Error({quoted(advice)}); }}"
    id_ = quoted(f"workflow//{module_path(source.file)}//{workflow.path}")
    parent = body.parent
    if body.type == "method_definition":
        head = f"static async {name}() {throws} static {{ this.{name}.workflowId = {id_}; "
        return head, "; ", "}"
    is_declared = body.type == "function_declaration"
    if is_declared and (parent is None or parent.type in {"program", "export_statement"}):
        return f"async function {name}() {throws} {name}.workflowId = {id_}; ", "; ", ""
    value = f"async () => {throws}"
    return "(", ", ", f"Object.assign({value}, {{ workflowId: {id_} }}))"
