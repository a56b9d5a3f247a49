"""ASE calculator of pyscf: Kohn-Sham and Hartree-Fock energies and forces of molecules."""

from __future__ import annotations

import warnings
from typing import Any

from ase import Atoms

from ffpt_core.calculator import SinglePointCalculator
from ffpt_core.errors import FfptError
from ffpt_core.units import BOHR, HARTREE

MAX_CYCLES = 200
"""SCF iterations before a frame counts as failed (pyscf's own 50 are few for stretched bonds)."""


def _import_pyscf() -> Any:
    try:
        import pyscf
        from pyscf import dft, gto, scf  # noqa: F401  # makes the modules reachable
    except ImportError as error:
        raise FfptError(f'pyscf is not there ({error}): pip install "ffpt[labels]"') from error
    return pyscf


def check_model(model: str) -> tuple[str, str]:
    """Split "PBE/def2-svp" into functional and basis set, both known to pyscf.

    Raises:
        FfptError: another form, or a functional or basis set that pyscf does not know.
    """
    functional, slash, basis = model.partition("/")
    if not (slash and functional and basis):
        raise FfptError(f"pyscf:{model}: write pyscf:FUNCTIONAL/BASIS, for example pyscf:PBE/def2-svp")
    pyscf = _import_pyscf()
    if functional.upper() != "HF":
        try:
            pyscf.dft.libxc.parse_xc(functional)
        except (KeyError, ValueError) as error:
            raise FfptError(f"pyscf knows no functional {functional!r}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice to install another package's basis sets
            pyscf.gto.basis.load(basis, "H")
    except (KeyError, RuntimeError, ValueError, OSError) as error:
        raise FfptError(f"pyscf knows no basis set {basis!r}") from error
    return functional, basis


class PyscfCalculator(SinglePointCalculator):
    """Energy (eV) and forces (eV/Angstrom) from pyscf, each frame converged from its own initial guess.

    Args:
        functional: of pyscf's libxc ("PBE", "B3LYP", ...) or "HF".
        basis: basis set.
        charge: total charge, e.
        multiplicity: 2S + 1; unrestricted orbitals unless it is 1.
    """

    implemented_properties = ["energy", "free_energy", "forces"]  # noqa: RUF012 - as ASE declares it

    def __init__(self, functional: str, basis: str, charge: int = 0, multiplicity: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.functional = functional
        self.basis = basis
        self.charge = charge
        self.multiplicity = multiplicity

    def evaluate(self, atoms: Atoms) -> dict[str, Any]:
        """Energy and forces.

        Raises:
            FfptError: periodic atoms, charge and multiplicity that do not fit the electrons, an element
                without basis functions, or an SCF that does not converge.
        """
        if atoms.pbc.any():
            raise FfptError("this pyscf calculator is for molecules; the frame is periodic")
        mean_field = self._mean_field(atoms)
        energy = mean_field.kernel()
        if not mean_field.converged:
            raise FfptError(f"the SCF of {self.functional}/{self.basis} did not converge in {MAX_CYCLES} cycles")
        gradient = mean_field.nuc_grad_method().kernel()
        return {
            "energy": float(energy) * HARTREE,
            "free_energy": float(energy) * HARTREE,
            "forces": -gradient * HARTREE / BOHR,
        }

    def _mean_field(self, atoms: Atoms) -> Any:
        pyscf = _import_pyscf()
        frame = [(atom.symbol, tuple(atom.position)) for atom in atoms]
        try:
            molecule = pyscf.gto.M(
                atom=frame,
                unit="Angstrom",
                basis=self.basis,
                charge=self.charge,
                spin=self.multiplicity - 1,
                verbose=0,
            )
        except (RuntimeError, KeyError, ValueError) as error:
            raise FfptError(f"pyscf refuses the molecule: {str(error).strip().splitlines()[0]}") from error
        if self.functional.upper() == "HF":
            mean_field = pyscf.scf.RHF(molecule) if self.multiplicity == 1 else pyscf.scf.UHF(molecule)
        else:
            mean_field = pyscf.dft.RKS(molecule) if self.multiplicity == 1 else pyscf.dft.UKS(molecule)
            mean_field.xc = self.functional
        mean_field.max_cycle = MAX_CYCLES
        return mean_field
