"""Makes the built-in aspirin teacher, ffpt_core/teachers/data/aspirin: GAFF-2.11 with AM1-BCC charges.

Run from the root of the repository; needs the "gaff" extra and the libraries of sqm
(apt-get install liblapack3 libarpack2):

    python examples/data/make_aspirin_teacher.py
"""

from __future__ import annotations

from pathlib import Path

from ffpt_core.teachers.gaff.build import gaff_teacher
from ffpt_core.teachers.gaff.molecules import from_smiles

# Atom map numbers give the atom order of MD17, rMD17 and the sGDML CCSD aspirin.
ASPIRIN = (
    "[c:1]1([H:15])[c:3]([H:17])[c:4]([H:18])[c:2]([H:16])[c:7]([O:13][C:12]([C:5]([H:19])([H:20])[H:21])=[O:9])"
    "[c:6]1[C:11](=[O:8])[O:10][H:14]"
)
FOLDER = Path(__file__).resolve().parents[2] / "ffpt_core" / "teachers" / "data" / "aspirin"

if __name__ == "__main__":
    teacher = gaff_teacher(from_smiles(ASPIRIN), name="aspirin", conformers=20, seed=0)
    if teacher.provenance["charge_method"] != "am1-bcc":
        raise SystemExit(teacher.provenance["warning"])
    teacher.provenance["atom_order"] = "MD17, rMD17 and sGDML CCSD aspirin"
    teacher.save(FOLDER)
