// Gradients of a loss on energies and forces with respect to all weights, without autograd.
//
// With l_E = dL/dE of each frame and l_F = dL/dF of each atom, and F = -dE/dx,
//
//     dL/dw = d/dw [ sum l_E E(x; w) + E_dot(x, v; w) ],  v = -l_F,
//
// where E_dot is the derivative of the sum of all energies along v. So the network is evaluated with the tangents of
// all quantities beside their values (names ending in _dot), and the gradient of that scalar is carried backwards
// through both (_bar: with respect to a value, _bar_dot: with respect to a tangent). Values and tangents of a tile lie
// behind one another: one matrix product takes both.
//
// Frames do not see each other: threads take chunks of whole frames, and add weight gradients to sums of their own.
#pragma once

#include "evaluation.hpp"
#ifdef _OPENMP
#include <omp.h>
#endif

namespace {

// Gradients of the weights, in the shapes of PyTorch's but padded, and in the order of network.py.
template <class Real>
struct LayerGradient {
    Array<Real> node_in, node_in_bias, node_out, node_out_bias, radial;
    Array<Real> direction_in, direction_out, transport_in, transport_out, update;
};

template <class Real>
struct Gradient {
    Array<Real> embedding, readout_in, readout_in_bias, readout_hidden, readout_hidden_bias, readout_out,
        readout_out_bias;
    std::vector<LayerGradient<Real>> layers;

    // Everything with its rows and columns, in order: f(array, rows, columns).
    template <class F>
    void each(const Weights<Real>& w, F&& f) {
        const int n = w.features;
        f(embedding, w.n_species, n);
        layers.resize(w.layers.size());
        for (auto& layer : layers) {
            f(layer.node_in, n, n), f(layer.node_in_bias, 1, n), f(layer.node_out, n, n), f(layer.node_out_bias, 1, n);
            f(layer.radial, n, w.basis), f(layer.direction_in, n, n), f(layer.direction_out, n, n);
            f(layer.transport_in, n, n), f(layer.transport_out, n, n), f(layer.update, n, n);
        }
        f(readout_in, n, n), f(readout_in_bias, 1, n), f(readout_hidden, n, n), f(readout_hidden_bias, 1, n);
        f(readout_out, 1, n), f(readout_out_bias, 1, 1);
    }
};

template <class Real>
class Training {
  public:
    explicit Training(const Weights<Real>& weights) : weights_(weights) {}

    // Returns a Status. value_weights, tangent_weights: of each atom's energy and of its tangent in the scalar.
    int gradient(const int64_t* numbers, const double* value_weights, const double* tangent_weights,
                 const double* positions, const double* velocities, const int64_t* first, const int64_t* second,
                 const double* translations, int64_t n_chunks, const Chunk* chunks, int threads,
                 Real* const* gradients);

  private:
    static constexpr int PAIRS = TILE / 2;  // of a tile: values and tangents of each

    struct LayerState {
        Array<Real> features, node_hidden, phi, directions, vectors, updated;  // of atoms
        Array<Real> weights, direction_hidden, transport_hidden, transport;    // of pairs
    };

    struct Worker {
        Gradient<Real> gradient;
        std::vector<LayerState> layers;
        int64_t n_atoms, n_pairs;
        bool pairwise;  // see evaluation.hpp
        Array<int32_t> first, second;
        Array<double> displacement, distance;
        Array<Real> unit, unit_dot, radial;                            // (pairs, 3) twice, (2 pairs, basis)
        Array<Real> features, readout_hidden_1, readout_hidden_2;      // (2 atoms, width)
        Array<Real> features_bar, phi_bar, atoms_a, atoms_b, atoms_c;  // (2 atoms, width)
        Array<Real> vectors_bar, new_bar, projected, wide;             // (6 atoms, width)
        Array<Real> message, tile_a, tile_b, tile_c, tile_d;           // (TILE, width)
    };

    const Weights<Real>& weights_;
    std::vector<Worker> workers_;

    struct Tile {
        int64_t begin, rows;
    };
    static int64_t tiles(int64_t n) { return (n + PAIRS - 1) / PAIRS; }
    static Tile tile(int64_t n, int64_t t) {
        const int64_t count = tiles(n), begin = n * t / count;
        return {begin, n * (t + 1) / count - begin};
    }

    void take_pairs(Worker& me, const Chunk& chunk, const double* x, const double* v, const int64_t* first,
                    const int64_t* second, const double* translations);
    void reserve(Worker& me);
    void atoms_phi(Worker& me, int l);
    void messages(Worker& me, int l, Tile tile);
    void pairs_forward(Worker& me, int l);
    void atoms_forward(Worker& me, int l);
    void readout(Worker& me, const double* value_weights, const double* tangent_weights);
    void atoms_backward(Worker& me, int l);
    void pairs_backward(Worker& me, int l);
    void atoms_phi_backward(Worker& me, int l);
    void process(Worker& me, const Chunk& chunk, const int64_t* numbers, const double* value_weights,
                 const double* tangent_weights);
    static void add_rows(int64_t rows, const Real* values, int width, Real* sums);
};

// Geometry and its tangents of the pairs of a chunk that are within the cutoff; atoms are counted from the chunk's.
template <class Real>
void Training<Real>::take_pairs(Worker& me, const Chunk& chunk, const double* x, const double* v, const int64_t* first,
                                const int64_t* second, const double* translations) {
    const int64_t most = chunk.pairs_end - chunk.pairs_begin;
    me.n_atoms = chunk.atoms_end - chunk.atoms_begin;
    me.first.reserve(most), me.second.reserve(most), me.displacement.reserve(6 * most), me.distance.reserve(most);
    int64_t m = 0;
    for (int64_t p = chunk.pairs_begin; p < chunk.pairs_end; ++p) {
        const int64_t i = first[p], j = second[p];
        double d[3], squared = 0;
        for (int k = 0; k < 3; ++k) {
            d[k] = x[3 * i + k] - x[3 * j + k] + (translations ? translations[3 * p + k] : 0.0);
            squared += d[k] * d[k];
        }
        if (!(squared < weights_.cutoff * weights_.cutoff)) continue;
        me.first[m] = int32_t(i - chunk.atoms_begin), me.second[m] = int32_t(j - chunk.atoms_begin);
        for (int k = 0; k < 3; ++k) {
            me.displacement[6 * m + k] = d[k];
            me.displacement[6 * m + 3 + k] = v[3 * i + k] - v[3 * j + k];
        }
        me.distance[m++] = std::sqrt(squared);
    }
    me.n_pairs = m;
    me.pairwise = m < 3 * me.n_atoms;
}

template <class Real>
void Training<Real>::reserve(Worker& me) {
    const int64_t n = me.n_atoms, p = me.n_pairs, W = weights_.width, N = weights_.basis_width;
    me.layers.resize(weights_.layers.size());
    for (auto& kept : me.layers) {
        for (auto* array : {&kept.features, &kept.node_hidden, &kept.phi}) array->reserve(2 * n * W);
        for (auto* array : {&kept.directions, &kept.vectors, &kept.updated}) array->reserve(6 * n * W);
        for (auto* array : {&kept.weights, &kept.direction_hidden, &kept.transport_hidden, &kept.transport})
            array->reserve(2 * p * W);
    }
    me.unit.reserve(3 * p), me.unit_dot.reserve(3 * p), me.radial.reserve(2 * p * N);
    for (auto* array : {&me.features, &me.readout_hidden_1, &me.readout_hidden_2, &me.features_bar, &me.phi_bar,
                        &me.atoms_a, &me.atoms_b, &me.atoms_c})
        array->reserve(2 * n * W);
    for (auto* array : {&me.vectors_bar, &me.new_bar, &me.projected, &me.wide}) array->reserve(6 * n * W);
    for (auto* array : {&me.message, &me.tile_a, &me.tile_b, &me.tile_c, &me.tile_d}) array->reserve(TILE * W);
}

// phi of a layer. The first layer's has no tangent.
template <class Real>
void Training<Real>::atoms_phi(Worker& me, int l) {
    const auto& layer = weights_.layers[l];
    LayerState& kept = me.layers[l];
    const int64_t n = me.n_atoms, W = weights_.width, half = n * W;
    std::memcpy(kept.features + 0, me.features + 0, size_t(2 * half) * sizeof(Real));
    product(n, kept.features + 0, W, layer.node_in.forward, kept.node_hidden + 0, W, layer.node_in.b());
    if (l) product(n, kept.features + half, W, layer.node_in.forward, kept.node_hidden + half, W);
    else std::memset(static_cast<void*>(kept.node_hidden + half), 0, size_t(half) * sizeof(Real));
    silu_tangent(kept.node_hidden + 0, kept.node_hidden + half, me.atoms_a + 0, me.atoms_a + half, half);
    product(n, me.atoms_a + 0, W, layer.node_out.forward, kept.phi + 0, W, layer.node_out.b());
    if (l) product(n, me.atoms_a + half, W, layer.node_out.forward, kept.phi + half, W);
    else std::memset(static_cast<void*>(kept.phi + half), 0, size_t(half) * sizeof(Real));
}

// Messages of a tile of pairs and their tangents, from the kept radial weights.
template <class Real>
void Training<Real>::messages(Worker& me, int l, Tile tile) {
    typedef Vector<Real> V;
    const LayerState& kept = me.layers[l];
    const int64_t W = weights_.width, half = me.n_atoms * W, rows = tile.rows;
    const Real* const phi = kept.phi + 0;
    for (int64_t r = 0; r < rows; ++r) {
        const int64_t i = me.first[tile.begin + r] * W, j = me.second[tile.begin + r] * W;
        const Real *w = kept.weights + (2 * tile.begin + r) * W, *w_dot = w + rows * W;
        Real *m = me.message + r * W, *m_dot = m + rows * W;
        for (int64_t k = 0; k < W; k += LANES<Real>) {
            const V phi_i = load(phi + i + k), phi_j = load(phi + j + k), product = phi_i * phi_j;
            const V product_dot = load(phi + half + i + k) * phi_j + phi_i * load(phi + half + j + k);
            at(m + k) = load(w + k) * product;
            at(m_dot + k) = load(w_dot + k) * product + load(w + k) * product_dot;
        }
    }
}

template <class Real>
void Training<Real>::pairs_forward(Worker& me, int l) {
    typedef Vector<Real> V;
    constexpr int L = LANES<Real>;
    const auto& layer = weights_.layers[l];
    LayerState& kept = me.layers[l];
    const int64_t n = me.n_atoms, W = weights_.width, N = weights_.basis_width, half = n * W, wide = 3 * n * W;
    const Real* const old = l ? me.layers[l - 1].vectors + 0 : nullptr;
    Real* const vectors = kept.vectors + 0;
    Real* const directions = me.pairwise ? vectors : kept.directions + 0;
    if (!me.pairwise) kept.directions.zero(2 * wide);
    if (l) std::memcpy(vectors, old, size_t(2 * wide) * sizeof(Real));
    else kept.vectors.zero(2 * wide);
    for (int64_t t = 0; t < tiles(me.n_pairs); ++t) {
        const Tile here = tile(me.n_pairs, t);
        const int64_t rows = here.rows, start = 2 * here.begin * W, size = rows * W;
        product(2 * rows, me.radial + 2 * here.begin * N, N, layer.radial.forward, kept.weights + start, W);
        messages(me, l, here);
        product(2 * rows, me.message + 0, W, layer.direction_in.forward, kept.direction_hidden + start, W);
        silu_tangent(kept.direction_hidden + start, kept.direction_hidden + start + size, me.tile_a + 0,
                     me.tile_a + size, size);
        if (l) {
            product(2 * rows, me.message + 0, W, layer.transport_in.forward, kept.transport_hidden + start, W);
            silu_tangent(kept.transport_hidden + start, kept.transport_hidden + start + size, me.tile_b + 0,
                         me.tile_b + size, size);
            product(2 * rows, me.tile_b + 0, W, layer.transport_out.forward, kept.transport + start, W);
        }
        Real* h = me.tile_a + 0;
        if (me.pairwise) {
            h = me.tile_c + 0;
            product(2 * rows, me.tile_a + 0, W, layer.direction_out.forward, h, W);
        }
        const Real* const h_dot = h + size;
        for (int64_t r = 0; r < rows; ++r) {
            const int64_t p = here.begin + r, i = me.first[p], j = me.second[p];
            const Real *m = me.message + r * W, *m_dot = m + size;
            for (int64_t k = 0; k < W; k += L) {
                const V value = load(m + k), tangent = load(m_dot + k);
                at(me.features + i * W + k) += value;
                at(me.features + j * W + k) += value;
                at(me.features + half + i * W + k) += tangent;
                at(me.features + half + j * W + k) += tangent;
            }
            for (int x = 0; x < 3; ++x) {
                const Real u = me.unit[3 * p + x], u_dot = me.unit_dot[3 * p + x];
                const int64_t at_i = (3 * i + x) * W, at_j = (3 * j + x) * W;
                for (int64_t k = 0; k < W; k += L) {
                    const V value = load(h + r * W + k) * u;
                    const V tangent = load(h_dot + r * W + k) * u + load(h + r * W + k) * u_dot;
                    at(directions + at_i + k) += value;
                    at(directions + at_j + k) -= value;
                    at(directions + wide + at_i + k) += tangent;
                    at(directions + wide + at_j + k) -= tangent;
                }
                if (!l) continue;
                const Real *e = kept.transport + start + r * W, *e_dot = e + size;
                for (int64_t k = 0; k < W; k += L) {
                    const V weight = load(e + k), weight_dot = load(e_dot + k);
                    const V f_i = load(old + at_i + k), f_j = load(old + at_j + k);
                    at(vectors + at_i + k) += weight * f_j;
                    at(vectors + at_j + k) += weight * f_i;
                    at(vectors + wide + at_i + k) += weight_dot * f_j + weight * load(old + wide + at_j + k);
                    at(vectors + wide + at_j + k) += weight_dot * f_i + weight * load(old + wide + at_i + k);
                }
            }
        }
    }
}

template <class Real>
void Training<Real>::atoms_forward(Worker& me, int l) {
    typedef Vector<Real> V;
    const auto& layer = weights_.layers[l];
    LayerState& kept = me.layers[l];
    const int64_t n = me.n_atoms, W = weights_.width, half = n * W, wide = 3 * n * W;
    if (!me.pairwise)
        product<Real, true>(6 * n, kept.directions + 0, W, layer.direction_out.forward, kept.vectors + 0, W);
    product(6 * n, kept.vectors + 0, W, layer.update.forward, kept.updated + 0, W);
    for (int64_t row = 0; row < 3 * n; ++row)
        for (int64_t k = 0; k < W; k += LANES<Real>) {
            const int64_t here = row * W + k, atom = row / 3 * W + k;
            const V f = load(kept.vectors + here), t = load(kept.updated + here);
            at(me.features + atom) += f * t;
            at(me.features + half + atom) +=
                load(kept.vectors + wide + here) * t + f * load(kept.updated + wide + here);
        }
}

// Sums of rows: gradients of biases.
template <class Real>
void Training<Real>::add_rows(int64_t rows, const Real* values, int width, Real* sums) {
    for (int64_t r = 0; r < rows; ++r)
        for (int k = 0; k < width; k += LANES<Real>) at(sums + k) += load(values + r * width + k);
}

template <class Real>
void Training<Real>::readout(Worker& me, const double* value_weights, const double* tangent_weights) {
    typedef Vector<Real> V;
    const int64_t n = me.n_atoms, W = weights_.width, half = n * W;
    Gradient<Real>& gradient = me.gradient;
    const auto &in = weights_.readout_in, &hidden = weights_.readout_hidden;
    Real *const x1 = me.readout_hidden_1 + 0, *const x2 = me.readout_hidden_2 + 0;
    Real *const y1 = me.atoms_a + 0, *const y2 = me.atoms_b + 0, *const bar = me.atoms_c + 0,
                *const inner = me.features_bar + 0;
    product(n, me.features + 0, W, in.forward, x1, W, in.b());
    product(n, me.features + half, W, in.forward, x1 + half, W);
    silu_tangent(x1, x1 + half, y1, y1 + half, half);
    product(n, y1, W, hidden.forward, x2, W, hidden.b());
    product(n, y1 + half, W, hidden.forward, x2 + half, W);
    for (int64_t i = 0; i < n; ++i) {
        const Real value = Real(value_weights[i]), tangent = Real(tangent_weights[i]);
        for (int64_t k = 0; k < W; k += LANES<Real>) {
            const V weight = load(weights_.readout_out + k);
            at(bar + i * W + k) = value * weight;
            at(bar + half + i * W + k) = tangent * weight;
        }
        gradient.readout_out_bias[0] += value;
    }
    silu_tangent_backward(x2, x2 + half, y2, y2 + half, bar, bar + half, half);
    for (int64_t i = 0; i < n; ++i) {
        const Real value = Real(value_weights[i]), tangent = Real(tangent_weights[i]);
        for (int64_t k = 0; k < W; k += LANES<Real>)
            at(gradient.readout_out + k) += value * load(y2 + i * W + k) + tangent * load(y2 + half + i * W + k);
    }
    add_outer(2 * n, bar, W, y1, W, gradient.readout_hidden + 0);
    add_rows(n, bar, W, gradient.readout_hidden_bias + 0);
    product(2 * n, bar, W, hidden.backward, inner, W);
    silu_tangent_backward(x1, x1 + half, y1, y1 + half, inner, inner + half, half);
    add_outer(2 * n, inner, W, me.features + 0, W, gradient.readout_in + 0);
    add_rows(n, inner, W, gradient.readout_in_bias + 0);
    product(2 * n, inner, W, in.backward, bar, W);
    std::memcpy(me.features_bar + 0, bar, size_t(2 * half) * sizeof(Real));
}

// Gradients with respect to a layer's new vectors, of Wu and of W4.
template <class Real>
void Training<Real>::atoms_backward(Worker& me, int l) {
    typedef Vector<Real> V;
    const auto& layer = weights_.layers[l];
    LayerState& kept = me.layers[l];
    LayerGradient<Real>& gradient = me.gradient.layers[l];
    const int64_t n = me.n_atoms, W = weights_.width, half = n * W, wide = 3 * n * W;
    const bool last = l + 1 == int(weights_.layers.size());
    Real* const updated_bar = me.wide + 0;
    for (int64_t row = 0; row < 3 * n; ++row)
        for (int64_t k = 0; k < W; k += LANES<Real>) {
            const int64_t here = row * W + k, atom = row / 3 * W + k;
            const V bar = load(me.features_bar + atom), bar_dot = load(me.features_bar + half + atom);
            const V f = load(kept.vectors + here), f_dot = load(kept.vectors + wide + here);
            const V t = load(kept.updated + here), t_dot = load(kept.updated + wide + here);
            V next{}, next_dot{};
            if (!last) next = load(me.vectors_bar + here), next_dot = load(me.vectors_bar + wide + here);
            at(updated_bar + here) = bar * f + bar_dot * f_dot;
            at(updated_bar + wide + here) = bar_dot * f;
            at(me.new_bar + here) = next + bar * t + bar_dot * t_dot;
            at(me.new_bar + wide + here) = next_dot + bar_dot * t;
        }
    add_outer(6 * n, updated_bar, W, kept.vectors + 0, W, gradient.update + 0);
    product<Real, true>(6 * n, updated_bar, W, layer.update.backward, me.new_bar + 0, W);
    if (me.pairwise) return;
    add_outer(6 * n, me.new_bar + 0, W, kept.directions + 0, W, gradient.direction_out + 0);
    product(6 * n, me.new_bar + 0, W, layer.direction_out.backward, me.projected + 0, W);
}

template <class Real>
void Training<Real>::pairs_backward(Worker& me, int l) {
    typedef Vector<Real> V;
    constexpr int L = LANES<Real>;
    const auto& layer = weights_.layers[l];
    LayerState& kept = me.layers[l];
    LayerGradient<Real>& gradient = me.gradient.layers[l];
    const int64_t n = me.n_atoms, W = weights_.width, N = weights_.basis_width, half = n * W, wide = 3 * n * W;
    const Real* const old = l ? me.layers[l - 1].vectors + 0 : nullptr;
    const Real *const new_bar = me.new_bar + 0, *const phi = kept.phi + 0;
    const Real* const projected = me.pairwise ? new_bar : me.projected + 0;
    me.phi_bar.zero(2 * half);
    if (l) std::memcpy(me.vectors_bar + 0, new_bar, size_t(2 * wide) * sizeof(Real));
    for (int64_t t = 0; t < tiles(me.n_pairs); ++t) {
        const Tile here = tile(me.n_pairs, t);
        const int64_t rows = here.rows, start = 2 * here.begin * W, size = rows * W;
        messages(me, l, here);
        Real *const message_bar = me.tile_a + 0, *const bar = me.tile_b + 0, *const hidden = me.tile_c + 0;
        Real* const inner = me.tile_d + 0;
        for (int64_t r = 0; r < rows; ++r) {
            const int64_t p = here.begin + r, i = me.first[p], j = me.second[p];
            for (int64_t k = 0; k < W; k += L) {
                const Real* a = me.features_bar + k;
                at(message_bar + r * W + k) = load(a + i * W) + load(a + j * W);
                at(message_bar + size + r * W + k) = load(a + half + i * W) + load(a + half + j * W);
                V value{}, tangent{};
                for (int x = 0; x < 3; ++x) {
                    const int64_t at_i = (3 * i + x) * W + k, at_j = (3 * j + x) * W + k;
                    const V difference = load(projected + at_i) - load(projected + at_j);
                    const V difference_dot = load(projected + wide + at_i) - load(projected + wide + at_j);
                    const Real u = me.unit[3 * p + x], u_dot = me.unit_dot[3 * p + x];
                    value += u * difference + u_dot * difference_dot;
                    tangent += u * difference_dot;
                }
                at(bar + r * W + k) = value;
                at(bar + size + r * W + k) = tangent;
            }
        }
        const Real* x = kept.direction_hidden + start;
        Real* before = bar;
        if (me.pairwise) {
            before = inner;
            product(2 * rows, bar, W, layer.direction_out.backward, before, W);
        }
        silu_tangent_backward(x, x + size, hidden, hidden + size, before, before + size, size);
        if (me.pairwise) add_outer(2 * rows, bar, W, hidden, W, gradient.direction_out + 0);
        add_outer(2 * rows, before, W, me.message + 0, W, gradient.direction_in + 0);
        product<Real, true>(2 * rows, before, W, layer.direction_in.backward, message_bar, W);
        if (l) {
            for (int64_t r = 0; r < rows; ++r) {
                const int64_t p = here.begin + r, i = me.first[p], j = me.second[p];
                const Real *e = kept.transport + start + r * W, *e_dot = e + size;
                for (int64_t k = 0; k < W; k += L) {
                    const V weight = load(e + k), weight_dot = load(e_dot + k);
                    V value{}, tangent{};
                    for (int c = 0; c < 3; ++c) {
                        const int64_t at_i = (3 * i + c) * W + k, at_j = (3 * j + c) * W + k;
                        const V b_i = load(new_bar + at_i), b_j = load(new_bar + at_j);
                        const V d_i = load(new_bar + wide + at_i), d_j = load(new_bar + wide + at_j);
                        const V f_i = load(old + at_i), f_j = load(old + at_j);
                        value += b_i * f_j + b_j * f_i + d_i * load(old + wide + at_j) + d_j * load(old + wide + at_i);
                        tangent += d_i * f_j + d_j * f_i;
                        at(me.vectors_bar + at_j) += weight * b_i + weight_dot * d_i;
                        at(me.vectors_bar + at_i) += weight * b_j + weight_dot * d_j;
                        at(me.vectors_bar + wide + at_j) += weight * d_i;
                        at(me.vectors_bar + wide + at_i) += weight * d_j;
                    }
                    at(bar + r * W + k) = value;
                    at(bar + size + r * W + k) = tangent;
                }
            }
            product(2 * rows, bar, W, layer.transport_out.backward, inner, W);
            x = kept.transport_hidden + start;
            silu_tangent_backward(x, x + size, hidden, hidden + size, inner, inner + size, size);
            add_outer(2 * rows, bar, W, hidden, W, gradient.transport_out + 0);
            add_outer(2 * rows, inner, W, me.message + 0, W, gradient.transport_in + 0);
            product<Real, true>(2 * rows, inner, W, layer.transport_in.backward, message_bar, W);
        }
        for (int64_t r = 0; r < rows; ++r) {
            const int64_t i = me.first[here.begin + r] * W, j = me.second[here.begin + r] * W;
            const Real *w = kept.weights + start + r * W, *w_dot = w + size;
            for (int64_t k = 0; k < W; k += L) {
                const V value = load(message_bar + r * W + k), tangent = load(message_bar + size + r * W + k);
                const V phi_i = load(phi + i + k), phi_j = load(phi + j + k);
                const V dot_i = load(phi + half + i + k), dot_j = load(phi + half + j + k);
                at(bar + r * W + k) = value * phi_i * phi_j + tangent * (dot_i * phi_j + phi_i * dot_j);
                at(bar + size + r * W + k) = tangent * phi_i * phi_j;
                const V pair = value * load(w + k) + tangent * load(w_dot + k), pair_dot = tangent * load(w + k);
                at(me.phi_bar + i + k) += pair * phi_j + pair_dot * dot_j;
                at(me.phi_bar + j + k) += pair * phi_i + pair_dot * dot_i;
                at(me.phi_bar + half + i + k) += pair_dot * phi_j;
                at(me.phi_bar + half + j + k) += pair_dot * phi_i;
            }
        }
        add_outer(2 * rows, bar, W, me.radial + 2 * here.begin * N, N, gradient.radial + 0);
    }
}

template <class Real>
void Training<Real>::atoms_phi_backward(Worker& me, int l) {
    const auto& layer = weights_.layers[l];
    LayerState& kept = me.layers[l];
    LayerGradient<Real>& gradient = me.gradient.layers[l];
    const int64_t n = me.n_atoms, W = weights_.width, half = n * W, rows = l ? 2 * n : n;
    Real *const hidden = me.atoms_a + 0, *const bar = me.atoms_b + 0;
    product(rows, me.phi_bar + 0, W, layer.node_out.backward, bar, W);
    if (!l) std::memset(static_cast<void*>(bar + half), 0, size_t(half) * sizeof(Real));
    const Real* x = kept.node_hidden + 0;
    silu_tangent_backward(x, x + half, hidden, hidden + half, bar, bar + half, half);
    add_outer(rows, me.phi_bar + 0, W, hidden, W, gradient.node_out + 0);
    add_rows(n, me.phi_bar + 0, W, gradient.node_out_bias + 0);
    add_outer(rows, bar, W, kept.features + 0, W, gradient.node_in + 0);
    add_rows(n, bar, W, gradient.node_in_bias + 0);
    product<Real, true>(rows, bar, W, layer.node_in.backward, me.features_bar + 0, W);
}

template <class Real>
void Training<Real>::process(Worker& me, const Chunk& chunk, const int64_t* numbers, const double* value_weights,
                             const double* tangent_weights) {
    const int64_t n = me.n_atoms, W = weights_.width, N = weights_.basis_width;
    const int n_layers = int(weights_.layers.size());
    for (int64_t p = 0; p < me.n_pairs; ++p) {
        const double *d = me.displacement + 6 * p, *d_dot = d + 3, r = me.distance[p];
        const double r_dot = (d[0] * d_dot[0] + d[1] * d_dot[1] + d[2] * d_dot[2]) / r;
        for (int k = 0; k < 3; ++k) {
            me.unit[3 * p + k] = Real(d[k] / r);
            me.unit_dot[3 * p + k] = Real((d_dot[k] - d[k] / r * r_dot) / r);
        }
        me.displacement[6 * p] = r_dot;  // all that is needed from here on
    }
    for (int64_t t = 0; t < tiles(me.n_pairs); ++t) {
        const Tile here = tile(me.n_pairs, t);
        Real *const values = me.radial + 2 * here.begin * N, *const slopes = values + here.rows * N;
        weights_.radial_functions(int(here.rows), me.distance + here.begin, values, slopes);
        for (int64_t r = 0; r < here.rows; ++r)
            for (int64_t k = 0; k < N; ++k) slopes[r * N + k] *= Real(me.displacement[6 * (here.begin + r)]);
    }
    me.features.zero(2 * n * W);
    for (int64_t i = 0; i < n; ++i)
        std::memcpy(me.features + i * W, weights_.embedding + numbers[chunk.atoms_begin + i] * W,
                    size_t(W) * sizeof(Real));
    for (int l = 0; l < n_layers; ++l) {
        atoms_phi(me, l);
        pairs_forward(me, l);
        atoms_forward(me, l);
    }
    readout(me, value_weights + chunk.atoms_begin, tangent_weights + chunk.atoms_begin);
    for (int l = n_layers - 1; l >= 0; --l) {
        atoms_backward(me, l);
        pairs_backward(me, l);
        atoms_phi_backward(me, l);
    }
    for (int64_t i = 0; i < n; ++i)
        add_rows(1, me.features_bar + i * W, int(W), me.gradient.embedding + numbers[chunk.atoms_begin + i] * W);
}

template <class Real>
int Training<Real>::gradient(const int64_t* numbers, const double* value_weights, const double* tangent_weights,
                             const double* positions, const double* velocities, const int64_t* first,
                             const int64_t* second, const double* translations, int64_t n_chunks, const Chunk* chunks,
                             int threads, Real* const* gradients) {
#ifndef _OPENMP
    threads = 1;
#endif
    workers_.resize(threads);
    bool exhausted = false;
    int team = 1;
#pragma omp parallel num_threads(threads)
    {
#ifdef _OPENMP
        const int thread = omp_get_thread_num();
#pragma omp single
        team = omp_get_num_threads();
#else
        const int thread = 0;
#endif
        Worker& me = workers_[thread];
        try {
            me.gradient.each(weights_, [&](Array<Real>& array, int rows, int columns) {
                const int64_t size = int64_t(padded<Real>(rows)) * padded<Real>(columns);
                array.reserve(size);
                array.zero(size);
            });
            // Chunks in turn, not as threads come free: the sums must not depend on the clock.
            for (int64_t c = thread; c < n_chunks; c += team) {
                take_pairs(me, chunks[c], positions, velocities, first, second, translations);
                reserve(me);
                process(me, chunks[c], numbers, value_weights, tangent_weights);
            }
        } catch (const std::bad_alloc&) {
#pragma omp atomic write
            exhausted = true;
        }
    }
    if (exhausted) return OUT_OF_MEMORY;
    for (int w = 0; w < team; ++w) {
        int64_t k = 0;
        workers_[w].gradient.each(weights_, [&](Array<Real>& array, int rows, int columns) {
            Real* const out = gradients[k++];
            const int stride = padded<Real>(columns);
            for (int r = 0; r < rows; ++r)
                for (int c = 0; c < columns; ++c)
                    out[int64_t(r) * columns + c] =
                        array[int64_t(r) * stride + c] + (w ? out[int64_t(r) * columns + c] : 0);
        });
    }
    return DONE;
}

}  // namespace
