"""What imports what: the contracts of pyproject.toml find what they forbid, no circles, and a light start."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import textwrap
import tomllib
from pathlib import Path

import grimp
import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

ROOT = Path(__file__).parents[2]
PACKAGES = ("ffpt_core", "ffpt_openmm", "ffpt_plumed")

FORBIDDEN = {
    "packages": ("ffpt_core/base/units.py", "import ffpt_plumed.text"),
    "core": ("ffpt_core/base/files.py", "import ffpt_core.structure.pairs"),
    "openmm": ("ffpt_openmm/forces/create.py", "import ffpt_openmm.md.guard"),
    "plumed": ("ffpt_plumed/text/script.py", "import ffpt_plumed.kernel.library"),
    "cli": ("ffpt_openmm/md/guard.py", "import ffpt_core.cli.main"),
    "circles": ("ffpt_core/base/errors.py", "import ffpt_core.base.files"),
}
"""An import that breaks each contract, by the contract's id: the file and the line to add."""


def contracts() -> dict[str, str]:
    """Names of the contracts by their ids."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    return {one["id"]: one["name"] for one in settings["contracts"]}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What import-linter says of a copy of the packages to which every line of FORBIDDEN was added."""
    copy = tmp_path_factory.mktemp("packages")
    shutil.copy(ROOT / "pyproject.toml", copy)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=lambda _, names: {"__pycache__", "data"} & set(names))
    for file, line in FORBIDDEN.values():
        with (copy / file).open("a") as opened:
            opened.write(f"\n\ndef _late() -> None:\n    {line}\n")
    program = Path(sysconfig.get_path("scripts")) / "lint-imports"
    return subprocess.run([program, "--no-logo", "--no-cache"], cwd=copy, capture_output=True, text=True).stdout


@pytest.mark.parametrize("contract", FORBIDDEN)
def test_a_forbidden_import_breaks_its_contract(contract: str, broken: str) -> None:
    assert f"{contracts()[contract]} BROKEN" in broken


def test_every_contract_is_broken_once() -> None:
    assert contracts().keys() == FORBIDDEN.keys()


def circles(graph: grimp.ImportGraph) -> list[list[str]]:
    """Groups of modules that reach one another by imports: strongly connected components of more than one module."""
    modules = sorted(graph.modules)
    place = {module: k for k, module in enumerate(modules)}
    arrows = [(place[a], place[b]) for a in modules for b in graph.find_modules_directly_imported_by(a)]
    start, end = np.array(arrows).T
    links = coo_array((np.ones(len(arrows)), (start, end)), shape=(len(modules),) * 2)
    _, group = connected_components(links, connection="strong")
    found = [[modules[k] for k in np.flatnonzero(group == one)] for one in np.flatnonzero(np.bincount(group) > 1)]
    return sorted(found)


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """Imports of the three packages, those under TYPE_CHECKING and inside functions included."""
    return grimp.build_graph(*PACKAGES, cache_dir=None)


def test_no_file_imports_itself_by_way_of_others(graph: grimp.ImportGraph) -> None:
    """The contract on circles does not look at the __init__ files of packages; this does."""
    assert circles(graph) == []


def test_a_circle_is_found() -> None:
    closed = grimp.ImportGraph()
    for importer, imported in [("a", "a.b"), ("a.b", "a.c"), ("a.c", "a"), ("a.c", "a.d")]:
        closed.add_import(importer=importer, imported=imported)
    assert circles(closed) == [["a", "a.b", "a.c"]]


@pytest.mark.parametrize("start", ["ffpt_core", "ffpt_openmm", "ffpt_plumed", "ffpt_core.cli.main"])
def test_what_is_light_loads_nothing_heavy(start: str) -> None:
    """import ffpt_core and ffpt --help must not wait seconds for imports that they do not need."""
    heavy = ["torch", "lightning", "openmm", "mdtraj", "matplotlib", "scipy", "ase", "numpy", "rdkit"]
    code = f"""
        import sys, {start}
        if {start == "ffpt_core.cli.main"}: assert ffpt_core.cli.main.main(["--help"]) == 0
        print([name for name in {heavy} if name in sys.modules])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr
