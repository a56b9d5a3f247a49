"""The data sets that come with ffpt."""

from __future__ import annotations

import importlib.resources

from ffpt_core.base.errors import FfptError
from ffpt_core.datasets.dataset import Dataset


def aspirin_gfn2() -> Dataset:
    """Aspirin at 500 K, sampled and labelled with GFN2-xTB; its data card is data/aspirin-gfn2.md.

    Raises:
        FfptError: the installation lacks the file.
    """
    return _packaged("aspirin-gfn2.npz")


def combustion_dft() -> Dataset:
    """HO2 -> H + O2 (group reaction: 09) and OH + O -> H + O2 (01) by DFT; its data card is data/combustion-dft.md.

    Raises:
        FfptError: the installation lacks the file.
    """
    return _packaged("combustion-dft.npz")


def _packaged(name: str) -> Dataset:
    resource = importlib.resources.files("ffpt_core.datasets") / "data" / name
    if not resource.is_file():
        raise FfptError(f"the demo data are not installed ({resource} is absent): reinstall ffpt")
    with importlib.resources.as_file(resource) as path:
        return Dataset.load(path)
