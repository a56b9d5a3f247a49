"""Errors of a potential on labelled frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from ffpt_core.base.errors import FfptError
from ffpt_core.base.progress import progress_bar
from ffpt_core.datasets import Dataset
from ffpt_core.potentials.backends import choose_backend
from ffpt_core.potentials.network_potential import NetworkPotential
from ffpt_core.potentials.newtonnet.cpp import CppNetwork, Structures, chunks_of
from ffpt_core.training.batches import Batch, FrameBatches


@dataclass(frozen=True)
class Errors:
    """Mean absolute and root mean square errors: energies per frame in eV, force components in eV/Angstrom.

    Errors of a label that the data lack are None.
    """

    UNITS: ClassVar[dict[str, str]] = {"energy": "eV per frame", "force": "eV/Angstrom per component"}

    frames: int
    energy_mae: float | None
    energy_rmse: float | None
    force_mae: float | None
    force_rmse: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name."""
        return asdict(self)

    def describe(self) -> str:
        """One line for people: mean absolute errors in meV."""
        parts = []
        if self.energy_mae is not None:
            parts.append(f"energy MAE {1000 * self.energy_mae:.1f} meV")
        if self.force_mae is not None:
            parts.append(f"force MAE {1000 * self.force_mae:.1f} meV/Å")
        return ", ".join(parts) + f" ({self.frames} frames)"


_FRAMES_ON_CPU, _ATOMS_ON_GPU = 20, 4000
"""What is evaluated at once: a GPU takes as long for few atoms as for many."""


def predict(
    potential: NetworkPotential, dataset: Dataset, batch_size: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Energies and forces of every frame.

    Args:
        potential: what to evaluate.
        dataset: the frames.
        batch_size: how many at once; None: what suits the potential's device.

    Returns:
        (n_frames,) eV, and (n_atoms_total, 3) eV/Angstrom, in the order of the dataset.

    Raises:
        FfptError: an element that the potential does not know.
    """
    potential.check(dataset.numbers)
    evaluate = _fused(potential) if choose_backend("auto", potential).name == "cpp" else _torch(potential)
    if batch_size is None:
        many = max(1, int(_ATOMS_ON_GPU / np.mean(dataset.n_atoms))) if len(dataset) else 1
        batch_size = _FRAMES_ON_CPU if potential.device.type == "cpu" else many
    batches = FrameBatches(dataset, potential.cutoff)
    energies, forces = [], []
    with progress_bar("evaluating", len(dataset)) as advance:
        for first in range(0, len(dataset), batch_size):
            frames = np.arange(first, min(first + batch_size, len(dataset)))
            energy, force = evaluate(batches[frames])
            energies.append(energy)
            forces.append(force)
            advance(len(frames))
    return np.concatenate(energies), np.concatenate(forces)


BatchEvaluation = Callable[[Batch], tuple[np.ndarray, np.ndarray]]
"""A batch to (n_frames,) energies, eV, and (n_atoms, 3) forces, eV/Angstrom."""


def _torch(potential: NetworkPotential) -> BatchEvaluation:
    def evaluate(batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        batch = batch.to(potential.device)
        with torch.no_grad():
            energies, forces = potential(*batch[:6])
        energies = energies.double() + potential.shift_energies(batch.numbers, batch.frames, batch.n_frames)
        return energies.cpu().numpy(), forces.double().cpu().numpy()

    return evaluate


def _fused(potential: NetworkPotential) -> BatchEvaluation:
    network = CppNetwork(potential)

    def evaluate(batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        translations = None if batch.translations is None else batch.translations.numpy()
        structures = Structures(batch.numbers.numpy(), batch.positions.numpy(), batch.pairs.numpy(), translations)
        result = network.evaluate_frames(structures, chunks_of(structures, batch.frames.numpy(), batch.n_frames))
        shifts = potential.shift_energies(batch.numbers, batch.frames, batch.n_frames).numpy()
        return np.bincount(batch.frames.numpy(), result.energies, batch.n_frames) + shifts, result.forces

    return evaluate


def errors_of(dataset: Dataset, energies: np.ndarray, forces: np.ndarray) -> Errors:
    """Errors of predictions of a dataset, as predict gives them.

    Raises:
        FfptError: no labels at all, or no frames.
    """
    if not len(dataset) or (dataset.energies is None and dataset.forces is None):
        raise FfptError("nothing to evaluate against: the data hold no frames or no labels")

    def mae_rmse(predicted: np.ndarray, label: np.ndarray | None) -> tuple[float | None, float | None]:
        if label is None:
            return None, None
        error = predicted - label
        return float(np.abs(error).mean()), float(np.sqrt(np.square(error).mean()))

    return Errors(len(dataset), *mae_rmse(energies, dataset.energies), *mae_rmse(forces, dataset.forces))


def errors_by(dataset: Dataset, energies: np.ndarray, forces: np.ndarray, group: str) -> dict[str, Errors]:
    """Errors of predictions for each label of a group of the dataset, such as "reaction".

    Args:
        dataset: labelled frames.
        energies, forces: as predict gives them.
        group: a name in dataset.groups, or several with commas between them ("reaction,source").

    Returns:
        {label: errors}, sorted by label; labels of several groups have a space between them.

    Raises:
        FfptError: no such group.
    """
    labels = np.full(len(dataset), "")
    for name in group.split(","):
        if name not in dataset.groups:
            raise FfptError(f"the data have no group {name!r}; they have {', '.join(dataset.groups) or 'none'}")
        labels = np.char.add(np.char.add(labels, " "), dataset.groups[name])
    of_atom = np.repeat(np.arange(len(dataset)), dataset.n_atoms)
    found = {}
    for label in np.unique(labels):
        frames = labels == label
        found[str(label).strip()] = errors_of(dataset[frames], energies[frames], forces[frames[of_atom]])
    return found


def evaluate(potential: NetworkPotential, dataset: Dataset, batch_size: int | None = None) -> Errors:
    """Errors of a potential on a dataset with energies, forces or both.

    Raises:
        FfptError: no labels at all, no frames, or an element that the potential does not know.
    """
    return errors_of(dataset, *predict(potential, dataset, batch_size))
