"""Figures of the code's structure, each with its limit: folders, import chains, circles, lengths, names.

    python -m tests.structure [CHECKOUT] [--json]

Reads the modules of a checkout with `ast` and imports none of them. Exits with 1 if a limit is exceeded.
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from pathlib import Path

Name = tuple[str, ...]  # of a module or a folder, from the checkout's root: ("core", "errors"); () is the root
Graph = dict[str, set[str]]  # each child of a folder, and the children it imports
Circle = frozenset[str]

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "robotrove"
NOT_THE_PACKAGE = {"tests", "benchmarks", "docs", "examples", "build", "dist"}
INIT = "__init__"
CHAIN_LIMITS = {("formats", "lerobot"): 7, ("pipelines",): 7, ("media",): 5}
OTHER_CHAIN_LIMIT = 6

CHAIN_RULE = (
    "steps of the longest import path between a folder's direct children. A sub-folder is one child, and so is "
    "__init__.py. Imports in functions and under TYPE_CHECKING count; a circle counts as many steps as it has children"
)

KINDS_FOLDER = ("formats", "lerobot", "features")
KINDS_NEAR, KINDS_REST = "kind branches: lerobot, verification", "kind branches: the rest"
KINDS_RULE = (
    "lines outside formats/lerobot/features that decide by a column's kind: is_video, is_visual or is_task_index, or "
    "a feature's dtype (an attribute, name or key `dtype`) compared with texts or with …DTYPES, or asked for a text by "
    "a method (startswith); arrays' dtypes are compared with types of numpy, which do not count"
)


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value, its limit, the rule by which it is counted, and the places behind it."""

    name: str
    value: float
    limit: float
    rule: str
    details: tuple[str, ...] = ()
    at_least: bool = False

    @property
    def within(self) -> bool:
        """Whether the value keeps to the limit."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass(frozen=True)
class Module:
    """A Python file of the package."""

    name: Name
    text: str

    @property
    def folder(self) -> Name:
        return self.name[:-1]

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def imports(self) -> list[ast.Import | ast.ImportFrom]:
        """Every import statement, at any depth."""
        return [node for node in ast.walk(self.tree) if isinstance(node, ast.Import | ast.ImportFrom)]

    @cached_property
    def docstrings(self) -> list[ast.stmt]:
        owners = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        nodes = [node for node in ast.walk(self.tree) if isinstance(node, owners)]
        return [node.body[0] for node in nodes if ast.get_docstring(node) is not None]

    @cached_property
    def import_lines(self) -> set[int]:
        return {line for node in self.imports for line in _lines(node)}

    @cached_property
    def code_lines(self) -> set[int]:
        lines = enumerate((line.strip() for line in self.text.splitlines()), 1)
        filled = {number for number, line in lines if line and not line.startswith("#")}
        return filled - self.import_lines - {line for node in self.docstrings for line in _lines(node)}

    @cached_property
    def re_exports(self) -> set[str]:
        """Imported names that the module offers as its own."""
        aliases = [alias for node in self.imports for alias in node.names]
        imported = {alias.asname or alias.name for alias in aliases}
        statements = [node for node in self.tree.body if node not in self.docstrings]
        public = [node for node in statements if _assigned(node) == "__all__"]
        if all(node in public or isinstance(node, ast.Import | ast.ImportFrom) for node in statements):
            return imported
        constants = [part.value for node in public for part in ast.walk(node) if isinstance(part, ast.Constant)]
        return imported.intersection(constants) | {alias.name for alias in aliases if alias.name == alias.asname}


def read_modules(checkout: Path) -> dict[Name, Module]:
    """Return every module of the package, by name."""
    found: dict[Name, Module] = {}
    for path in sorted(checkout.rglob("*.py")):
        name = path.relative_to(checkout).with_suffix("").parts
        if name[0] not in NOT_THE_PACKAGE and not any(part.startswith(".") for part in name):
            found[name] = Module(name, path.read_text(encoding="utf-8"))
    return found


def import_arrows(modules: Mapping[Name, Module]) -> set[tuple[Name, Name]]:
    """Return (importing module, imported module) for every import of one module by another."""
    arrows: set[tuple[Name, Name]] = set()
    for module in modules.values():
        for wanted in _imported_names(module):
            candidates = (wanted, (*wanted, INIT), wanted[:-1], (*wanted[:-1], INIT))
            target = next((name for name in candidates if name in modules), None)
            if target not in (None, module.name):
                arrows.add((module.name, target))
    return arrows


def child_graph(folder: Name, modules: Mapping[Name, Module], arrows: set[tuple[Name, Name]]) -> Graph:
    """Return which direct children of a folder import which; the root's __init__.py is none of them."""
    depth = len(folder)
    graph: Graph = {name[depth]: set() for name in modules if name[:depth] == folder and name != (INIT,)}
    for source, target in arrows:
        inside = source[:depth] == target[:depth] == folder and (INIT,) not in (source, target)
        if inside and source[depth] != target[depth]:
            graph[source[depth]].add(target[depth])
    return graph


def circles(graph: Graph) -> dict[str, Circle]:
    """Return for each child those that it imports and is imported by, at any distance, and itself."""
    reached = {child: _reachable(graph, child) for child in graph}
    return {child: Circle({child} | {other for other in reached[child] if child in reached[other]}) for child in graph}


def longest_chain(graph: Graph) -> list[Circle]:
    """Return the path of most steps, importing child first."""
    circle = circles(graph)

    @cache
    def chain(start: Circle) -> list[Circle]:
        following = {circle[child] for member in start for child in graph[member]} - {start}
        return [start, *max(map(chain, sorted(following, key=sorted)), key=_steps, default=[])]

    return max(map(chain, sorted(set(circle.values()), key=sorted)), key=_steps, default=[])


def figures(checkout: Path) -> list[Figure]:
    """Return every figure of a checkout."""
    modules = read_modules(checkout)
    arrows = import_arrows(modules)
    return [
        _fullest_folder(modules),
        *_chains(modules, arrows),
        _circles(modules, arrows),
        _folder_pairs(arrows),
        Figure("modules", len(modules), 322, "__init__.py counted"),
        *_lengths(modules),
        _equal_names(modules),
        *_exports(modules),
        *_kind_branches(modules),
    ]


def _fullest_folder(modules: Mapping[Name, Module]) -> Figure:
    sizes = Counter(module.folder for module in modules.values() if module.name[-1] != INIT)
    (folder, size), *_ = sizes.most_common(1) or [((), 0)]
    return Figure("modules in the fullest folder", size, 16, "__init__.py not counted", (_text(folder),))


def _chains(modules: Mapping[Name, Module], arrows: set[tuple[Name, Name]]) -> Iterator[Figure]:
    others = {folder: child_graph(folder, modules, arrows) for folder in _folders(modules) if folder}
    for folder, limit in CHAIN_LIMITS.items():
        graph = others.pop(folder, {})
        yield _chain(f"longest chain in {_text(folder)}", folder, graph, limit, CHAIN_RULE)
    longest = max(others, key=lambda folder: _steps(longest_chain(others[folder])), default=())
    rule = "the same for every other folder; between the root's own folders, import-linter's layers hold the order"
    yield _chain("longest chain in any other folder", longest, others.get(longest, {}), OTHER_CHAIN_LIMIT, rule)


def _chain(name: str, folder: Name, graph: Graph, limit: int, rule: str) -> Figure:
    chain = longest_chain(graph)
    path = " > ".join(_members(circle) for circle in chain)
    return Figure(name, _steps(chain), limit, rule, (f"{_text(folder)}, {sum(map(len, graph.values()))} arrows", path))


def _circles(modules: Mapping[Name, Module], arrows: set[tuple[Name, Name]]) -> Figure:
    found: list[str] = []
    for folder in _folders(modules):
        several = {circle for circle in circles(child_graph(folder, modules, arrows)).values() if len(circle) > 1}
        found += sorted(f"{_text(folder)}: {_members(circle)}" for circle in several)
    rule = "groups of direct children of a folder, the root too, that import each other; imports as for chains"
    return Figure("import circles", len(found), 0, rule, tuple(found))


def _folder_pairs(arrows: set[tuple[Name, Name]]) -> Figure:
    pairs = {(source[:-1], target[:-1]) for source, target in arrows if source[:-1] != target[:-1]}
    found = sorted((one, other) for one, other in pairs if (other, one) in pairs and one < other)
    rule = "any two folders, also a folder and its sub-folder, whose modules import each other; imports as for chains"
    details = tuple(f"{_text(one)} and {_text(other)}" for one, other in found)
    return Figure("folder pairs that import each other", len(found), 0, rule, details)


def _lengths(modules: Mapping[Name, Module]) -> Iterator[Figure]:
    lengths = {name: len(module.code_lines) for name, module in modules.items() if module.code_lines}
    total = sum(lengths.values())
    rule = "mean of the modules that have any; a code line is not blank, a comment, a docstring or an import"
    details = (f"{total} lines in {len(lengths)} modules",)
    yield Figure("code lines per module", total / max(1, len(lengths)), 65, rule, details, at_least=True)
    longest = max(lengths, key=lambda name: lengths[name], default=())
    rule = "code lines as above"
    yield Figure("code lines of the longest module", lengths.get(longest, 0), 400, rule, (_text(longest),))
    imports = sum(len(module.import_lines) for module in modules.values())
    rule = "lines of import statements, in functions and under TYPE_CHECKING too, divided by code lines"
    yield Figure("import lines per code line", imports / max(1, total), 0.15, rule, (f"{imports} lines",))


def _equal_names(modules: Mapping[Name, Module]) -> Figure:
    alike: dict[Name, list[str]] = defaultdict(list)
    for name in modules:
        if len(name) > 1 and name[-1] not in (INIT, "__main__"):
            alike[name[0], name[-1]].append(_text(name))
    found = tuple(" = ".join(names) for names in alike.values() if len(names) > 1)
    rule = "names that more than one module of a top-level folder has; __init__ and __main__ do not count"
    return Figure("equal module names", len(found), 0, rule, found)


def _exports(modules: Mapping[Name, Module]) -> Iterator[Figure]:
    stars = [module for module in modules.values() if any(a.name == "*" for n in module.imports for a in n.names)]
    details = tuple(_text(module.name) for module in stars)
    yield Figure("star imports", len(stars), 0, "modules with `from … import *`", details)
    offered = {_text(name): module.re_exports for name, module in modules.items() if name != (INIT,)}
    details = tuple(f"{name}: {', '.join(sorted(names))}" for name, names in offered.items() if names)
    rule = (
        "modules with an imported name in __all__, with `import x as x`, or with nothing but imports; "
        "the root's __init__.py does not count"
    )
    yield Figure("modules that re-export", len(details), 0, rule, details)


def _kind_branches(modules: Mapping[Name, Module]) -> Iterator[Figure]:
    places: dict[str, list[str]] = defaultdict(list)
    for name, module in modules.items():
        if name[: len(KINDS_FOLDER)] != KINDS_FOLDER:
            lines = sorted({node.lineno for node in ast.walk(module.tree) if _asks_kind(node)})
            is_near = name[:2] == KINDS_FOLDER[:2] or name[0] == "verification"
            places[KINDS_NEAR if is_near else KINDS_REST] += [f"{_text(name)}:{line}" for line in lines]
    for title, limit in ((KINDS_NEAR, 10), (KINDS_REST, 9)):
        yield Figure(title, len(places[title]), limit, KINDS_RULE, tuple(places[title]))


def _asks_kind(node: ast.AST) -> bool:
    """True for an expression that decides by a column's kind, see KINDS_RULE."""
    if isinstance(node, ast.Attribute):
        return node.attr in ("is_video", "is_visual", "is_task_index")
    if isinstance(node, ast.Call):  # feature.dtype.startswith("float")
        function = node.func
        return isinstance(function, ast.Attribute) and _is_dtype(function.value) and any(map(_is_literal, node.args))
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        return any(map(_is_dtype, sides)) and any(map(_is_literal, sides))
    return False


def _is_dtype(node: ast.AST) -> bool:
    """True for `….dtype`, `dtype` and `…["dtype"]`."""
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Constant) and node.slice.value == "dtype"
    return getattr(node, "attr", getattr(node, "id", "")) == "dtype"


def _is_literal(node: ast.AST) -> bool:
    """True for a text, a group of texts, and a constant with DTYPES in its name."""
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return any(map(_is_literal, node.elts))
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str)
    return "DTYPES" in getattr(node, "id", "")


def _imported_names(module: Module) -> Iterator[Name]:
    """Yield the package's names in the import statements of a module, as paths from the root."""
    for node in module.imports:
        if isinstance(node, ast.Import):
            level, names = 0, [alias.name.split(".") for alias in node.names]
        else:
            base = node.module.split(".") if node.module else []
            level, names = node.level, [[*base, alias.name] for alias in node.names]
        for name in names:
            if level:
                yield (*module.name[:-level], *name)
            elif name[0] == PACKAGE:
                yield tuple(name[1:])


def _reachable(graph: Graph, start: str) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        following = graph[waiting.pop()] - found
        found |= following
        waiting += following
    return found


def _folders(modules: Mapping[Name, Module]) -> list[Name]:
    return sorted({name[:depth] for name in modules for depth in range(len(name))})


def _assigned(node: ast.stmt) -> str:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return targets[0].id if isinstance(targets[0], ast.Name) else ""


def _lines(node: ast.stmt) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def _steps(chain: list[Circle]) -> int:
    return sum(map(len, chain))


def _members(circle: Circle) -> str:
    return " <-> ".join(sorted(circle))


def _text(name: Name) -> str:
    return "/".join(name) or "the root"


def _table(found: list[Figure]) -> str:
    limits = [f"{'at least' if figure.at_least else 'at most'} {figure.limit:g}" for figure in found]
    lines = [f"{'figure':36}{'value':>7}  limit"]
    for figure, limit in zip(found, limits, strict=True):
        lines.append(f"{figure.name:36}{figure.value:7.4g}  {limit:14}{'' if figure.within else 'exceeded'}".rstrip())
    for figure in found:
        lines += ["", f"{figure.name}: {figure.rule}", *(f"    {detail}" for detail in figure.details)]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures of a checkout; return 1 if a limit is exceeded."""
    parser = argparse.ArgumentParser(prog="python -m tests.structure", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("checkout", nargs="?", type=Path, default=ROOT, metavar="CHECKOUT", help="default: this one")
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON document")
    options = parser.parse_args(arguments)
    found = figures(options.checkout.resolve(strict=True))
    rows = [asdict(figure) | {"within": figure.within} for figure in found]
    print(json.dumps(rows, indent=2) if options.json else _table(found))
    return 0 if all(figure.within for figure in found) else 1


if __name__ == "__main__":
    sys.exit(main())
