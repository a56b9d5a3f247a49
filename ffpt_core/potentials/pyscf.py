"""ASE calculator of pyscf: Kohn-Sham and Hartree-Fock energies and forces of molecules."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import BOHR, HARTREE
from ffpt_core.potentials.ase import SinglePointCalculator

MAX_CYCLES = 200
"""SCF iterations before a frame counts as failed (pyscf's own 50 are few for stretched bonds)."""


def _import_pyscf() -> Any:
    try:
        import pyscf
        from pyscf import dft, gto, scf  # noqa: F401  # makes the modules reachable
    except ImportError as error:
        raise FfptError(f'pyscf is not there ({error}): pip install "ffpt[labels]"') from error
    return pyscf


@dataclass(frozen=True)
class Model:
    """A level of theory and how its equations are solved.

    Args:
        functional: of pyscf's libxc ("PBE", "wB97X", ...) or "HF".
        basis: basis set.
        density_fit: density fitting of Coulomb and exchange integrals.
        spins: unpaired electrons of each atom in the initial guess, negative for the minority spin; None: pyscf's own
            guess. A broken-symmetry solution is found from such a guess only.
    """

    functional: str
    basis: str
    density_fit: bool = False
    spins: tuple[float, ...] | None = None

    @property
    def level(self) -> str:
        """The level of theory, without how it is solved."""
        return f"{self.functional}/{self.basis}" + ("/df" if self.density_fit else "")


def check_model(text: str) -> Model:
    """Read "PBE/def2-svp", or "wB97X/def2-TZVP/df/spins=1,1,-1"; functional and basis set are known to pyscf.

    Raises:
        FfptError: another form, or a functional or basis set that pyscf does not know.
    """
    functional, basis, *options = text.split("/") if "/" in text else ("", "")
    if not (functional and basis):
        raise FfptError(f"pyscf:{text}: write pyscf:FUNCTIONAL/BASIS, for example pyscf:PBE/def2-svp")
    density_fit, spins = False, None
    for option in options:
        name, _, value = option.partition("=")
        try:
            if option == "df":
                density_fit = True
            elif name == "spins":
                spins = tuple(float(spin) for spin in value.split(","))
            else:
                raise ValueError
        except ValueError as error:
            raise FfptError(f"pyscf:{text}: {option!r} is neither df nor spins=1,1,-1 (one number per atom)") from error
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
    return Model(functional, basis, density_fit, spins)


class PyscfCalculator(SinglePointCalculator):
    """Energy (eV) and forces (eV/Angstrom) from pyscf, each frame converged from its own initial guess.

    An SCF that does not converge by DIIS goes on with second-order steps.

    Args:
        model: see check_model.
        charge: total charge, e.
        multiplicity: 2S + 1; unrestricted orbitals unless it is 1 and no spins are given.
    """

    implemented_properties = ["energy", "free_energy", "forces"]  # noqa: RUF012 - as ASE declares it

    def __init__(self, model: Model, charge: int = 0, multiplicity: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model
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
        energy = mean_field.kernel(dm0=_guess(mean_field, self.model.spins))
        if not mean_field.converged:
            mean_field = mean_field.newton()
            energy = mean_field.kernel(mean_field.mo_coeff, mean_field.mo_occ)
        if not mean_field.converged:
            raise FfptError(f"the SCF of {self.model.level} did not converge in {MAX_CYCLES} cycles")
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
                basis=self.model.basis,
                charge=self.charge,
                spin=self.multiplicity - 1,
                verbose=0,
            )
        except (RuntimeError, KeyError, ValueError) as error:
            raise FfptError(f"pyscf refuses the molecule: {str(error).strip().splitlines()[0]}") from error
        restricted = self.multiplicity == 1 and self.model.spins is None
        if self.model.functional.upper() == "HF":
            mean_field = pyscf.scf.RHF(molecule) if restricted else pyscf.scf.UHF(molecule)
        else:
            mean_field = pyscf.dft.RKS(molecule) if restricted else pyscf.dft.UKS(molecule)
            mean_field.xc = self.model.functional
        if self.model.density_fit:
            mean_field = mean_field.density_fit()
        mean_field.max_cycle = MAX_CYCLES
        return mean_field


def _guess(mean_field: Any, spins: tuple[float, ...] | None) -> Any:
    """(2, n_orbitals, n_orbitals) densities of free atoms with these spins; None: pyscf's own choice.

    Raises:
        FfptError: another number of spins than atoms, or more unpaired electrons than an atom has.
    """
    if spins is None:
        return None
    molecule = mean_field.mol
    charges = molecule.atom_charges()
    if len(spins) != molecule.natm or (np.abs(spins) > charges).any():
        raise FfptError(f"spins {', '.join(f'{spin:g}' for spin in spins)} do not fit {molecule.natm} atoms")
    total = np.asarray(mean_field.get_init_guess(molecule, "minao"))
    if total.ndim == 3:
        total = total.sum(axis=0)
    up = np.empty(len(total))
    for (_, _, first, last), spin, charge in zip(molecule.aoslice_by_atom(), spins, charges, strict=True):
        up[first:last] = 0.5 * (1 + spin / charge)
    weight = np.sqrt(np.outer(up, up)), np.sqrt(np.outer(1 - up, 1 - up))
    return np.array([total * part for part in weight])
