"""Splits into training, validation and test frames, tied to the data set they were made for."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import read_json, write_json
from ffpt_core.datasets.dataset import Dataset

FORMAT = "ffpt-split"
VERSION = 1
PARTS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Split:
    """Which frames of a data set train, validate and test. No frame has two roles; some may have none.

    Attributes:
        train: (n_train,) frame numbers, in the order of the shuffle.
        validation: (n_validation,) frame numbers.
        test: (n_test,) frame numbers.
        seed: of the shuffle, or None where frames were chosen otherwise.
        fingerprint: Dataset.fingerprint of the data set; other data are refused.

    Raises:
        FfptError: a frame number that is negative, occurs twice or stands in two parts.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    seed: int | None
    fingerprint: str

    def __post_init__(self) -> None:
        for name in PARTS:
            given = np.asarray(getattr(self, name))
            frames = given.astype(np.int64)
            if frames.ndim != 1 or not np.array_equal(frames, given) or (frames < 0).any():
                raise FfptError(f"split: {name} must be a list of frame numbers from 0")
            frames.flags.writeable = False
            object.__setattr__(self, name, frames)
        frames, counts = np.unique(np.concatenate([self.train, self.validation, self.test]), return_counts=True)
        if (counts > 1).any():
            raise FfptError(f"split: frame {frames[counts > 1][0]} is used twice")

    def check(self, dataset: Dataset) -> None:
        """Refuse data that the split was not made for.

        Raises:
            FfptError: dataset has another fingerprint, or fewer frames than the split names.
        """
        if dataset.fingerprint != self.fingerprint:
            raise FfptError(
                f"the split was made for a data set with fingerprint {self.fingerprint[:12]}, "
                f"not for this one ({dataset.fingerprint[:12]}, {len(dataset)} frames)"
            )
        for name in PARTS:
            frames = getattr(self, name)
            if len(frames) and frames.max() >= len(dataset):
                raise FfptError(f"split: {name} names frame {frames.max()} of a data set of {len(dataset)} frames")

    def apply(self, dataset: Dataset) -> tuple[Dataset, Dataset, Dataset]:
        """The training, validation and test frames of dataset.

        Raises:
            FfptError: as check.
        """
        self.check(dataset)
        return dataset[self.train], dataset[self.validation], dataset[self.test]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the split as JSON, atomically."""
        parts = {name: getattr(self, name) for name in PARTS}
        record = {"format": FORMAT, "version": VERSION, "seed": self.seed, "fingerprint": self.fingerprint}
        write_json(path, record | parts)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Split:
        """Read a split written by save.

        Raises:
            FfptError: no such file, or not a split of ours.
        """
        record = read_json(path)
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise FfptError(f"{path} is not an ffpt split")
        if record.get("version") != VERSION:
            raise FfptError(f"{path} is an ffpt split of version {record.get('version')}; this ffpt reads {VERSION}")
        try:
            return cls(**{name: record[name] for name in (*PARTS, "seed", "fingerprint")})
        except KeyError as error:
            raise FfptError(f"{path} lacks {error}") from error
        except (TypeError, ValueError) as error:
            raise FfptError(f"{path} is damaged: {error}") from error
        except FfptError as error:
            raise FfptError(f"{path}: {error}") from error


def _check_sizes(n_train: int, n_validation: int, n_test: int | None) -> None:
    if n_train < 1 or n_validation < 0 or (n_test or 0) < 0:
        raise FfptError(f"cannot split into {n_train} training, {n_validation} validation, {n_test} test frames")


def random_split(dataset: Dataset, n_train: int, n_validation: int, n_test: int | None = None, seed: int = 0) -> Split:
    """Shuffle the frames and deal them out.

    Of one shuffle, validation frames are the first, test frames the last and training frames those after
    validation. So with the same seed, sizes of validation and (given) test, a larger training set contains
    the smaller one and the others stay the same: what a learning curve needs.

    Args:
        dataset: the data set to split.
        n_train: training frames, at least 1.
        n_validation: validation frames.
        n_test: test frames; all that are left when None.
        seed: of the shuffle.

    Raises:
        FfptError: more frames asked for than there are, or a negative number of them.
    """
    total = len(dataset)
    wanted = n_train + n_validation + (n_test or 0)
    _check_sizes(n_train, n_validation, n_test)
    if wanted > total:
        raise FfptError(f"{wanted} frames asked for ({n_train} + {n_validation} + {n_test or 0}), {total} in the data")
    order = np.random.default_rng(seed).permutation(total)
    used = n_validation + n_train
    return Split(
        train=order[n_validation:used],
        validation=order[:n_validation],
        test=order[used:] if n_test is None else order[total - n_test :],
        seed=seed,
        fingerprint=dataset.fingerprint,
    )


def group_split(
    dataset: Dataset, group: str, n_train: int, n_validation: int, n_test: int | None = None, seed: int = 0
) -> Split:
    """Shuffle whole groups (trajectories, say) and deal them out, so that no group has frames in two parts.

    Groups go to validation until it has n_validation frames or more, then to training until it has n_train or more,
    then to the test set. A part that ran over is cut to its size; frames cut off, and those of groups beyond n_test,
    are in no part.

    Args:
        dataset: the data set to split.
        group: a name in dataset.groups.
        n_train: training frames, at least 1.
        n_validation: validation frames.
        n_test: test frames; all that are left when None.
        seed: of the shuffle.

    Raises:
        FfptError: no such group, or too few frames.
    """
    if group not in dataset.groups:
        raise FfptError(f"this data set has no group {group!r}; it has {', '.join(dataset.groups) or 'none'}")
    _check_sizes(n_train, n_validation, n_test)
    rng = np.random.default_rng(seed)
    names, of_frame = np.unique(dataset.groups[group], return_inverse=True)
    order = rng.permutation(len(names))
    members = np.split(np.argsort(of_frame, kind="stable"), np.cumsum(np.bincount(of_frame))[:-1])
    parts: dict[str, np.ndarray] = {}
    next_group = 0
    for name, wanted in (("validation", n_validation), ("train", n_train), ("test", n_test)):
        taken: list[np.ndarray] = [np.zeros(0, dtype=np.int64)]
        count = 0
        while next_group < len(order) and (wanted is None or count < wanted):
            taken.append(members[order[next_group]])
            count += len(taken[-1])
            next_group += 1
        if wanted is not None and count < wanted:
            raise FfptError(f"{wanted:,} {name} frames asked for, but the groups left have {count:,}")
        parts[name] = rng.permutation(np.concatenate(taken))[:wanted]
    return Split(seed=seed, fingerprint=dataset.fingerprint, **parts)


def first_of_repeats(dataset: Dataset, decimals: int = 6, lowest: bool = False) -> np.ndarray:
    """For each frame the first frame with the same atoms in the same places; its own number where there is none.

    Positions are compared after rounding, as they stand: a rotated copy is another frame. Labels are not
    compared. ``numpy.isin(first[split.test], first[split.train])`` finds test frames that were trained on.

    Args:
        dataset: the data set.
        decimals: of the positions and cells in Angstrom.
        lowest: name the one of lowest energy instead of the first (the first of those where several are as low).

    Returns:
        (n_frames,) frame numbers.

    Raises:
        FfptError: lowest, and the data set has no energies.
    """
    first = np.arange(len(dataset))
    if lowest and dataset.energies is None:
        raise FfptError("the lowest of repeated frames cannot be told: this data set has no energies")
    # Adding zero turns -0.0 into 0.0: bytes are compared.
    positions = np.round(dataset.positions, decimals) + 0.0
    cells = np.round(dataset.cells, decimals).reshape(-1, 9) + 0.0
    for size in np.unique(dataset.n_atoms):
        frames = np.flatnonzero(dataset.n_atoms == size)
        if lowest and dataset.energies is not None:
            frames = frames[np.argsort(dataset.energies[frames], kind="stable")]
        atoms = dataset.offsets[frames][:, None] + np.arange(size)
        parts = (positions[atoms], dataset.numbers[atoms], cells[frames], dataset.pbc[frames])
        rows = np.concatenate([np.ascontiguousarray(p.reshape(len(frames), -1)).view(np.uint8) for p in parts], axis=1)
        keys = np.ascontiguousarray(rows).view(f"V{rows.shape[1]}").reshape(-1)
        _, index, inverse = np.unique(keys, return_index=True, return_inverse=True)
        first[frames] = frames[index[inverse]]
    return first


def drop_repeats(dataset: Dataset, decimals: int = 6, lowest: bool = False) -> Dataset:
    """The first (or lowest) frame of each set of repeats, and all that are not repeated; see first_of_repeats."""
    return dataset[first_of_repeats(dataset, decimals, lowest) == np.arange(len(dataset))]
