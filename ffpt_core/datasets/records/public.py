"""The public data sets that ``ffpt data get`` knows: where they are, what they are, what they must hash to."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import ENERGY_UNITS, LENGTH_UNITS
from ffpt_core.datasets.formats import fu_water
from ffpt_core.datasets.options import unit_factor

SGDML = "https://sgdml.org/secure_proxy.php?file=data/npz/"
QUANTUM_MACHINE = "http://www.quantum-machine.org/gdml/data/npz/"
FIGSHARE = "https://ndownloader.figshare.com/files/"

MD17_PAPER = "Chmiela et al., Sci. Adv. 3, e1603015 (2017), doi 10.1126/sciadv.1603015"
RMD17_PAPER = (
    "Christensen and von Lilienfeld, Mach. Learn.: Sci. Technol. 1, 045018 (2020), doi 10.1088/2632-2153/abba6f; "
    "data: doi 10.6084/m9.figshare.12672038"
)
SGDML_PAPER = "Chmiela et al., Nat. Commun. 9, 3887 (2018), doi 10.1038/s41467-018-06169-2"
CORRELATED = "consecutive frames of one trajectory: its authors advise against training on more than 1,000"


class DataRecord(BaseModel):
    """One data set to download.

    Raises:
        pydantic.ValidationError: a field that is missing, unknown or not what its description says.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^\S.*\S$", description="what the user calls it")
    title: str = Field(min_length=1, description="what it is")
    filename: str = Field(pattern=r"^[\w.-]+\.(npz|npy|zip)$", description="of the file in the cache folder")
    urls: tuple[Annotated[str, Field(pattern="^https?://")], ...] = Field(
        min_length=1, description="where it is, in the order to try"
    )
    checksum: str | None = Field(
        pattern="^(sha256:[0-9a-f]{64}|md5:[0-9a-f]{32})$", description="as published; None where none is published"
    )
    frames: int | None = Field(gt=0, description="how many it holds; None where its source does not say")
    level: str = Field(min_length=1, description="level of theory of the labels")
    citation: str = Field(min_length=1, description="the paper to cite")
    licence: str = Field(min_length=1, description="as its source states it")
    member: str | None = Field(None, description="name of the data set within the file, where that is a zip archive")
    note: str = Field("", description="what to know before using it")
    energy_unit: str = Field("kcal/mol", description="of the file")
    length_unit: str = Field("Angstrom", description="of the file")
    convert: str = Field("", description="what makes a file that can be read of it; empty where it can be read")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        unit_factor(self.energy_unit, ENERGY_UNITS, "energy")
        unit_factor(self.length_unit, LENGTH_UNITS, "length")
        if self.filename.endswith(".zip") != (self.member is not None):
            raise FfptError(f"{self.name}: a zip archive, and nothing else, has a member")
        return self


# The file server names no checksums: what arrives first is recorded and compared ever after.
_MD17 = {
    "aspirin": ("md17_aspirin.npz", 211_762),
    "azobenzene": ("azobenzene_dft.npz", 99_999),
    "benzene": ("md17_benzene2017.npz", 627_983),
    "ethanol": ("md17_ethanol.npz", 555_092),
    "malonaldehyde": ("md17_malonaldehyde.npz", 993_237),
    "naphthalene": ("md17_naphthalene.npz", 326_250),
    "paracetamol": ("paracetamol_dft.npz", 106_490),
    "salicylic-acid": ("md17_salicylic.npz", 320_231),
    "toluene": ("md17_toluene.npz", 442_790),
    "uracil": ("md17_uracil.npz", 133_770),
}

# (name, file number and MD5 as figshare lists them in doi 10.6084/m9.figshare.12672038, frames)
_RMD17 = {
    "aspirin": ("aspirin", 62265757, "17fd6fb69066888613f7e16b358a7553", 100_000),
    "azobenzene": ("azobenzene", 62265754, "be79df918468eb3579aa73a0becf7390", 99_988),
    "benzene": ("benzene", 62265739, "18c9242bc90fbf28215f6dd81e650f16", 100_000),
    "ethanol": ("ethanol", 62265733, "eb837fb8deb27d4e0d52f71a03aff776", 100_000),
    "malonaldehyde": ("malonaldehyde", 62265736, "cdc1d70c0c34062ddde6e5071eb6fe21", 100_000),
    "naphthalene": ("naphthalene", 62265751, "0efba19c9907e3852318b1e6008b3b9e", 100_000),
    "paracetamol": ("paracetamol", 62265760, "ba10784f7b67635427085f6d7ec2dd97", 100_000),
    "salicylic-acid": ("salicylic", 62265748, "900fedf242da438400fa4293348d7dd1", 100_000),
    "toluene": ("toluene", 62265742, "0f2913d51f8149c90ab28d697a076f64", 100_000),
    "uracil": ("uracil", 62265745, "992a4479c28a07e0cce6da964805be31", 100_000),
}


def _md17(molecule: str, filename: str, frames: int) -> DataRecord:
    return DataRecord(
        name=f"md17-{molecule}",
        title=f"MD17: {molecule.replace('-', ' ')}, ab initio MD at 500 K",
        filename=filename,
        urls=(SGDML + filename, QUANTUM_MACHINE + filename),
        checksum=None,
        frames=frames,
        level="PBE+vdW-TS",
        citation=MD17_PAPER,
        licence="not stated by its source",
        note=f"{CORRELATED}; rmd17-{molecule} has cleaner labels",
    )


def _rmd17(molecule: str, stem: str, number: int, md5: str, frames: int) -> DataRecord:
    return DataRecord(
        name=f"rmd17-{molecule}",
        title=f"Revised MD17: {molecule.replace('-', ' ')}, labels computed anew",
        filename=f"rmd17_{stem}.npz",
        urls=(f"{FIGSHARE}{number}",),
        checksum=f"md5:{md5}",
        frames=frames,
        level="PBE/def2-SVP",
        citation=RMD17_PAPER,
        licence="CC0, by figshare",
        note=CORRELATED,
    )


def _aspirin_ccsd(part: str, frames: int) -> DataRecord:
    return DataRecord(
        name=f"sgdml-aspirin-ccsd-{part}",
        title=f"sGDML: aspirin at CCSD, {part} frames",
        filename="aspirin_ccsd.zip",
        urls=(f"{SGDML}aspirin_ccsd.zip", f"{QUANTUM_MACHINE}aspirin_ccsd.zip"),
        checksum=None,
        frames=frames,
        level="CCSD/cc-pVDZ",
        citation=SGDML_PAPER,
        licence="not stated by its source",
        member=f"aspirin_ccsd-{part}.npz",
    )


_FU_WATER = DataRecord(
    name="fu-water",
    title="Fu et al., Forces are not enough: 64 water molecules at 300 K",
    filename="water.npy",
    urls=("https://zenodo.org/record/7196767/files/water.npy?download=1",),
    checksum=None,
    frames=100_001,
    level=fu_water.LEVEL,
    citation="Fu et al., Trans. Mach. Learn. Res. (2023), arXiv 2210.07237; data: doi 10.5281/zenodo.7196767",
    licence="as Zenodo states it",
    note="one frame every 10 fs of 1 ns; a pickled dictionary, which ffpt never loads",
    convert=fu_water.CONVERT,
)

RECORDS: dict[str, DataRecord] = {
    record.name: record
    for record in (
        *(_md17(molecule, *values) for molecule, values in _MD17.items()),
        *(_rmd17(molecule, *values) for molecule, values in _RMD17.items()),
        _FU_WATER,
        _aspirin_ccsd("train", 1000),
        _aspirin_ccsd("test", 500),
    )
}
"""The known data sets by name."""


def find_record(name: str) -> DataRecord:
    """The record called name.

    Raises:
        FfptError: there is none; the message names the nearest.
    """
    import difflib

    if name in RECORDS:
        return RECORDS[name]
    near = difflib.get_close_matches(name, RECORDS, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else "`ffpt data list` names them"
    raise FfptError(f"no data set is called {name!r}: {hint}")
