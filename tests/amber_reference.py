"""Reference parameters for GAFF tests: prmtop files that tleap made from the same atom types and charges.

Regenerate tests/data/gaff (needs the "gaff" extra, the libraries of sqm, and a C compiler for a stand-in for
libjpeg, see _libraries):

    python tests/amber_reference.py
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from ffpt_core.teachers.gaff.ambertools import AmberTools
from ffpt_core.teachers.gaff.atom_types import CHARGE_METHODS
from ffpt_core.teachers.gaff.gaps import fill_gaps
from ffpt_core.teachers.gaff.parameters import Entry, gaff_dat, read_frcmod

DATA = Path(__file__).parent / "data" / "gaff"

MOLECULES: dict[str, str] = {
    # The built-in teacher's: map numbers give its atom order.
    "aspirin": "[c:1]1([H:15])[c:3]([H:17])[c:4]([H:18])[c:2]([H:16])[c:7]([O:13][C:12]([C:5]([H:19])([H:20])[H:21])"
    "=[O:9])[c:6]1[C:11](=[O:8])[O:10][H:14]",
    "acetate": "CC(=O)[O-]",
    "methylammonium": "C[NH3+]",
    "pyridine": "c1ccncc1",
    "sulfanilamide": "Nc1ccc(cc1)S(N)(=O)=O",
    "chlorofluoroacetamide": "CNC(=O)C(F)Cl",
}
"""Name and SMILES: neutral and charged, aromatic, with N, O, S and halogens."""


def _libraries(home: Path, folder: Path) -> str:
    """LD_LIBRARY_PATH for tleap of the acpype package.

    Its libraries lost the symbolic links that the loader looks for, and one of them, never called here, wants
    libjpeg.so.8, which Debian does not have: an empty stand-in with the same names is compiled.
    """
    short = {
        "libdf.so.0.0.0": "libdf.so.0",
        "libmfhdf.so.0.0.0": "libmfhdf.so.0",
        "libhdf5.so.310.2.0": "libhdf5.so.310",
        "libhdf5_hl.so.310.0.2": "libhdf5_hl.so.310",
        "libsz.so.2.0.1": "libsz.so.2",
        "libzip.so.5.5": "libzip.so.5",
    }
    for path in (home / "lib").iterdir():
        (folder / short.get(path.name, path.name)).symlink_to(path)
    calls = "CreateCompress CreateDecompress destroy_compress destroy_decompress finish_compress finish_decompress "
    calls += "read_header read_scanlines resync_to_restart set_defaults set_quality start_compress start_decompress "
    calls += "std_error write_scanlines"
    (folder / "jpeg.c").write_text("".join(f"void jpeg_{call}(void) {{}}\n" for call in calls.split()))
    (folder / "jpeg.map").write_text("LIBJPEG_8.0 { global: *; };\n")
    command = ["cc", "-shared", "-fPIC", "-o", "libjpeg.so.8", "jpeg.c", "-Wl,-soname,libjpeg.so.8"]
    subprocess.run([*command, "-Wl,--version-script=jpeg.map"], cwd=folder, check=True, capture_output=True)
    return str(folder)


def tleap_problem() -> str | None:
    """Why make_prmtop cannot work here, or None."""
    home = AmberTools.find().home
    if not (home / "bin" / "tleap").is_file():
        return "no tleap"
    if shutil.which("cc") is None:
        return "no C compiler"
    with tempfile.TemporaryDirectory() as name:
        done = _tleap(home, "quit\n", Path(name))
    return None if done.returncode == 0 else f"tleap does not run: {done.stderr.strip() or done.stdout.strip()}"


def _tleap(home: Path, script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "leap.in").write_text(script)
    (folder / "lib").mkdir()
    environment = {**os.environ, "AMBERHOME": str(home), "LD_LIBRARY_PATH": _libraries(home, folder / "lib")}
    command = [str(home / "bin" / "tleap"), "-s", "-f", "leap.in"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


def _numbers(entry: Entry) -> str:
    """The numbers of a frcmod line; torsions go by column, and an improper leaves the divider blank."""
    if entry.kind in ("bond", "angle"):
        return "".join(f"{value:11.4f}" for value in entry.values)
    divider = f"{round(entry.values[0]):4d}" if entry.kind == "proper" else "    "
    return divider + "".join(f"{value:15.4f}" for value in entry.values[-3:])


def _frcmod(entries: list[Entry]) -> str:
    """Entries as a frcmod file."""
    text = "gaps of GAFF-2.11\n"
    sections = {"bond": "BOND", "angle": "ANGLE", "proper": "DIHE", "improper": "IMPROPER"}
    for kind, title in sections.items():
        chosen = [entry for entry in entries if entry.kind == kind]
        lines = ["-".join(f"{name:<2}" for name in entry.classes) + _numbers(entry) + "\n" for entry in chosen]
        text += title + "\n" + "".join(lines) + "\n"
    return text


def make_prmtop(mol2: str, frcmod: str) -> str:
    """The prmtop that tleap makes from a typed MOL2 file, gaff-2.11.dat, and the gaps that frcmod fills."""
    home = AmberTools.find().home
    # Atom types with their hybridisation, from leaprc.gaff2, without the newer parameters it would load.
    lines = (home / "dat" / "leap" / "cmd" / "leaprc.gaff2").read_text().splitlines()
    types = "\n".join(line for line in lines if "loadamberparams" not in line)
    script = f"{types}\nloadamberparams {gaff_dat()}\nloadamberparams gaps.frcmod\n"
    script += "mol = loadmol2 typed.mol2\nsaveamberparm mol out.prmtop out.inpcrd\nquit\n"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "typed.mol2").write_text(mol2)
        (folder / "gaps.frcmod").write_text(_frcmod(fill_gaps(read_frcmod(frcmod))))
        done = _tleap(home, script, folder)
        target = folder / "out.prmtop"
        if not target.is_file() or not target.stat().st_size:
            raise RuntimeError(f"tleap made no prmtop:\n{done.stdout}\n{done.stderr}")
        return target.read_text()


def typed_files(smiles: str) -> tuple[str, str]:
    """MOL2 with GAFF types and AM1-BCC charges, and frcmod, as the programs wrote them."""
    from rdkit import Chem

    from ffpt_core.teachers.gaff.molecules import embedded, from_smiles

    molecule = embedded(from_smiles(smiles), conformers=20, seed=0)
    tools = AmberTools.find()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Chem.SDWriter(str(folder / "in.sdf")) as writer:
            writer.write(molecule)
        charge = Chem.GetFormalCharge(molecule)
        tools.antechamber(folder / "in.sdf", folder / "typed.mol2", charge, CHARGE_METHODS["am1-bcc"])
        tools.parmchk2(folder / "typed.mol2", folder / "gaps.frcmod", gaff_dat())
        return (folder / "typed.mol2").read_text(), (folder / "gaps.frcmod").read_text()


if __name__ == "__main__":
    DATA.mkdir(parents=True, exist_ok=True)
    for name, smiles in MOLECULES.items():
        mol2, frcmod = typed_files(smiles)
        (DATA / f"{name}.mol2").write_text(mol2)
        (DATA / f"{name}.frcmod").write_text(frcmod)
        (DATA / f"{name}.prmtop").write_text(make_prmtop(mol2, frcmod))
