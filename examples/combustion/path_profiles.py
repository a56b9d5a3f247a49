"""Energies of potentials along the 19 reaction paths of the combustion benchmark, beside DFT.

ffpt data combustion h2combustion/ --source irc --keep-repeats -o irc.npz
python examples/combustion/path_profiles.py irc.npz "from scratch=scratch/potential.pt" "fine-tuned=tuned/potential.pt"
"""

import argparse

import numpy as np

import ffpt_core
from ffpt_core.base.figures import colours, legend_above, new_figure, save_figure
from ffpt_core.base.files import write_json
from ffpt_core.datasets import read
from ffpt_core.training.evaluation import predict

parser = argparse.ArgumentParser()
parser.add_argument("data", help="frames of the paths, from ffpt data combustion --source irc")
parser.add_argument("potentials", nargs="+", metavar="LABEL=FILE")
parser.add_argument("--output", default="profiles", help="files start with this")
arguments = parser.parse_args()

frames = read(arguments.data)
labels = np.array(frames.groups["reaction"])
potentials = dict(one.split("=", 1) for one in arguments.potentials)
energies = {label: predict(ffpt_core.load(path), frames)[0] for label, path in potentials.items()}


def along(positions: list[np.ndarray]) -> np.ndarray:
    """Way along a path in Angstrom, from changes of all interatomic distances: turning a frame makes no difference."""
    pairs = np.triu_indices(len(positions[0]), 1)
    distances = np.array([np.linalg.norm(one[pairs[0]] - one[pairs[1]], axis=1) for one in positions])
    steps = np.linalg.norm(np.diff(distances, axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(steps)])


reactions = sorted(set(labels), key=lambda name: (int(name.rstrip("ab")), name))
figure, axes = new_figure(4, (len(reactions) + 3) // 4, width=2.0, height=1.9)
chosen = colours(["DFT", *potentials], reference="DFT")
record = {}
for panel, name in zip(axes, reactions, strict=False):
    members = np.flatnonzero(labels == name)
    way = along([frames[int(frame)].positions for frame in members])
    truth = frames.energies[members]
    panel.plot(way, truth - truth.min(), color=chosen["DFT"], label="DFT")
    record[name] = {"way_angstrom": way, "dft_ev": truth}
    for label, found in energies.items():
        panel.plot(way, found[members] - truth.min(), color=chosen[label], linewidth=1.0, label=label)
        record[name] |= {f"{label}_ev": found[members], f"{label}_mae_ev": np.abs(found[members] - truth).mean()}
    panel.set_title(f"reaction {name}")
    span = min(np.ptp(truth), 12.0)  # squeezed O2 reaches thousands of eV
    panel.set_ylim(-0.15 * span - 0.1, 1.15 * span + 0.1)
for panel in axes[len(reactions) :]:
    panel.set_axis_off()
axes[0].set_ylabel("Energy (eV)")
legend_above(figure, *axes[0].get_legend_handles_labels())
save_figure(figure, f"{arguments.output}.png")
write_json(f"{arguments.output}.json", record)
for name in reactions:
    errors = ", ".join(f"{label} {1000 * record[name][f'{label}_mae_ev']:.0f}" for label in potentials)
    print(f"reaction {name}: mean error of energies, meV: {errors}")
