"""What ffpt 0.1.0 called a potential in the record of labels, so that its work is recognised."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ffpt_core.potentials.calculator_potential import CalculatorPotential
from ffpt_core.potentials.interface import Potential
from ffpt_core.potentials.sources import TBLITE_ACCURACY
from ffpt_core.teachers import Teacher
from ffpt_core.teachers.systems import to_xml


def earlier_name(potential: Potential, path: Path | None) -> str:
    """The name, charge and multiplicity, or the content of a file or teacher.

    Args:
        potential: what labels.
        path: what it was opened by, as a path; it may be no file.
    """
    if isinstance(potential, Teacher):
        return f"teacher {hashlib.sha256(to_xml(potential.system).encode()).hexdigest()}"
    if isinstance(potential, CalculatorPotential) and potential.source:
        name = potential.source.partition("?")[0]
        if potential.electrons is None:
            return potential.source
        charge, multiplicity = potential.electrons
        accuracy = f" accuracy {TBLITE_ACCURACY}" if name.startswith("tblite:") else ""
        return f"{name} charge {charge} multiplicity {multiplicity}{accuracy}"
    if path is not None and path.is_file():
        return f"potential {hashlib.sha256(path.read_bytes()).hexdigest()}"
    return f"potential {potential.record()['fingerprint']}"
