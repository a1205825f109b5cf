"""Fingerprints of the code behind each stage: ``make fingerprints`` renews them.

A stage's products are made again when the version of its code is raised (`hst_assets.stages`).
So that this is not forgotten, ``fingerprints.json`` beside this module holds, for each stage, a
hash over all functions, classes and constants of hst_assets that its entry functions reach, and
the defaults of all settings; `test_stages` fails while they do not fit today's code.

What is reached is read from the source: a name that stands in a definition, through the imports,
to the definition it means; a text such as ``"hst_assets.x.y_task:function"`` too, by which
children are started. Only definitions count, not the files they lie in: what is moved keeps its
hash. Docstrings, comments, annotations, calls of ``logger`` and the messages of raised failures
are no code. Not followed, because they decide no result:

- failures, workdir, isolation, its nurseries, transfer, stages, provenance and its neighbours: how
  it is said, where files lie, how children run, how bytes come, how records are kept;
- settings: their values are in the recipes, and their defaults are compared by themselves;
- detectors: the figures are in the recipes.

Run as a module, it renews the file::

    python -m hst_assets_tests.fingerprints                      # after versions were raised
    python -m hst_assets_tests.fingerprints --unchanged drizzled_image epoch_drizzles
    python -m hst_assets_tests.fingerprints --unchanged all      # results of none have changed
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import hst_assets
from hst_assets.settings import Settings
from hst_assets.stages import STAGES

FILE = Path(__file__).with_name("fingerprints.json")
PACKAGE = "hst_assets"
NOT_FOLLOWED = (
    "hst_assets.detectors",
    "hst_assets.digests",
    "hst_assets.failures",
    "hst_assets.isolation",
    "hst_assets.kept_nurseries",
    "hst_assets.nursery",
    "hst_assets.provenance",
    "hst_assets.reasons",
    "hst_assets.settings",
    "hst_assets.stages",
    "hst_assets.transfer",
    "hst_assets.workdir",
)
#: Sections whose settings decide no product.
NOT_IN_RECIPES = {"archive", "machine", "reference_files"}
_REFERENCE = re.compile(r"(hst_assets(?:\.\w+)+)(?::(\w+))?")

_NOT_WRITTEN = {"ctx", "kind", "type_comment", "type_params"}

Symbol = tuple[str, str]


# ------------------------------------------------------------------------------- the source


@dataclass
class Module:
    """The definitions of one module and what its names mean."""

    name: str
    tree: ast.Module
    is_package: bool = False

    @cached_property
    def definitions(self) -> dict[str, list[ast.stmt]]:
        """Top-level functions, classes and assignments by name; the rest under ``""``."""
        found: dict[str, list[ast.stmt]] = {}
        for statement in self.tree.body:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                continue
            for name in _defined(statement):
                found.setdefault(name, []).append(statement)
        return found

    def __post_init__(self) -> None:
        #: Local name to (module, name in it), wherever in the module it is imported.
        self.imports: dict[str, tuple[str, str]] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and not node.level and node.module:
                for alias in node.names:
                    self.imports[alias.asname or alias.name] = (node.module, alias.name)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.asname:
                        self.imports[alias.asname] = (alias.name, "")


def _defined(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Assign):
        names = [
            node.id
            for target in statement.targets
            for node in ast.walk(target)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        ]
        return [name for name in names if name not in {"__all__", "logger"}] or (
            [] if names else [""]
        )
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return [statement.target.id]
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return []  # a docstring
    if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
        return []
    return [""]


@dataclass(frozen=True)
class Definition:
    """One definition: the hash of its code, the definitions it names, the attributes it reads."""

    digest: str
    names: frozenset[Symbol]
    attributes: frozenset[str]


class Source:
    """All modules below a folder."""

    def __init__(self, folder: Path, package: str = PACKAGE) -> None:
        self.modules: dict[str, Module] = {}
        self._read: dict[Symbol, Definition] = {}
        for path in sorted(folder.rglob("*.py")):
            parts = [package, *path.relative_to(folder).with_suffix("").parts]
            is_package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_package else parts)
            self.modules[name] = Module(name, ast.parse(path.read_text()), is_package)

    def resolve(self, module: str, name: str) -> Symbol | None:
        """Where the definition lies that `name` of `module` means; None if outside."""
        for _ in range(20):
            if module not in self.modules:
                return None
            if not name:
                return (module, "")
            if name in self.modules[module].definitions:
                return (module, name)
            if f"{module}.{name}" in self.modules:
                return (f"{module}.{name}", "")
            if name not in self.modules[module].imports:
                return None
            module, name = self.modules[module].imports[name]
        raise RecursionError(f"{module}:{name} is imported in a circle")

    def read(self, symbol: Symbol) -> Definition:
        """What one definition is and names."""
        if symbol not in self._read:
            module, name = symbol
            statements = self.modules[module].definitions.get(name, [])
            trees = [_Normal().visit(statement) for statement in statements]
            text = "\n".join(map(written, trees))
            self._read[symbol] = Definition(
                digest=hashlib.sha256(text.encode()).hexdigest()[:16],
                names=frozenset(found for tree in trees for found in self._named_in(module, tree)),
                attributes=frozenset(
                    node.attr
                    for tree in trees
                    for node in ast.walk(tree)
                    if isinstance(node, ast.Attribute)
                ),
            )
        return self._read[symbol]

    def _named_in(self, module: str, tree: ast.AST) -> Iterator[Symbol]:
        inside: set[int] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                base = self.resolve(module, node.value.id)
                if base and not base[1]:
                    inside.add(id(node.value))
                    found = self.resolve(base[0], node.attr)
                    if found:
                        yield found
            elif isinstance(node, ast.Name) and id(node) not in inside:
                found = self.resolve(module, node.id)
                if found and not found[1]:
                    yield from self._all_of(found[0])
                elif found:
                    yield found
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield from self._referred_to(node.value)
            elif isinstance(node, ast.JoinedStr):
                yield from self._referred_to(self._joined(module, node))

    def _joined(self, module: str, node: ast.JoinedStr) -> str:
        """An f-string of texts and ``__package__``; of others, what will refer to nothing."""
        whole = self.modules[module]
        package = whole.name if whole.is_package else whole.name.rpartition(".")[0]
        parts = []
        for part in node.values:
            if isinstance(part, ast.Constant):
                parts.append(str(part.value))
            else:
                parts.append(package if ast.unparse(part) == "{__package__}" else "?")
        return "".join(parts)

    def _referred_to(self, text: str) -> Iterator[Symbol]:
        match = _REFERENCE.fullmatch(text)
        if match and match[1] in self.modules and not self.modules[match[1]].is_package:
            if match[2]:
                yield (match[1], match[2])
            else:
                yield from self._all_of(match[1])

    def _all_of(self, module: str) -> Iterator[Symbol]:
        for name in self.modules[module].definitions:
            yield (module, name)


class _Normal(ast.NodeTransformer):
    """Leaves out what decides no result: docstrings, annotations, logging, messages."""

    def _without_docstring(self, node: Any) -> Any:
        first = node.body[0] if node.body else None
        if (
            isinstance(first, ast.Expr)
            and isinstance(first.value, ast.Constant)
            and isinstance(first.value.value, str)
        ):
            node.body = node.body[1:] or [ast.Pass()]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        self._without_docstring(node)
        node.returns = None
        self.generic_visit(node)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        self._without_docstring(node)
        self.generic_visit(node)
        return node

    def visit_arg(self, node: ast.arg) -> Any:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        self.generic_visit(node)
        node.annotation = ast.Name("annotation", ast.Load())
        return node

    def visit_Expr(self, node: ast.Expr) -> Any:
        call = node.value
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and isinstance(call.func.value, ast.Name)
            and call.func.value.id == "logger"
        ):
            return ast.Pass()
        self.generic_visit(node)
        return node

    def visit_Raise(self, node: ast.Raise) -> Any:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                inner.value = ""
        self.generic_visit(node)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> Any:
        return ast.Pass()

    def visit_Import(self, node: ast.Import) -> Any:
        return ast.Pass()


def written(node: Any) -> str:
    """A syntax tree as text that is the same for all versions of Python."""
    if isinstance(node, ast.AST):
        fields = [
            f"{name}={written(value)}"
            for name, value in ast.iter_fields(node)
            if name not in _NOT_WRITTEN and value not in (None, [])
        ]
        return f"{type(node).__name__}({', '.join(fields)})"
    if isinstance(node, list):
        return f"[{', '.join(map(written, node))}]"
    return repr(node)


# --------------------------------------------------------------------------------- a stage


@dataclass
class Closure:
    """All that the entry functions of a stage reach."""

    source: Source
    symbols: set[Symbol]

    @cached_property
    def hashes(self) -> dict[Symbol, str]:
        """The hash of each definition."""
        return {symbol: self.source.read(symbol).digest for symbol in self.symbols}

    @property
    def fingerprint(self) -> str:
        """Over the definitions alone, wherever they lie."""
        return hashlib.sha256("\n".join(sorted(self.hashes.values())).encode()).hexdigest()[:32]

    @cached_property
    def attributes(self) -> set[str]:
        """Every attribute that is read somewhere in it."""
        return {name for symbol in self.symbols for name in self.source.read(symbol).attributes}

    @cached_property
    def default_keys(self) -> set[str]:
        """The settings that it may read, as ``section.key``."""
        return {key for key in default_settings() if set(key.split(".")[:2]) <= self.attributes}


def closure(source: Source, entries: tuple[str, ...], others: set[Symbol]) -> Closure:
    """What some entry functions reach, without the entries of other stages.

    Raises
    ------
    LookupError
        If an entry does not exist.
    """
    waiting: list[Symbol] = []
    for entry in entries:
        module, _, name = entry.partition(":")
        if module not in source.modules or name not in source.modules[module].definitions:
            raise LookupError(f"{entry} of hst_assets.stages.STAGES is not there: was it moved?")
        waiting.append((module, name))
    reached: set[Symbol] = set()
    while waiting:
        symbol = waiting.pop()
        module = symbol[0]
        skipped = any(module == name or module.startswith(f"{name}.") for name in NOT_FOLLOWED)
        if symbol in reached or symbol in others or skipped:
            continue
        if not source.modules[module].definitions.get(symbol[1]):
            continue
        reached.add(symbol)
        waiting += source.read(symbol).names
        if "" in source.modules[module].definitions:
            waiting.append((module, ""))  # statements that run when the module is imported
    return Closure(source, reached)


def closures(source: Source | None = None) -> dict[str, Closure]:
    """The closure of each stage's code."""
    source = source or Source(Path(hst_assets.__file__).parent)
    entries = {
        name: {tuple(entry.split(":")) for entry in stage.code} for name, stage in STAGES.items()
    }
    found = {}
    for name, stage in STAGES.items():
        others = set().union(*(those for other, those in entries.items() if other != name))
        found[name] = closure(source, stage.code, others - entries[name])
    return found


def default_settings() -> dict[str, Any]:
    """The default of each setting that may decide a product, by ``section.key``."""
    return {
        f"{section}.{key}": value
        for section, values in Settings().model_dump(mode="json").items()
        if section not in NOT_IN_RECIPES
        for key, value in values.items()
    }


# -------------------------------------------------------------------------- what has changed


def current(found: Mapping[str, Closure]) -> dict[str, Any]:
    """What the file would hold now."""
    definitions = {
        f"{module}:{name}": digest
        for each in found.values()
        for (module, name), digest in each.hashes.items()
    }
    return {
        "stages": {
            name: {"version": STAGES[name].version, "fingerprint": each.fingerprint}
            for name, each in sorted(found.items())
        },
        "defaults": default_settings(),
        "definitions": dict(sorted(definitions.items())),
    }


def recorded() -> dict[str, Any]:
    """What the file holds."""
    content: dict[str, Any] = json.loads(FILE.read_text())
    return content


def undecided(
    found: Mapping[str, Closure], known: Mapping[str, Any], *, versions: Mapping[str, str]
) -> dict[str, list[str]]:
    """The stages whose code or defaults changed while their version did not, and what changed.

    Parameters
    ----------
    found : mapping
        Closures of today's code.
    known : mapping
        What was recorded.
    versions : mapping
        Version of each stage today.
    """
    told: dict[str, list[str]] = {}
    hashes = set(known["definitions"].values())
    for name, each in found.items():
        before = known["stages"].get(name)
        if before is None or before["version"] != versions[name]:
            continue
        changed = [
            f"default of {key}: {known['defaults'][key]!r} is now {value!r}"
            for key, value in sorted(default_settings().items())
            if key in each.default_keys
            and key in known["defaults"]
            and known["defaults"][key] != value
        ]
        if each.fingerprint != before["fingerprint"]:
            changed += sorted(
                f"{module}:{symbol}"
                for (module, symbol), digest in each.hashes.items()
                if digest not in hashes
            ) or ["code was taken out of it, or came into it from another stage"]
        if changed:
            told[name] = changed
    return told


def explain(told: Mapping[str, list[str]]) -> str:
    """What a maintainer has to decide."""
    lines = []
    for name, changed in told.items():
        lines.append(f"{name} (version {STAGES[name].version}):")
        lines += [f"  {each}" for each in changed[:12]]
        if len(changed) > 12:
            lines.append(f"  and {len(changed) - 12} more")
    return "\n".join(
        [
            "The code behind these stages changed, and the version of none of them:",
            *lines,
            "If products differ: raise the version in hst_assets/stages.py, 'make fingerprints'.",
            'If they are the same: \'make fingerprints UNCHANGED="stage ..."\' (or "all").',
        ]
    )


def main(arguments: list[str] | None = None) -> int:
    """Renew the file, unless a stage changed of which nothing was said."""
    parser = argparse.ArgumentParser(prog="fingerprints", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--unchanged",
        nargs="*",
        default=[],
        metavar="STAGE",
        help="stages whose code changed while their results did not; 'all'",
    )
    given = parser.parse_args(arguments)
    unknown = set(given.unchanged) - {*STAGES, "all"}
    if unknown:
        parser.error(f"no such stage: {', '.join(sorted(unknown))}")
    found = closures()
    if FILE.exists():
        versions = {name: stage.version for name, stage in STAGES.items()}
        told = undecided(found, recorded(), versions=versions)
        left = {} if "all" in given.unchanged else dict(told)
        for name in given.unchanged:
            left.pop(name, None)
        if left:
            sys.stderr.write(explain(left) + "\n")
            return 1
    FILE.write_text(json.dumps(current(found), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
