"""Labelled frames: the Dataset, its files, splits, energy references and downloads."""

from ffpt_core.datasets.dataset import Dataset
from ffpt_core.datasets.files import read, write
from ffpt_core.datasets.formats.extxyz import write_extxyz
from ffpt_core.datasets.formats.format import FORMATS, DatasetWarning, Format
from ffpt_core.datasets.options import ReadOptions
from ffpt_core.datasets.overview import Summary, summary
from ffpt_core.datasets.records.builtin import aspirin_gfn2, combustion_dft
from ffpt_core.datasets.records.combustion import read_combustion
from ffpt_core.datasets.records.downloads import cache_folder, fetch, fetch_dataset
from ffpt_core.datasets.records.public import RECORDS, DataRecord
from ffpt_core.datasets.shifts import fit_shifts, refit_shifts, shift_energies
from ffpt_core.datasets.splits import Split, drop_repeats, first_of_repeats, group_split, random_split

__all__ = [
    "FORMATS",
    "RECORDS",
    "DataRecord",
    "Dataset",
    "DatasetWarning",
    "Format",
    "ReadOptions",
    "Split",
    "Summary",
    "aspirin_gfn2",
    "cache_folder",
    "combustion_dft",
    "drop_repeats",
    "fetch",
    "fetch_dataset",
    "first_of_repeats",
    "fit_shifts",
    "group_split",
    "random_split",
    "read",
    "read_combustion",
    "refit_shifts",
    "shift_energies",
    "summary",
    "write",
    "write_extxyz",
]
