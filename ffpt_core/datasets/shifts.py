"""Energy references per element: the part of the energy that depends on the composition only.

Levels of theory put the zero of energy at different places, by thousands of eV. With n_fZ atoms of element
Z in frame f, the shifts s_Z minimise sum_f (E_f - sum_Z n_fZ s_Z)^2.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from ase.data import chemical_symbols

from ffpt_core.base.errors import FfptError
from ffpt_core.datasets.dataset import Dataset


def compositions(dataset: Dataset) -> np.ndarray:
    """(n_frames, n_elements) number of atoms of each of dataset.elements in each frame."""
    elements = np.array(dataset.elements, dtype=np.int64)
    column = np.searchsorted(elements, dataset.numbers)
    frame = np.repeat(np.arange(len(dataset)), dataset.n_atoms)
    flat = np.bincount(frame * len(elements) + column, minlength=len(dataset) * len(elements))
    return flat.reshape(len(dataset), len(elements))


def _least_squares(dataset: Dataset, energies: np.ndarray) -> dict[int, float]:
    """The shifts of smallest norm that fit energies (n_frames,) best."""
    # Frames of one composition pull as one frame with their mean energy and the square root of their number
    # as weight: the same minimum from a few rows, so that a mean is met to rounding error of the energy.
    rows, inverse, counts = np.unique(compositions(dataset), axis=0, return_inverse=True, return_counts=True)
    means = np.bincount(inverse.reshape(-1), weights=energies) / counts
    weights = np.sqrt(counts)
    solution = np.linalg.lstsq(rows * weights[:, None], means * weights, rcond=None)[0]
    return {element: float(value) for element, value in zip(dataset.elements, solution, strict=True)}


def fit_shifts(dataset: Dataset) -> dict[int, float]:
    """Energies per element by least squares from the labels of dataset.

    Where the compositions do not determine them (frames of one molecule, or of isomers), the solution of
    smallest norm is taken: it still reproduces the mean energy of each composition as well as any, but how
    that energy is shared among the elements has no meaning, and it does not carry over to other compositions.

    Args:
        dataset: labelled frames.

    Returns:
        {atomic number: eV per atom} for all elements of dataset.

    Raises:
        FfptError: dataset has no frames or no energies.
    """
    if len(dataset) == 0 or dataset.energies is None:
        raise FfptError("energy references need frames with energies, and this data set has none")
    return _least_squares(dataset, dataset.energies)


def shift_energies(dataset: Dataset, shifts: Mapping[int, float]) -> np.ndarray:
    """Sum of the shifts of each frame's atoms.

    Args:
        dataset: frames.
        shifts: {atomic number: eV per atom}.

    Returns:
        (n_frames,) eV.

    Raises:
        FfptError: an element of dataset has no shift.
    """
    missing = [chemical_symbols[element] for element in dataset.elements if element not in shifts]
    if missing:
        known = ", ".join(chemical_symbols[element] for element in sorted(shifts)) or "none"
        raise FfptError(f"no energy reference for {', '.join(missing)}; known: {known}")
    return compositions(dataset) @ np.array([shifts[element] for element in dataset.elements], dtype=float)


def refit_shifts(shifts: Mapping[int, float], dataset: Dataset, predicted: np.ndarray) -> dict[int, float]:
    """Shifts that carry a potential from its own level of theory to that of dataset.

    The least-squares fit of the difference between the labels and what the potential predicts is added to
    the shifts it has. The shape of its energy surface is untouched, and the smallest change is made where
    the data leave a choice.

    Args:
        shifts: of the potential, {atomic number: eV per atom}.
        dataset: frames labelled at the new level.
        predicted: (n_frames,) energies of the potential for these frames, shifts included, eV.

    Returns:
        New shifts for all elements of shifts and of dataset; elements that dataset lacks keep theirs.

    Raises:
        FfptError: dataset has no energies, predicted has another shape or is not finite.
    """
    if len(dataset) == 0 or dataset.energies is None:
        raise FfptError("energy references need frames with energies, and this data set has none")
    predicted = np.asarray(predicted, dtype=float)
    if predicted.shape != dataset.energies.shape:
        raise FfptError(f"predicted energies of shape {predicted.shape} for {len(dataset)} frames")
    wrong = np.flatnonzero(~np.isfinite(predicted))
    if len(wrong):
        raise FfptError(f"frame {wrong[0]}: NaN or infinite predicted energy")
    change = _least_squares(dataset, dataset.energies - predicted)
    return {element: shifts.get(element, 0.0) + change.get(element, 0.0) for element in sorted({*shifts, *change})}
