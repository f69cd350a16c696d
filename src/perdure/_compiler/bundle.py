"""Bundles: a workflow's checked, type-erased, content-addressed code. Pure.

The same sources give the same bytes. Sources come through a function, so nothing here reads files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from typing import TypeAlias

import cbor2
from tree_sitter import Node

from .._value_class import value_class
from ..errors import CompileError
from .assembly import File, assemble, check_ids
from .diagnostics import Diagnostic, diagnose, suggest
from .directives import Directives, FoundWorkflow, find_directives
from .erase import erase
from .forms import FileForms
from .imports import (
    Look,
    ModuleImports,
    Refusal,
    candidates,
    exported_names,
    levels_above,
    read_imports,
    resolve,
)
from .json_module import json_module
from .letters import plain_text
from .parse import Source, parse

__all__ = ("ANY", "MAX_BUNDLE_BYTES", "Bundle", "Read", "compile_workflow")

ANY = "*"
MAX_BUNDLE_BYTES = 15 << 20  # it crosses to the guest in one frame
# Gives a specifier's source, None if there is none, or why it is not read.
Read: TypeAlias = "Callable[[str], str | Refusal | None]"


@value_class
class Bundle:
    """The code that a run executes."""

    entry: str
    export: str
    name: str
    modules: Mapping[str, str]  # specifier -> JavaScript, for workflows
    steps: Mapping[str, Mapping[str, str]]  # python module -> name -> step id
    workflows: tuple[FoundWorkflow, ...]  # all of the entry module
    encoded: bytes
    digest: str  # sha256 hex of encoded
    step_modules: Mapping[str, str] = field(default_factory=dict[str, str])  # for the step guest
    js_steps: Mapping[str, Mapping[str, object]] = field(
        default_factory=dict[str, Mapping[str, object]]
    )  # id -> where it is
    classes: Mapping[str, Mapping[str, str]] = field(
        default_factory=dict[str, Mapping[str, str]]
    )  # id of a class whose instances cross -> where it is
    exports: Mapping[str, str] = field(
        default_factory=dict[str, str]
    )  # workflow id -> module#export

    @property
    def step_ids(self) -> frozenset[str]:
        """The ids of every Python step that is imported."""
        return frozenset(step for names in self.steps.values() for step in names.values())

    def __repr__(self) -> str:
        return f"<Bundle {self.name} {self.digest[:12]}>"


def compile_workflow(
    entry: str, *, read: Read, export: str | None = None, look: Look = lambda name: None
) -> Bundle:
    """Compile the workflow in *entry* and everything it imports.

    Args:
        read: returns a specifier's source, None if there is none, or the reason why it is not read.
        export: which workflow, by the name that the module exports it by; None if there is only
            one; ``ANY`` for the first, or for none in a file of steps or classes.
        look: returns the contents of a Python module, so that a name that is no step of it is an
            error; None where they are not known.

    Raises:
        CompileError: with every diagnostic found.
    """
    compiler = _Compiler(read, look)
    compiler.add(entry)
    workflow = compiler.choose(entry, export) if not compiler.problems else ""
    if compiler.problems:
        raise CompileError(compiler.problems)
    bundle = compiler.bundle(entry, workflow)
    if compiler.problems:
        raise CompileError(compiler.problems)
    if len(bundle.encoded) > MAX_BUNDLE_BYTES:
        message = f"{len(bundle.modules)} modules of {len(bundle.encoded)} bytes are too large"
        hint = f"a workflow and all it imports take at most {MAX_BUNDLE_BYTES >> 20} MiB"
        raise CompileError([Diagnostic(file=entry, line=1, column=1, message=message, hint=hint)])
    return bundle


class _Compiler:
    def __init__(self, read: Read, look: Look) -> None:
        self.read, self.look = read, look
        self.texts: dict[str, str | Refusal | None] = {}
        self.files: dict[str, File] = {}
        self.erased: dict[str, Source] = {}
        self.sources: dict[str, Source] = {}
        self.steps: dict[str, dict[str, str]] = {}
        self.workflows: dict[str, list[FoundWorkflow]] = {}
        self.problems: list[Diagnostic] = []

    def text(self, specifier: str) -> str | Refusal | None:
        if specifier not in self.texts:
            text = self.read(specifier)
            self.texts[specifier] = plain_text(text) if isinstance(text, str) else text
        return self.texts[specifier]

    def add(self, entry: str) -> None:
        if not isinstance(self.text(entry), str):
            self.problems.append(self.missing(entry))
            return
        pending, links = [entry], list[tuple[str, ModuleImports]]()
        while pending:
            specifier = pending.pop()
            text = self.text(specifier)
            if specifier in self.sources or not isinstance(text, str):
                continue
            imports = self.module(specifier, text)
            links.append((specifier, imports))
            pending.extend(
                t for name, _, _ in imports.relative if (t := self.find(specifier, name))
            )
        for specifier, imports in links:
            self.check_links(specifier, imports)
        self.problems += check_ids(self.files)
        if not any(file.forms.steps for file in self.files.values()):
            self.problems += (m.problem for _, imports in links for m in imports.absent)

    def find(self, base: str, name: str) -> str | None:
        return resolve(base, name, lambda tried: isinstance(self.text(tried), str))

    def missing(self, entry: str) -> Diagnostic:
        text = self.text(entry)
        message, hint = "no such file", ""
        if isinstance(text, Refusal):
            message, hint = f"cannot read it: {text.reason}", text.hint
        return Diagnostic(file=entry, line=1, column=1, message=message, hint=hint)

    def unresolved(self, base: str, name: str, node: Node) -> Diagnostic:
        texts = map(self.text, candidates(base, name))
        refusal = next((text for text in texts if isinstance(text, Refusal)), None)
        levels = levels_above(base, name)
        message, hint = f"there is no file {name!r}", "paths are relative to this file"
        if levels:
            message = f"cannot import {name!r}: it leads out of the workflow's root"
        elif refusal is not None:
            message, hint = f"cannot import {name!r}: {refusal.reason}", refusal.hint
        problem = diagnose(base, self.sources[base].text, node, message, hint=hint)
        return replace(problem, levels_up=levels)

    def module(self, specifier: str, text: str) -> ModuleImports:
        if specifier.endswith(".json"):
            return self.data(specifier, text)
        erasure = erase(specifier, text)
        self.problems += erasure.problems
        source, failures = parse(specifier, erasure.script, text=text, mask=erasure.mask)
        self.sources[specifier] = source
        self.workflows[specifier] = []
        if erasure.is_unreadable or failures:
            self.problems += () if erasure.problems else failures
            return ModuleImports()
        if not erasure.problems:
            self.erased[specifier] = source
        directives = find_directives(source)
        self.workflows[specifier] = directives.workflows
        self.problems += directives.problems
        imports = read_imports(source, source, self.look, steps=directives.steps)
        self.problems += imports.problems
        for module, names in imports.steps.items():
            self.steps.setdefault(module, {}).update(names)
        self.keep(source, imports, directives)
        return imports

    def keep(self, source: Source, imports: ModuleImports, directives: Directives) -> None:
        forms = FileForms(source, directives)
        self.problems += forms.problems
        self.files[source.file] = File(source=source, imports=imports, forms=forms)

    def data(self, specifier: str, text: str) -> ModuleImports:
        script, problems = json_module(specifier, text)
        self.problems += problems
        self.workflows[specifier] = []
        source, _ = parse(specifier, script)
        self.sources[specifier] = source
        if not problems:
            self.erased[specifier] = source
        imports = ModuleImports()
        self.keep(source, imports, Directives())
        return imports

    def check_links(self, specifier: str, imports: ModuleImports) -> None:
        source = self.sources[specifier]
        for name, node, names in imports.relative:
            target = self.find(specifier, name)
            if target is None:
                self.problems.append(self.unresolved(specifier, name, node))
                continue
            exports = exported_names(self.erased[target]) if target in self.erased else None
            for export in names if exports is not None else ():
                if export not in exports and export != "*":  # type: ignore[operator] # narrowed above
                    self.problems.append(
                        diagnose(
                            specifier,
                            source.text,
                            node,
                            f"{target} does not export {export!r}",
                            hint=suggest(export, exports or ()),
                        )
                    )

    def choose(self, entry: str, export: str | None) -> str:
        names = [workflow.name for workflow in self.workflows[entry]]
        if export is not None and export in names:
            return export
        if len(names) == 1 if export is None else export == ANY and names:
            return names[0]
        if export == ANY and self.files[entry].forms.is_reached_by_others:
            return ""
        listed = ", ".join(f"{entry}#{name}" for name in names)
        if not names:
            message, hint = (
                "no exported workflow",
                'begin an exported async function with "use workflow"',
            )
        elif export is None:
            message, hint = f"{len(names)} workflows: say which one", f"there is: {listed}"
        else:
            message, hint = f"no workflow {export!r}", suggest(export, names)
        self.problems.append(Diagnostic(file=entry, line=1, column=1, message=message, hint=hint))
        return ""

    def bundle(self, entry: str, export: str) -> Bundle:
        name = export if export != "default" else entry.rsplit("/", 1)[-1].split(".")[0]
        parts = assemble(entry, self.files, self.find)
        self.problems += parts.problems
        fields: dict[str, object] = {
            "format": 1,
            "entry": entry,
            "export": export,
            "name": name,
            "modules": parts.modules,
            "steps": self.steps,
        }
        if parts.js_steps or parts.classes:
            fields |= {
                "format": 2,
                "step_modules": parts.step_modules,
                "js_steps": parts.js_steps,
                "classes": parts.classes,
                "workflows": parts.workflows,
            }
        encoded = cbor2.dumps(fields, canonical=True)
        return Bundle(
            entry=entry,
            export=export,
            name=name,
            modules=parts.modules,
            steps=self.steps,
            workflows=tuple(self.workflows[entry]),
            encoded=encoded,
            digest=hashlib.sha256(encoded).hexdigest(),
            step_modules=parts.step_modules,
            js_steps=parts.js_steps,
            classes=parts.classes,
            exports=parts.workflows,
        )
