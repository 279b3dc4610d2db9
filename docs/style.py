"""How densely the code is written, as a table.

python docs/style.py [FOLDER ...]      (evomerge, populations and fitness, if none is named)
python docs/style.py --where [FOLDER ...]      and where each thing is that makes it dense

A comment counts where it stands on a line of its own, or behind code, and is no order to a tool such as `noqa`.
"""

from __future__ import annotations

import argparse
import ast
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
ORDERS = ("noqa", "type:", "fmt:", "mypy:", "ruff:", "pragma:")
WIDTH = 100


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--where", action="store_true", help="also name the places")
    options = parser.parse_args()
    root = Path(__file__).resolve().parents[1]
    folders = options.folders or [root / name for name in ("evomerge", "populations", "fitness")]
    counted: Counter[str] = Counter()
    for path in files(folders):
        for what, line in findings(path):
            counted[what] += 1
            if options.where and what not in ("line", "comment", "example"):
                print(f"{path}:{line}: {what}")
    lines = counted["line"]
    print("| | |\n|---|---|")
    print(f"| lines | {lines:,} |")
    for what in ("comprehension", "nested comprehension", "conditional expression"):
        print(f"| {what}s in 1,000 lines | {1000 * counted[what] / lines:.1f} |")
    for what in ("comment", f"line over {WIDTH}"):
        print(f"| {what}, share of lines | {100 * counted[what] / lines:.1f} % |")
    print(f"| docstrings with a worked example | {counted['example']} |")


def files(folders: list[Path]) -> list[Path]:
    """All Python files in folders, or those that are named themselves."""
    found = []
    for folder in folders:
        found += sorted(folder.rglob("*.py")) if folder.is_dir() else [folder]
    return found


def findings(path: Path) -> Iterator[tuple[str, int]]:
    """What is counted in a file, and in which line."""
    text = path.read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), start=1):
        yield "line", number
        if len(line) > WIDTH:
            yield f"line over {WIDTH}", number
    yield from comments(path)
    yield from expressions(ast.parse(text), within=False)


def comments(path: Path) -> Iterator[tuple[str, int]]:
    """The comments of a file that say something to a reader."""
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            said = token.string.lstrip("# ")
            if token.type == tokenize.COMMENT and said and not said.startswith(ORDERS):
                yield "comment", token.start[0]


def expressions(node: ast.AST, *, within: bool) -> Iterator[tuple[str, int]]:
    """The comprehensions, conditional expressions and worked examples below a node.

    Args:
        node: where to look.
        within: whether the node stands in a comprehension.
    """
    comprehension = isinstance(node, COMPREHENSIONS)
    if isinstance(node, COMPREHENSIONS):
        yield "comprehension", node.lineno
        if within or len(node.generators) > 1:
            yield "nested comprehension", node.lineno
    if isinstance(node, ast.IfExp):
        yield "conditional expression", node.lineno
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    if isinstance(node, documented) and ">>>" in (ast.get_docstring(node) or ""):
        yield "example", getattr(node, "lineno", 1)
    for child in ast.iter_child_nodes(node):
        yield from expressions(child, within=within or comprehension)


if __name__ == "__main__":
    main()
