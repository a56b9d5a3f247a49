"""The data set that comes with ffpt."""

from __future__ import annotations

import importlib.resources

from ffpt_core.datasets.dataset import Dataset
from ffpt_core.errors import FfptError


def aspirin_gfn2() -> Dataset:
    """Aspirin at 500 K, sampled and labelled with GFN2-xTB; its data card is data/aspirin-gfn2.md.

    Raises:
        FfptError: the installation lacks the file.
    """
    resource = importlib.resources.files("ffpt_core.datasets") / "data" / "aspirin-gfn2.npz"
    if not resource.is_file():
        raise FfptError(f"the demo data are not installed ({resource} is absent): reinstall ffpt")
    with importlib.resources.as_file(resource) as path:
        return Dataset.load(path)
