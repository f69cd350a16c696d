"""Measures of plain words in the source: clauses without a noun, "gives", participles as names.

`python -m tests.words` prints the figures of each package, with `-v` each place too.
Docstrings are measured as prose: code in backquotes is left out. A name counts once for each
function or class that binds it; ``left`` beside ``right`` is a side, no participle.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = (ROOT / "src/perdure", *sorted((ROOT / "worlds").glob("*/src/*")))
PARTICIPLES = frozenset(
    re.findall(
        r"\w+",
        """
    asked been begun bent bound broken brought built caught chosen done drawn driven eaten fallen
    felt forgotten found frozen given gone got grown heard held hidden kept known laid led left
    lent lost made meant met paid proven said seen sent shown slept spent spoken stolen struck
    stuck swept taken taught thought thrown told torn undone woken won worn wound written
    """,
    )
)
# Short forms that are also a present tense or a noun: participles only as a whole name.
WHOLE = frozenset({"read_", "put_", "cut_", "set_", "hit_", "let_", "come_"})
HEADLESS = re.compile(
    r"\b(?:what(?!\s+(?:to|kind|kinds|type|types)\b)(?!')|what(?:so)?ever|who(?:so|m)?ever|whichever)\b"
    r"|(?:\A|[.:;!?]\s+|\n\s*\n\s*)Who\b",
    re.IGNORECASE,
)
GIVES = re.compile(r"\bgives\b(?!\s+(?:up|back|way|in)\b)", re.IGNORECASE)
CODE = re.compile(r"``[^`]*``|`[^`]*`")
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
Scope = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(slots=True)
class Figures:
    """Counts of some modules, with the place of each."""

    words: int = 0
    headless: list[str] = field(default_factory=list[str])
    gives: list[str] = field(default_factory=list[str])
    participles: list[str] = field(default_factory=list[str])

    def per_thousand(self, places: list[str]) -> float:
        """How many of *places* there are in 1,000 docstring words."""
        return 1000 * len(places) / max(self.words, 1)


def is_participle(name: str) -> bool:
    """Whether a name says only what was done to its thing: ``made``, ``_found``, ``left_``."""
    return name in WHOLE or name.strip("_") in PARTICIPLES


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Each docstring of a module without its code, with its first line's number.

    A string below a field or a constant is one, too.
    """
    for node in ast.walk(tree):
        for child in node.body if isinstance(node, Documented) else ():
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                text = child.value.value
                if isinstance(text, str):
                    yield child.lineno, CODE.sub("it", text)


def bindings(node: ast.AST, scope: str = "") -> Iterator[tuple[str, str, int]]:
    """Each name that is bound in *node*: its function or class, itself, its line."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Name | ast.Attribute) and isinstance(child.ctx, ast.Store):
            yield scope, child.id if isinstance(child, ast.Name) else child.attr, child.lineno
        elif isinstance(child, ast.arg):
            yield scope, child.arg, child.lineno
        elif isinstance(child, ast.MatchAs | ast.MatchStar | ast.ExceptHandler) and child.name:
            yield scope, child.name, child.lineno
        inside = f"{scope}.{child.name}".strip(".") if isinstance(child, Scope) else scope
        yield from bindings(child, inside)


def measure(paths: list[Path], root: Path = ROOT) -> Figures:
    """The figures of some modules together."""
    figures = Figures()
    for path in paths:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        file = path.relative_to(root).as_posix()
        for line, text in docstrings(tree):
            figures.words += len(re.findall(r"[A-Za-z][\w'-]*", text))
            for places, pattern in ((figures.headless, HEADLESS), (figures.gives, GIVES)):
                for match in pattern.finditer(text):
                    number = line + text.count("\n", 0, match.end())
                    around = " ".join(text[max(0, match.start() - 50) : match.end() + 50].split())
                    places.append(f"{file}:{number}: {around}")
        lines = {(scope, name): line for scope, name, line in reversed(list(bindings(tree)))}
        figures.participles += (
            f"{file}:{line}: {scope}: {name}"
            for (scope, name), line in lines.items()
            if is_participle(name) and not (name == "left" and (scope, "right") in lines)
        )
    return figures


def rooms() -> dict[str, list[Path]]:
    """The modules of each package and of the top level, by the package's name."""
    modules: dict[str, list[Path]] = {}
    for package in PACKAGES:
        for path in sorted(package.rglob("*.py")):
            parts = path.relative_to(package).parts
            is_core = package.name == "perdure"
            name = parts[0] if is_core and len(parts) > 1 else package.name
            modules.setdefault(name, []).append(path)
    return modules


def main() -> None:
    """Print a table of each package's figures; with ``-v`` the places after it."""
    everything = rooms()
    everything["all"] = [path for paths in rooms().values() for path in paths]
    print(f"{'package':20}{'words':>8}{'headless':>16}{'gives':>14}{'participles':>13}")
    for name, paths in everything.items():
        figures = measure(paths)
        print(
            f"{name:20}{figures.words:>8}"
            f"{len(figures.headless):>8}{figures.per_thousand(figures.headless):>8.1f}"
            f"{len(figures.gives):>7}{figures.per_thousand(figures.gives):>7.1f}"
            f"{len(figures.participles):>13}"
        )
    if "-v" in sys.argv:
        figures = measure(everything["all"])
        print(*figures.headless, *figures.gives, *figures.participles, sep="\n")


if __name__ == "__main__":
    main()
