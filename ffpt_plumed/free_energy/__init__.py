"""Free energy surfaces from metadynamics: sums of hills, reweighting, convergence, basins and paths."""

from ffpt_plumed.free_energy.analysis import Options, Surface, analyse
from ffpt_plumed.free_energy.axes import GridChoice, default_axes, make_axes
from ffpt_plumed.free_energy.basins import Basin, basin_energy, parse_basin
from ffpt_plumed.free_energy.convergence import Convergence, convergence, rms_difference
from ffpt_plumed.free_energy.grid import FreeEnergy, read_grid, thermal_energy
from ffpt_plumed.free_energy.hills import Hills, read_hills
from ffpt_plumed.free_energy.paths import Landscape, MinimumPath
from ffpt_plumed.free_energy.reweighting import Reweighted, reweight
from ffpt_plumed.free_energy.sources import Source, find_source
from ffpt_plumed.free_energy.sums import estimates, sum_hills
from ffpt_plumed.grids.axis import Axis

__all__ = [
    "Axis",
    "Basin",
    "Convergence",
    "FreeEnergy",
    "GridChoice",
    "Hills",
    "Landscape",
    "MinimumPath",
    "Options",
    "Reweighted",
    "Source",
    "Surface",
    "analyse",
    "basin_energy",
    "convergence",
    "default_axes",
    "estimates",
    "find_source",
    "make_axes",
    "parse_basin",
    "read_grid",
    "read_hills",
    "reweight",
    "rms_difference",
    "sum_hills",
    "thermal_energy",
]
