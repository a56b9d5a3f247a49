"""ffpt doctor: what this machine has. Here, at the top of the packages, because it asks all of them."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from ffpt_core.cli.output import show

PARTS = {
    "torch": "networks",
    "openmm": "teachers and MD",
    "openmmtorch": "TorchForce (else PythonForce)",
    "openmmml": "MLPotential('ffpt')",
    "mdtraj": "analysis",
    "rdkit": "GAFF teachers of any molecule",
    "acpype": "AmberTools for them",
    "openmmforcefields": "GAFF-2.11 parameters",
    "tblite": "GFN-xTB labels",
    "pyscf": "DFT labels",
    "plumed": "PLUMED's binding",
    "openmmplumed": "PLUMED in OpenMM by its own plugin",
}
"""Distribution name and what ffpt uses it for."""


def doctor(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Also write the findings as JSON.")] = None,
) -> None:
    """Show versions, OpenMM platforms, GPU, force backends, kernels for CPU, GPU and PLUMED, and what is missing.

    \b
    Example:
      ffpt doctor
    """
    import openmm
    import torch
    from rich.table import Table

    from ffpt_core.base.errors import FfptError
    from ffpt_core.base.files import write_json
    from ffpt_core.potentials.newtonnet.cpp import load_kernel
    from ffpt_core.potentials.ordered_sums import why_no_triton
    from ffpt_openmm.forces.backends import load_torchforce
    from ffpt_plumed.kernel.library import find_kernel, kernel_version

    versions: dict[str, str | None] = {}
    for name in PARTS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            # Some parts are modules of a distribution of another name.
            versions[name] = "installed" if importlib.util.find_spec(name) else None
    platforms = [openmm.Platform.getPlatform(k).getName() for k in range(openmm.Platform.getNumPlatforms())]
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    backend = load_torchforce()
    torch_force = f"does not load: {backend}" if isinstance(backend, str) else "loads"
    missing = load_kernel()
    cpp = f"not available: {missing}" if isinstance(missing, str) else "available"
    no_triton = why_no_triton(torch.device("cuda")) if gpu else "there is no GPU"
    triton = f"not available: {no_triton}" if no_triton else "available"
    try:
        kernel = f"{find_kernel()}, version {kernel_version()}"
    except FfptError as error:
        kernel = str(error)

    table = Table("part", "version", "used for")
    for name, purpose in PARTS.items():
        table.add_row(name, versions[name] or "[red]missing[/red]", purpose)
    found = {
        "versions": versions,
        "platforms": platforms,
        "gpu": gpu,
        "torchforce": torch_force,
        "cpp": cpp,
        "triton": triton,
        "plumed": kernel,
    }
    if output is not None:
        write_json(output, found)
    show(
        found,
        table,
        f"OpenMM platforms: {', '.join(platforms)}",
        f"GPU: {gpu or 'none'}; CPU threads: {torch.get_num_threads()}",
        f"TorchForce: {torch_force}",
        f"C++ kernel for CPUs: {cpp}",
        f"Triton kernels for GPUs: {triton}",
        f"PLUMED kernel: {kernel}",
    )
