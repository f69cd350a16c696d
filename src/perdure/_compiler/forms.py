"""Forms: a file's JavaScript for workflows and for steps. Pure.

A file without steps has one form, its script, but for workflows that it must be made to export.
The means for steps are imported for a file that has some: they take 2 ms of a first start.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from tree_sitter import Node

from .._value_class import value_class
from .diagnostics import Diagnostic
from .directives import Directives, FoundWorkflow
from .parse import Source
from .paths import module_path
from .rewriting import Rewriting, quoted

if TYPE_CHECKING:
    from .scopes import Scopes
    from .step_functions import StepFunction
    from .value_classes import ValueClass

__all__ = ("FileForms", "Form")


@value_class
class Form:
    """One of the two forms."""

    script: str
    dropped: frozenset[int]  # imports that are not in it, by their first byte


class FileForms:
    """The forms of a file; each is written when it is asked for."""

    def __init__(self, source: Source, directives: Directives) -> None:
        self._source, self._directives = source, directives
        self._scopes: Scopes | None = None
        self.steps: list[StepFunction] = []
        self.classes: list[ValueClass] = []
        self.problems: list[Diagnostic] = []
        if directives.classes:
            from .value_classes import read_classes

            self.classes = read_classes(source, directives.classes, directives.steps)
        if directives.steps:
            from .scopes import Scopes
            from .step_functions import read_steps

            self._scopes = Scopes(source)
            self.steps, self.problems = read_steps(source, directives.steps, self._scopes)

    @property
    def workflows(self) -> list[FoundWorkflow]:
        """The file's workflows."""
        return self._directives.workflows

    @property
    def is_reached_by_others(self) -> bool:
        """Whether it has steps, or classes that may cross: workflows of other files have them."""
        return bool(self.steps or self.classes)

    def identities(self) -> Iterator[tuple[str, Node]]:
        """The id of each workflow and step, with its function."""
        path = module_path(self._source.file)
        for workflow, body in zip(self.workflows, self._directives.bodies, strict=True):
            yield f"workflow//{path}//{workflow.path}", body
        for step in self.steps:
            yield step.id, step.node
        for one in self.classes:
            yield one.id, one.node

    def workflow(self, classes: Sequence[ValueClass] = ()) -> Form:
        """The form for workflows.

        Args:
            classes: those of the file that cross.
        """
        rewriting = self._registered(classes)
        dropped = list[Node]()
        if self._scopes is not None:
            from .workflow_form import outermost, write_proxies

            write_proxies(self._source, self.steps, rewriting)
            pieces = [(step.node.start_byte, step.node.end_byte) for step in outermost(self.steps)]
            dropped = self._shake(self._scopes, pieces, classes, rewriting)
        for workflow in self._directives.workflows:
            if workflow.unexported:
                rewriting.insert(len(self._source.script), _export(workflow.unexported))
        return _form(rewriting, dropped)

    def step(self, classes: Sequence[ValueClass] = ()) -> Form:
        """The form for steps; *classes* as above."""
        source, directives = self._source, self._directives
        rewriting = self._registered(classes)
        if not (self.steps or directives.workflows):
            return _form(rewriting, [])
        from .scopes import Scopes
        from .step_form import write_registrations, write_stubs

        workflows = list(zip(directives.workflows, directives.bodies, strict=True))
        write_stubs(source, workflows, self.steps, rewriting)
        write_registrations(source, self.steps, directives.bodies, rewriting)
        scopes = self._scopes or Scopes(source)
        dropped = self._shake(scopes, self._left_out(), classes, rewriting)
        return _form(rewriting, dropped)

    def _registered(self, classes: Sequence[ValueClass]) -> Rewriting:
        rewriting = Rewriting(self._source)
        if classes:
            from .value_classes import write_classes

            write_classes(classes, rewriting)
        return rewriting

    def _shake(
        self,
        scopes: Scopes,
        pieces: list[tuple[int, int]],
        classes: Iterable[ValueClass],
        rewriting: Rewriting,
    ) -> list[Node]:
        from .shaking import drop_unused

        nodes = (*self._directives.bodies, *self._directives.steps, *(one.node for one in classes))
        keep = [node.start_byte for node in nodes]
        return drop_unused(self._source, scopes, pieces, rewriting, keep=keep)

    def _left_out(self) -> list[tuple[int, int]]:
        """The pieces of workflows around their steps."""
        from .workflow_form import outermost

        pieces: list[tuple[int, int]] = []
        steps = outermost(self.steps)
        for body in sorted(self._directives.bodies, key=_place_of):
            start = body.start_byte
            for step in steps:
                if body.start_byte < step.node.start_byte < body.end_byte:
                    pieces.append((start, step.node.start_byte))
                    start = step.node.end_byte
            pieces.append((start, body.end_byte))
        return pieces


def _form(rewriting: Rewriting, dropped: list[Node]) -> Form:
    imports = frozenset(n.start_byte for n in dropped if n.type == "import_statement")
    return Form(script=rewriting.text(), dropped=imports)


def _export(expression: str) -> str:
    if "." not in expression:
        return f"\n;export {{ {expression} }};"
    name = "__perdure_" + expression.replace(".", "_")
    return f"\n;const {name} = {expression}; export {{ {name} as {quoted(expression)} }};"


def _place_of(node: Node) -> int:
    return node.start_byte
