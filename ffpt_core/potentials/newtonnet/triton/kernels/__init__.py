"""The Triton kernels: energies and forces of NewtonNet in about twenty launches.

Letters are those of ffpt_core.potentials.newtonnet.network: W1..W6, We, Wu, phi, m, e2, f. What differs from the
equations as they are written down, with the same results:

- Sums over neighbours come before W4: f_i += W4 sum_j silu(W3 m_ij) u_ij, a product over atoms instead of pairs.
- Sums go over the pairs of an atom in a fixed order, without atomic additions: results repeat bit for bit.
- Arrays of vectors are (n_atoms, 3, F). Kernels over atoms hold four rows for each, of which the fourth is empty, so
  that a product takes all components at once.

Rows of pairs are those of the pair list. ``order`` names the pairs within the cutoff, ``count`` says how many there
are; rows of others are never read. A program looks at BLOCK pairs or atoms; F is the number of features, B that of
radial functions, rounded up to a multiple of 32.
"""

from ffpt_core.potentials.newtonnet.triton.kernels.atoms import atoms_backward, atoms_forward, atoms_turn
from ffpt_core.potentials.newtonnet.triton.kernels.geometry import compact, forces, geometry
from ffpt_core.potentials.newtonnet.triton.kernels.pairs import pairs_backward, pairs_forward
from ffpt_core.potentials.newtonnet.triton.kernels.sums import atoms_gather, atoms_gather_back

__all__ = [
    "atoms_backward",
    "atoms_forward",
    "atoms_gather",
    "atoms_gather_back",
    "atoms_turn",
    "compact",
    "forces",
    "geometry",
    "pairs_backward",
    "pairs_forward",
]
