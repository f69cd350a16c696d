"""Rooms: how the modules of a package lie to each other, from their own imports.

    python benchmarks/rooms.py [--package _runtime] [--json]

A room is a folder, the package's own modules are its hall. An arrow is an import of one module by
another; one that only type checkers follow counts, too. The floor of a module is the longest way
down from it, so floor 0 imports nothing of the package. A circle is a set of modules of which each
reaches all others. Prints tables, or a JSON line; asserts nothing.
"""

from __future__ import annotations

import argparse
import ast
import functools
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

SOURCE = Path(__file__).parents[1] / "src"
HALL = "(hall)"
Graph = Mapping[str, set[str]]


def modules(package: Path) -> dict[str, Path]:
    """The modules of a package by their dotted names."""
    names: dict[str, Path] = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


@functools.cache
def statements(path: Path) -> tuple[tuple[ast.Import | ast.ImportFrom, bool], ...]:
    """The imports of a module, and whether only type checkers follow each."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree))
    for_types = {
        inner
        for node in nodes
        if isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    return tuple(
        (node, node in for_types) for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)
    )


def imports(name: str, path: Path, *, with_types: bool) -> Iterator[str]:
    """Each name that a module imports, as a module's and as a member of one."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node, is_for_types in statements(path):
        if is_for_types and not with_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *(node.module.split(".") if node.module else [])])
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


def graph_of(names: Mapping[str, Path], *, with_types: bool = True) -> dict[str, set[str]]:
    """Which module imports which. A package that is imported for a module of it does not count."""
    graph: dict[str, set[str]] = {}
    for name, path in names.items():
        targets = set(imports(name, path, with_types=with_types)) & names.keys()
        graph[name] = {
            target
            for target in targets
            if target != name and not any(other.startswith(f"{target}.") for other in targets)
        }
    return graph


def circles(graph: Graph) -> list[list[str]]:
    """The sets of modules that reach each other, largest first."""
    reach = {name: _reached(graph, name) for name in graph}
    sets = {
        frozenset(other for other in reach[name] if name in reach[other])
        for name in graph
        if name in reach[name]
    }
    return sorted((sorted(circle) for circle in sets), key=len, reverse=True)


def _reached(graph: Graph, name: str) -> set[str]:
    reached, pending = set[str](), [*graph[name]]
    while pending:
        other = pending.pop()
        if other not in reached:
            reached.add(other)
            pending.extend(graph[other])
    return reached


def floors(graph: Graph) -> dict[str, int]:
    """The longest way down from each module; of a circle, as if it were none."""
    heights: dict[str, int] = {}

    def height(name: str, way: tuple[str, ...]) -> int:
        if name not in heights:
            below = [height(other, (*way, name)) for other in graph[name] if other not in way]
            heights[name] = 1 + max(below, default=-1)
        return heights[name]

    for name in graph:
        height(name, ())
    return heights


def room_of(name: str, package: str) -> str:
    """The folder of a module within the package."""
    parts = name.removeprefix(package).strip(".").split(".")
    if not parts[0]:
        return HALL
    return parts[0] if (SOURCE.joinpath(*package.split("."), parts[0])).is_dir() else HALL


def figures(package: str) -> dict[str, object]:
    """All of it, of one package of perdure's; "" is the whole."""
    dotted = f"perdure.{package}".strip(".")
    names = modules(SOURCE.joinpath(*dotted.split(".")))
    graph = graph_of(names)
    heights = floors(graph)
    arrows = Counter[tuple[str, str]]()
    for name, targets in graph.items():
        for target in targets:
            arrows[room_of(name, dotted), room_of(target, dotted)] += 1
    rooms: dict[str, list[str]] = defaultdict(list)
    for name in names:
        rooms[room_of(name, dotted)].append(name)
    return {
        "package": dotted,
        "rooms": {
            room: {"modules": len(inside), "floor": max(heights[name] for name in inside)}
            for room, inside in sorted(rooms.items())
        },
        "floors": 1 + max(heights.values()),
        "arrows": sum(arrows.values()),
        "between": {
            f"{source} -> {target}": count
            for (source, target), count in sorted(arrows.items())
            if source != target
        },
        "both_ways": sorted(
            f"{source} <-> {target}"
            for source, target in arrows
            if source < target and (target, source) in arrows
        ),
        "circles": circles(graph_of(names, with_types=False)),
        "circles_with_types": circles(graph),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--package", default="_runtime")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    answer = figures(options.package)
    if options.json:
        print(json.dumps(answer))
        return
    for name, value in answer.items():
        if isinstance(value, dict):
            rows = cast("dict[str, object]", value)
            print(f"{name}:")
            for key, item in rows.items():
                print(f"  {key}: {item}")
        else:
            print(f"{name}: {value}")


if __name__ == "__main__":
    main()
