"""The AmberTools programs that GAFF needs: antechamber (types, charges) and parmchk2 (missing parameters).

They are found in the acpype package, which carries them for Linux and macOS, or through AMBERHOME or
PATH. sqm, which antechamber calls for AM1-BCC charges, needs the LAPACK, ARPACK and gfortran libraries
of the system.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ffpt_core.base.errors import FfptError

SQM_HINT = "sqm needs the system libraries LAPACK, ARPACK and gfortran: apt-get install liblapack3 libarpack2"

_TIMEOUT = 3600.0  # seconds; sqm takes minutes for the largest molecules that GAFF teachers make sense for


@dataclass(frozen=True)
class AmberTools:
    """Where the programs are.

    Args:
        home: AMBERHOME, the folder with bin/ and dat/.
    """

    home: Path

    @classmethod
    def find(cls) -> AmberTools:
        """The programs of acpype, else those of AMBERHOME, else those on PATH.

        Raises:
            FfptError: none of them is there.
        """
        candidates: list[Path] = []
        spec = importlib.util.find_spec("acpype")
        if spec is not None and spec.origin is not None:
            system = "macos" if sys.platform == "darwin" else "linux"
            candidates.append(Path(spec.origin).parent / f"amber_{system}")
        if os.environ.get("AMBERHOME"):
            candidates.append(Path(os.environ["AMBERHOME"]))
        on_path = shutil.which("antechamber")
        if on_path:
            candidates.append(Path(on_path).resolve().parent.parent)
        for home in candidates:
            if (home / "bin" / "antechamber").is_file() and (home / "bin" / "parmchk2").is_file():
                return cls(home)
        raise FfptError('GAFF parameters need antechamber and parmchk2: pip install "ffpt[gaff]", or set AMBERHOME')

    def run(self, program: str, arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
        """Run a program in folder with its output captured; the caller looks at what it wrote.

        Raises:
            FfptError: the program cannot be started or runs for longer than an hour.
        """
        path = self.home / "bin" / program
        environment = {**os.environ, "AMBERHOME": str(self.home), "OMP_NUM_THREADS": "1"}
        try:
            return subprocess.run(
                [str(path), *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=_TIMEOUT
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise FfptError(f"cannot run {path}: {error}") from error

    def sqm_problem(self, folder: Path) -> str | None:
        """Why sqm cannot run here, or None when it can."""
        if not (self.home / "bin" / "sqm").is_file():
            return f"{self.home / 'bin' / 'sqm'} is missing"
        done = self.run("sqm", ["-O", "-i", "no-such-file", "-o", "sqm-probe.out"], folder)
        if "shared libraries" in done.stderr or "Library not loaded" in done.stderr:
            return f"{done.stderr.strip().splitlines()[0]}; {SQM_HINT}"
        return None

    def antechamber(self, source: Path, target: Path, charge: int, method: str) -> None:
        """Write target (MOL2 with GAFF2 atom types and partial charges) from source (SDF).

        Args:
            source: SDF with explicit hydrogens.
            target: MOL2 to write; temporary files of the programs lie beside it.
            charge: formal charge of the molecule, e.
            method: "bcc" (AM1-BCC) or "gas" (Gasteiger).

        Raises:
            FfptError: the programs did not produce the file; with the end of what they said.
        """
        arguments = ["-i", str(source), "-fi", "sdf", "-o", str(target), "-fo", "mol2", "-at", "gaff2"]
        arguments += ["-c", method, "-nc", str(charge), "-rn", "MOL", "-s", "2", "-seq", "n"]
        done = self.run("antechamber", arguments, target.parent)
        if done.returncode != 0 or not target.is_file():
            raise FfptError(f"antechamber failed: {_last_lines(done)}")

    def parmchk2(self, source: Path, target: Path, parameters: Path) -> None:
        """Write target (frcmod) with what parameters (a GAFF .dat file) lacks for the types of source (MOL2).

        Raises:
            FfptError: the program did not produce the file.
        """
        arguments = ["-i", str(source), "-f", "mol2", "-o", str(target), "-p", str(parameters), "-s", "2"]
        done = self.run("parmchk2", arguments, target.parent)
        if done.returncode != 0 or not target.is_file():
            raise FfptError(f"parmchk2 failed: {_last_lines(done)}")


def _last_lines(done: subprocess.CompletedProcess[str]) -> str:
    """The last few lines a program said, on one line."""
    lines = [line.strip() for line in (done.stdout + "\n" + done.stderr).splitlines() if line.strip()]
    return " / ".join(lines[-4:]) or f"exit status {done.returncode}, no message"
