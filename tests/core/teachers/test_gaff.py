"""GAFF-2.11 for any molecule: parameter files, molecules from SMILES and files, charges, bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ffpt_core.base.errors import FfptError

pytest.importorskip("rdkit")
pytest.importorskip("openmmforcefields")

from amber_reference import DATA

import ffpt_core.teachers.gaff.build as gaff
from ffpt_core.teachers.gaff.ambertools import AmberTools
from ffpt_core.teachers.gaff.atom_types import Typed, neutralised
from ffpt_core.teachers.gaff.gaps import fill_gaps
from ffpt_core.teachers.gaff.impropers import gaff_impropers, match
from ffpt_core.teachers.gaff.molecules import check_molecule, from_file, from_smiles
from ffpt_core.teachers.gaff.parameters import covered, read_frcmod
from ffpt_core.teachers.relaxation import FORCE_TOLERANCE
from ffpt_core.teachers.topology import build_topology


@pytest.fixture
def tools() -> AmberTools:
    try:
        return AmberTools.find()
    except FfptError as error:
        pytest.skip(str(error))


# ---- parameters


def test_a_frcmod_fills_gaps_only() -> None:
    entries = read_frcmod((DATA / "aspirin.frcmod").read_text())
    listed = {entry.classes for entry in entries if entry.kind == "improper"}
    added = {entry.classes for entry in fill_gaps(entries)}
    # X-X-c-o and X-X-ca-ha of GAFF cover the first two; parmchk2 lists them all the same.
    assert {("c3", "o", "c", "os"), ("ca", "ca", "ca", "ha")} <= listed - added
    assert ("ca", "ca", "ca", "os") in added


def test_a_parameter_that_nobody_knows_is_an_error() -> None:
    text = "x\nBOND\nc3-zz  0.00   0.000       ATTN, need revision\n"
    with pytest.raises(FfptError, match="bond c3-zz"):
        read_frcmod(text)
    with pytest.raises(FfptError, match="van der Waals parameters for atom type zz"):
        read_frcmod("x\nNONBON\n  zz   0.0   0.0   ATTN, need revision\n")
    with pytest.raises(FfptError, match="angle line of an Amber"):
        read_frcmod("x\nANGLE\nc3-c3\n")


def test_general_terms_match_both_ways() -> None:
    assert covered("proper", ("ca", "ca", "c", "o"))
    assert covered("bond", ("ca", "c")) == covered("bond", ("c", "ca")) is True
    assert not covered("bond", ("h1", "h2"))


def test_the_more_specific_improper_wins() -> None:
    types = ("c3", "o", "c", "o")
    entry, order = match(2, (0, 1, 3), types, gaff_impropers())  # carboxylate: X-o-c-o before X-X-c-o
    assert entry.classes == ("X", "o", "c", "o")
    assert order == (0, 1, 3)
    entry, order = match(2, (3, 0, 1), ("c3", "o", "c", "os"), gaff_impropers())
    assert entry.classes == ("X", "X", "c", "o")
    assert order == (0, 3, 1)  # o last, the others by number


def test_a_missing_bond_parameter_is_not_left_out() -> None:
    topology = build_topology(["C", "C"], [(0, 1)])
    with pytest.raises(FfptError, match="no parameter for the bond"):
        gaff.build_system(topology, Typed(("f", "hw"), np.zeros(2), "x\n", "gasteiger"))
    with pytest.raises(FfptError, match="no atom type zz"):
        gaff.build_system(topology, Typed(("c3", "zz"), np.zeros(2), "x\n", "gasteiger"))


def test_charges_are_made_to_add_up_and_checked() -> None:
    charges = neutralised(np.array([0.3334, -0.3333, 0.0]), 0)
    assert charges.sum() == pytest.approx(0.0, abs=1e-15)
    with pytest.raises(FfptError, match="formal charge is -1"):
        neutralised(np.array([0.1, -0.1]), -1)


# ---- molecules


def test_mapped_smiles_keep_their_order() -> None:
    molecule = from_smiles("[H:1][O:3][H:2]")
    assert [atom.GetSymbol() for atom in molecule.GetAtoms()] == ["H", "H", "O"]
    assert [atom.GetAtomMapNum() for atom in molecule.GetAtoms()] == [0, 0, 0]


@pytest.mark.parametrize("smiles", ["", "C(C", "not a molecule"])
def test_bad_smiles(smiles: str) -> None:
    with pytest.raises(FfptError, match="not a valid SMILES"):
        from_smiles(smiles)


def test_what_gaff_cannot_describe_is_refused() -> None:
    with pytest.raises(FfptError, match="this input has 2"):
        check_molecule(from_smiles("CC.O"))
    with pytest.raises(FfptError, match="radical"):
        check_molecule(from_smiles("C[CH2]"))


def embedded_file(tmp_path: Path, smiles: str, suffix: str) -> tuple[Path, np.ndarray]:
    """A molecule written to a file, and its positions."""
    from rdkit import Chem
    from rdkit.Chem import AllChem

    molecule = from_smiles(smiles)
    AllChem.EmbedMolecule(molecule, randomSeed=1)
    path = tmp_path / f"molecule{suffix}"
    writer = {".sdf": Chem.MolToMolBlock, ".pdb": Chem.MolToPDBBlock}[suffix]
    path.write_text(writer(molecule))
    return path, molecule.GetConformer().GetPositions()


@pytest.mark.parametrize(("suffix", "charge"), [(".sdf", None), (".pdb", -1)])
def test_ions_from_files_keep_order_and_geometry(tmp_path: Path, suffix: str, charge: int | None) -> None:
    from rdkit import Chem

    path, positions = embedded_file(tmp_path, "CC(=O)[O-]", suffix)
    molecule = from_file(path, charge=charge)
    assert Chem.GetFormalCharge(molecule) == -1
    np.testing.assert_allclose(molecule.GetConformer().GetPositions(), positions, atol=1e-3)


def test_pdb_bonds_from_a_template(tmp_path: Path) -> None:
    from rdkit import Chem

    path, _ = embedded_file(tmp_path, "C[NH3+]", ".pdb")
    assert Chem.MolToSmiles(Chem.RemoveHs(from_file(path, charge=1, smiles="C[NH3+]"))) == "C[NH3+]"
    with pytest.raises(FfptError, match="do not fit a formal charge of 0"):
        from_file(path)
    with pytest.raises(FfptError, match="do not fit the SMILES"):
        from_file(path, smiles="CCO")


ACETATE_MOL2 = """@<TRIPOS>MOLECULE
acetate
7 6 1 0 0
SMALL
NO_CHARGES

@<TRIPOS>ATOM
1 O1  -0.90  0.76  0.02 O.co2 1 MOL 0.0
2 C1  -0.63 -0.46  0.01 C.2   1 MOL 0.0
3 O2  -1.40 -1.45 -0.01 O.co2 1 MOL 0.0
4 C2   0.87 -0.78  0.00 C.3   1 MOL 0.0
5 H1   1.30 -0.39 -0.93 H     1 MOL 0.0
6 H2   1.36 -0.26  0.83 H     1 MOL 0.0
7 H3   1.06 -1.85  0.08 H     1 MOL 0.0
@<TRIPOS>BOND
1 1 2 ar
2 2 3 ar
3 2 4 1
4 4 5 1
5 4 6 1
6 4 7 1
"""


def test_mol2_with_sybyl_types(tmp_path: Path) -> None:
    path = tmp_path / "acetate.mol2"
    path.write_text(ACETATE_MOL2)
    molecule = from_file(path, charge=-1)
    assert [atom.GetSymbol() for atom in molecule.GetAtoms()] == list("OCOCHHH")
    with pytest.raises(FfptError, match="formal charge is -1, not 0"):
        from_file(path, charge=0)
    with pytest.raises(FfptError, match="SYBYL atom types"):
        from_file(DATA / "pyridine.mol2")


def test_files_with_missing_hydrogens_or_wrong_names(tmp_path: Path) -> None:
    from rdkit import Chem

    bare = tmp_path / "bare.sdf"
    bare.write_text(Chem.MolToMolBlock(Chem.MolFromSmiles("CCO")))
    with pytest.raises(FfptError, match="hydrogens are missing"):
        from_file(bare)
    (tmp_path / "a.cif").write_text("")
    with pytest.raises(FfptError, match=r"are read from \.sdf"):
        from_file(tmp_path / "a.cif")
    with pytest.raises(FfptError, match="cannot read"):
        from_file(tmp_path / "nothing.sdf")
    (tmp_path / "junk.sdf").write_text("junk\n")
    with pytest.raises(FfptError, match="no valid molecule"):
        from_file(tmp_path / "junk.sdf")


# ---- the whole way


def test_gasteiger_where_sqm_cannot_run(tools: AmberTools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AmberTools, "sqm_problem", lambda self, folder: "liblapack.so.3 is missing")
    teacher = gaff.gaff_teacher(from_smiles("CC(=O)[O-]"), conformers=3)
    assert teacher.provenance["charge_method"] == "gasteiger"
    assert "liblapack.so.3 is missing" in teacher.provenance["warning"]
    assert sum(teacher.provenance["charges_e"]) == pytest.approx(-1.0, abs=1e-6)
    assert np.abs(teacher.energies_and_forces(teacher.atoms.positions[None])[1]).max() < FORCE_TOLERANCE


def test_am1_bcc_of_a_cation(tools: AmberTools, tmp_path: Path) -> None:
    problem = tools.sqm_problem(tmp_path)
    if problem:
        pytest.skip(problem)
    teacher = gaff.gaff_teacher(from_smiles("C[NH3+]"), conformers=2, name="methylammonium")
    assert teacher.provenance["charge_method"] == "am1-bcc"
    charges = np.array(teacher.provenance["charges_e"])
    assert charges.sum() == pytest.approx(1.0, abs=1e-6)
    symbols = np.array(teacher.atoms.get_chemical_symbols())
    amine = charges[symbols == "H"][-3:]
    np.testing.assert_allclose(amine, amine[0], atol=1e-6)  # equivalent hydrogens have equal charges
    assert teacher.provenance["name"] == "methylammonium"
    teacher.save(tmp_path / "out")
    assert (tmp_path / "out" / "teacher.json").is_file()


def test_an_unknown_charge_method_is_refused(tools: AmberTools) -> None:
    with pytest.raises(FfptError, match="am1-bcc, gasteiger"):
        gaff.gaff_teacher(from_smiles("C"), charge_method="resp")


def test_an_element_outside_gaff_is_refused(tools: AmberTools) -> None:
    with pytest.raises(FfptError):
        gaff.gaff_teacher(from_smiles("C[Si](C)(C)C"), charge_method="gasteiger", conformers=1)
