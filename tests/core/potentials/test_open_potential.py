"""Names of potentials: what is refused, in one line that says what there is."""

from __future__ import annotations

import sys

import pytest

from ffpt_core.base.errors import FfptError
from ffpt_core.potentials.sources import open_potential


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gfn2", "no potential 'gfn2'"),
        ("tblite:GFN9", "GFN2-xTB, GFN1-xTB"),
        ("pyscf:PBE", "write pyscf:FUNCTIONAL/BASIS"),
        ("pyscf:nonsense/def2-svp", "no functional 'nonsense'"),
        ("pyscf:PBE/nonsense", "no basis set 'nonsense'"),
        ("teacher:nowhere", "neither the folder of a teacher"),
        ("nowhere.pt", "cannot read nowhere.pt"),
        ("ase:nonsense", "no calculator 'nonsense'"),
    ],
)
def test_unknown_names(name: str, message: str) -> None:
    if name.startswith(("tblite", "pyscf")):
        pytest.importorskip(name.partition(":")[0])
    with pytest.raises(FfptError, match=message):
        open_potential(name)


@pytest.mark.parametrize(("name", "package"), [("tblite:GFN2-xTB", "tblite.ase"), ("pyscf:HF/sto-3g", "pyscf")])
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, name: str, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(FfptError, match=r"pip install \"ffpt\[labels\]\""):
        open_potential(name)
