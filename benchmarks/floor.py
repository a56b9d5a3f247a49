"""The least work of one evaluation: the multiply-adds of NewtonNet's matrix products, energy and forces.

Everything else (gathers, sums, activations) could in principle hide behind these products. Divided by the rate at
which the machine multiplies (n_pairs x 128) by (128 x 128) matrices they give the time that no implementation of the
same products can beat: the floor.
"""

from __future__ import annotations

from dataclasses import dataclass

RATE_ROWS = {"cpu": 1024, "cuda": 2**17}
"""Rows with which a product (rows x 128) (128 x 128) reaches the rate of a device: fewer would make no floor."""


@dataclass(frozen=True)
class Product:
    """A matrix product (rows x inner) (inner x columns).

    Args:
        name: of the weight (W1..W6, We, Wu as in the equations; R1..R3 of the readout).
        layer: counted from 0; None for the readout.
        direction: "forward", or "backward" for the gradient with respect to the product's left factor.
        rows: atoms, Cartesian components of atoms, or pairs.
        inner: the dimension that is summed.
        columns: of the result.
    """

    name: str
    layer: int | None
    direction: str
    rows: int
    inner: int
    columns: int

    @property
    def multiply_adds(self) -> int:
        """Multiplications, each with its addition: two floating-point operations."""
        return self.rows * self.inner * self.columns

    @property
    def bytes(self) -> int:
        """Both factors read once and the result written once, in float32."""
        return 4 * (self.rows * self.inner + self.inner * self.columns + self.rows * self.columns)


def matrix_products(
    n_atoms: int,
    n_pairs: int,
    *,
    n_features: int = 128,
    n_basis: int = 20,
    n_layers: int = 3,
    rearranged: bool = False,
) -> list[Product]:
    """All matrix products of one evaluation of energy and forces on a half pair list.

    Forward, in each layer: W1, W2 (rows: atoms), We, W3, W4, W5, W6 (rows: pairs), Wu (rows: 3 x atoms); then the
    readout. Backward, for forces alone (no gradients of weights), each of them once more with the transposed weight,
    except W1 and W2 of the first layer, whose input depends on the elements only.

    Args:
        n_atoms: atoms.
        n_pairs: pairs within the cutoff, each counted once.
        n_features: width of the network.
        n_basis: radial functions.
        n_layers: message-passing layers.
        rearranged: False counts the equations as the reference states them. True takes the sum over neighbours
            before W4, sum_j W4 silu(W3 m_ij) u_ij = W4 sum_j silu(W3 m_ij) u_ij, which makes 3 n_atoms rows out of
            n_pairs where that is fewer; leaves out W5 and W6 of the first layer, which multiply zeros; and there
            multiplies the radial functions by W3 diag(phi_i phi_j) We, one matrix for each pair of elements, where the
            message would be multiplied by W3.
    """
    wide = 3 * n_atoms
    products = []
    for layer in range(n_layers):
        rows = {"W1": n_atoms, "W2": n_atoms, "We": n_pairs, "W3": n_pairs, "W4": n_pairs}
        rows |= {"W5": n_pairs, "W6": n_pairs, "Wu": wide}
        if rearranged:
            rows["W4"] = min(n_pairs, wide)
            if layer == 0:
                del rows["W5"], rows["W6"]
        for name, count in rows.items():
            folded = rearranged and layer == 0 and name == "W3"
            inner = n_basis if name == "We" or folded else n_features
            products.append(Product(name, layer, "forward", count, inner, n_features))
            if layer > 0 or name not in ("W1", "W2"):
                products.append(Product(name, layer, "backward", count, n_features, inner))
    for name, columns in (("R1", n_features), ("R2", n_features), ("R3", 1)):
        products.append(Product(name, None, "forward", n_atoms, n_features, columns))
        products.append(Product(name, None, "backward", n_atoms, columns, n_features))
    return products


def totals(products: list[Product]) -> dict[str, int]:
    """Multiply-adds and bytes of all products, and multiply-adds of each direction."""
    forward = sum(product.multiply_adds for product in products if product.direction == "forward")
    everything = sum(product.multiply_adds for product in products)
    return {
        "multiply_adds": everything,
        "multiply_adds_forward": forward,
        "multiply_adds_backward": everything - forward,
        "bytes": sum(product.bytes for product in products),
    }


def floor_counts(n_atoms: int, n_pairs: int) -> dict[str, dict[str, int]]:
    """Operations and bytes of the equations as stated, and rearranged (see matrix_products)."""
    return {
        name: totals(matrix_products(n_atoms, n_pairs, rearranged=rearranged))
        for name, rearranged in (("stated", False), ("rearranged", True))
    }
