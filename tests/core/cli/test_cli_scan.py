"""``ffpt scan``: files and pictures of single scans and of audits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from ase.build import molecule
from typer.testing import CliRunner

from ffpt_core.base.errors import FfptError
from ffpt_core.cli.scan import scan


@pytest.fixture
def ethane(tmp_path: Path) -> Path:
    molecule("C2H6").write(tmp_path / "ethane.xyz")
    return tmp_path / "ethane.xyz"


def run(arguments: list[str]) -> str:
    application = typer.Typer()
    application.command()(scan)
    result = CliRunner().invoke(application, arguments)
    if result.exception is not None:
        raise result.exception
    return result.output


def test_single_scans_of_several_kinds(ethane: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    kinds = ["--bond", "0,2", "--bond", "0,1", "--angle", "2,0,3", "--dihedral", "2,0,1,5", "--contact", "2,5"]
    run(["a=ase:emt", "--reference", "b=ase:emt", "--structure", str(ethane), *kinds, "-o", str(output)])
    names = {"bond-0-2", "bond-0-1", "angle-2-0-3", "dihedral-2-0-1-5", "contact-2-5"}
    assert {path.stem for path in output.glob("*.json")} == names
    assert {path.stem for path in output.glob("*.png")} == names | {"scans"}
    record = json.loads((output / "bond-0-2.json").read_text())
    assert record["energies_ev"]["a"] == record["energies_ev"]["b"]
    assert record["unit"] == "Angstrom" and record["moved"] == [2]
    assert len(record["values"]) == len(record["energies_ev"]["a"])


def test_audit_counts_all_bonds_and_angles(ethane: Path, tmp_path: Path) -> None:
    run(["ase:emt", "--structure", str(ethane), "--all-bonds", "--all-angles", "-o", str(tmp_path / "out")])
    (record,) = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert record["label"] == "emt"
    assert record["counts"]["bond"]["scans"] == 7 and record["counts"]["angle"]["scans"] == 6
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"all-bonds.png", "all-angles.png", "audit.png"}


def test_the_reference_takes_charge_and_multiplicity(tmp_path: Path) -> None:
    pytest.importorskip("tblite")
    molecule("O2").write(tmp_path / "o2.xyz")

    def curve(*options: str) -> list[float]:
        output = tmp_path / "-".join(["out", *options])
        molecule_of = ["--structure", str(tmp_path / "o2.xyz")]
        run(["gfn1=tblite:GFN1-xTB", *molecule_of, "--bond", "0,1", *options, "-o", str(output)])
        return json.loads((output / "bond-0-1.json").read_text())["energies_ev"]["gfn1"]

    singlet, triplet = curve(), curve("--multiplicity", "3")
    assert singlet != triplet
    assert curve("--charge", "1", "--multiplicity", "2") not in (singlet, triplet)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to scan"),
        (["--bond", "0"], "2 atoms counted from 0"),
        (["--bond", "2,3"], "not bonded"),
        (["ase:emt", "--bond", "0,1"], "both called 'emt'"),
    ],
)
def test_errors_come_before_any_work(ethane: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(FfptError, match=message):
        run(["ase:emt", *arguments, "--structure", str(ethane), "-o", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
