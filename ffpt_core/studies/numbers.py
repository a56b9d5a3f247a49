"""Numbers that the texts and conditions of a study quote, from the JSON files of its commands."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from ffpt_core.base.files import read_json
from ffpt_core.base.results import percent, with_sign_of_angstrom
from ffpt_core.base.units import MILLI
from ffpt_core.studies.study import FINETUNED, FOLDERS, SCRATCH


class Numbers:
    """What is known in the folder of a study; each file is read once.

    Every public method is a function of the same name in templates. All raise FfptError where a file is missing.

    Args:
        folder: of the study, to which all paths are relative.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read = functools.cache(read_json)

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        return (self._folder / path).exists()

    def json(self, path: str) -> Any:
        """The content of a JSON file."""
        return self._read(self._folder / path)

    def mae(self, name: str, label: str = "force") -> str:
        """Error of a potential on test frames in meV, or meV/Angstrom."""
        return f"{self.json(f'{FOLDERS[name]}/result.json')['test'][f'{label}_mae'] / MILLI:.1f}"

    def holes(self, name: str) -> str:
        """Such as "3 of 24" scans of a potential."""
        counts = next(audit for audit in self.json("audit/audit.json") if audit["label"] == name)["counts"]
        found, scans = (sum(counts[kind][what] for kind in ("bond", "angle")) for what in ("holes", "scans"))
        return f"{found} of {scans}"

    def failures(self, analysis: str, name: str) -> str:
        """Such as "2 of 4" replicas of a potential, from the folder of an analysis of stability."""
        curve = self.json(f"{analysis}/stability.json")["survival"][name]
        return f"{curve['n_failed']} of {curve['n_replicas']}"

    def lasted(self, run: str) -> float:
        """How long the longest replica of a run stayed physical, ps."""
        return max(float(replica["time_ps"]) for replica in self.json(f"{run}/run.json")["replicas"])

    def those_that_lasted(self, runs: str, enough: float) -> list[str]:
        """Potentials whose run lasted so many ps; a star stands for the folder of the potential."""
        names = (SCRATCH, FINETUNED)
        return [name for name in names if self.lasted(runs.replace("*", FOLDERS[name])) >= enough]

    def finished(self, run: str) -> bool:
        """Whether no replica of a run was stopped by its guard."""
        return all(replica["status"] == "finished" for replica in self.json(f"{run}/run.json")["replicas"])

    def stops(self, species: str) -> str:
        """A sentence on each run that its guard ended, when and why."""
        runs = self.json(species)["runs"]
        return with_sign_of_angstrom(
            " ".join(
                f"The run {name} was stopped at {one['stopped']['time_ps']:g} ps: {one['stopped']['reason']}."
                for name in (SCRATCH, FINETUNED)
                for one in runs[name]["replicas"]
                if one["stopped"] is not None
            )
        )

    def unphysical(self, name: str) -> str:
        """Such as "1.2 %": frames of the run of a potential with molecules that cannot be."""
        return percent(self.json("analysis/species.json")["runs"][name]["pooled"]["unphysical_fraction"])

    def free_energy(self, name: str, basin: str) -> str:
        """Such as "at least 187.2 kJ/mol", of a basin over the first."""
        found = self.json("analysis/fes.json") if self.exists("analysis/fes.json") else {"surfaces": {}}
        if name not in found["surfaces"]:
            return "not known, the run was too short"
        surface = found["surfaces"][name]
        least = "at least " if surface["path"]["is_lower_bound"] else ""
        return f"{least}{surface['basins'][basin]['difference']:.0f} {found['unit']}"

    def temperatures(self, energy: str) -> str:
        """Such as "from scratch 311 K, pre-trained 305 K"."""
        means = {label: [run["temperature_k"] for run in runs] for label, runs in self.json(energy).items()}
        return ", ".join(f"{label} {sum(one) / len(one):.0f} K" for label, one in means.items())
