"""From TypeScript or JavaScript source to a bundle. Pure."""

from __future__ import annotations

from .bundle import ANY as ANY, Bundle as Bundle, compile_workflow as compile_workflow
from .diagnostics import Diagnostic as Diagnostic
from .imports import (
    SOURCE_SUFFIXES as SOURCE_SUFFIXES,
    PythonModule as PythonModule,
    Refusal as Refusal,
)
from .rewriting import quoted as quoted
