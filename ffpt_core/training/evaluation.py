"""Errors of a potential on labelled frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from ffpt_core.base.errors import FfptError
from ffpt_core.base.progress import progress_bar
from ffpt_core.base.results import milli
from ffpt_core.datasets import Dataset
from ffpt_core.potentials.backends import AUTO, choose_backend
from ffpt_core.potentials.interface import Evaluator, Potential
from ffpt_core.potentials.network_potential import NetworkPotential
from ffpt_core.training.batches import FrameBatches, atoms_of, chunks


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
            parts.append(f"energy MAE {milli(self.energy_mae)} meV")
        if self.force_mae is not None:
            parts.append(f"force MAE {milli(self.force_mae)} meV/Å")
        return ", ".join(parts) + f" ({self.frames} frames)"


_FRAMES_ON_CPU, _ATOMS_ON_GPU = 20, 4000
"""What is evaluated at once: a GPU takes as long for few atoms as for many."""


def predict(potential: Potential, dataset: Dataset, batch_size: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Energies and forces of every frame.

    Args:
        potential: what to evaluate.
        dataset: the frames.
        batch_size: how many at once, where the potential gains by it; None: what suits its device.

    Returns:
        (n_frames,) eV, and (n_atoms_total, 3) eV/Angstrom, in the order of the dataset.

    Raises:
        FfptError: an element that the potential does not know, or something else that it cannot do.
    """
    if batch_size is None:
        many = max(1, int(_ATOMS_ON_GPU / np.mean(dataset.n_atoms))) if len(dataset) else 1
        batch_size = many if potential.on_gpu else _FRAMES_ON_CPU
    energies, forces = np.empty(len(dataset)), np.empty((len(dataset.numbers), 3))
    with progress_bar("evaluating", len(dataset)) as advance:
        if isinstance(potential, NetworkPotential):
            predictions = _in_batches(potential, dataset, batch_size)
        else:
            predictions = _by_evaluators(potential, dataset, batch_size)
        for frames, energy, force in predictions:
            energies[frames] = energy
            forces[atoms_of(dataset, frames)] = force
            advance(len(frames))
    return energies, forces


Predictions = Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Frame numbers (n,), their energies (n,), eV, and the forces of their atoms (n_atoms, 3), eV/Angstrom."""


def _in_batches(potential: NetworkPotential, dataset: Dataset, batch_size: int) -> Predictions:
    """Any frames at once."""
    potential.check(dataset.numbers)
    evaluate = choose_backend(AUTO, potential).frame_evaluation(potential)
    batches = FrameBatches(dataset, potential.cutoff)
    for frames in chunks(np.arange(len(dataset)), batch_size):
        batch = batches[frames].to(potential.device)
        with torch.no_grad():
            energies, forces = evaluate(*batch[:6])
        energies = energies.double() + potential.shift_energies(batch.numbers, batch.frames, batch.n_frames)
        yield frames, energies.cpu().numpy(), forces.double().cpu().numpy()


def _by_evaluators(potential: Potential, dataset: Dataset, batch_size: int) -> Predictions:
    """Frames of the same atoms one after the other, or as copies where that is cheaper."""
    alike: dict[tuple[tuple[int, ...], tuple[bool, ...]], list[int]] = {}
    for frame, one in enumerate(np.split(dataset.numbers, dataset.offsets[1:-1])):
        alike.setdefault((tuple(one), tuple(dataset.pbc[frame])), []).append(frame)
    for numbers, pbc in alike:
        potential.check(numbers, pbc)
    for (numbers, pbc), frames in alike.items():
        periodic = any(pbc)
        evaluators: dict[int, Evaluator] = {}
        for part in chunks(np.array(frames), batch_size if potential.batches and not periodic else 1):
            if len(part) not in evaluators:
                evaluators[len(part)] = potential.evaluator(numbers, pbc, copies=len(part))
            positions = dataset.positions[atoms_of(dataset, part)]
            prediction = evaluators[len(part)](positions, dataset.cells[part[0]] if periodic else None)
            yield part, prediction.energies, prediction.forces


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


def evaluate(potential: Potential, dataset: Dataset, batch_size: int | None = None) -> Errors:
    """Errors of a potential on a dataset with energies, forces or both.

    Raises:
        FfptError: no labels at all, no frames, or an element that the potential does not know.
    """
    return errors_of(dataset, *predict(potential, dataset, batch_size))
