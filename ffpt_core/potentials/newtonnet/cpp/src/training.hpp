// Gradients of a loss on energies and forces with respect to all weights, without autograd.
//
// With l_E = dL/dE of each frame and l_F = dL/dF of each atom, and F = -dE/dx,
//
//     dL/dw = d/dw [ sum l_E E(x; w) + E_dot(x, v; w) ],  v = -l_F,
//
// where E_dot is the derivative of the sum of all energies along v. The tangents of all quantities (names ending in
// _dot) follow from their values, and the gradient of that scalar is carried backwards through both (_bar: with respect
// to a value, _bar_dot: with respect to a tangent). Now _bar_dot is the gradient of the sum of energies with respect to
// the value, which the forces were made of. So the evaluation of energies and forces is recorded, values and gradients;
// what is left is a pass forwards for the tangents and one backwards for _bar. Chunks beyond a limit of memory are not
// recorded but evaluated once more.
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

    // Returns a Status. What gradient() needs is recorded under the number of the call, unless that is 0,
    // up to so many bytes.
    int evaluate(const Frames& frames, int64_t call, int64_t bytes, int threads, double* energies, double* forces,
                 double* virial);

    // Returns a Status. value_weights: of each atom's energy in the scalar. call: that of an evaluation of the same
    // frames, by these weights; it is repeated where it is not the last one.
    int gradient(const Frames& frames, int64_t call, const double* value_weights, const double* velocities, int threads,
                 Real* const* gradients);

    // To be called when weights have changed.
    void forget() { n_records_ = 0; }

  private:
    struct LayerTangents {
        Array<Real> features, node_hidden, phi, directions, vectors, updated;  // of atoms
        Array<Real> weights, direction_hidden, transport_hidden, transport;    // of pairs
    };

    struct Worker {
        Gradient<Real> gradient;
        Array<Real> first_phi_bar;      // (species, width)
        Array<Real> kinds_bar;          // (kinds, width, basis): of the first layer's matrices of kinds
        std::vector<char> has_species, has_kind;  // in any of the chunks
        Record<Real> record;            // of a chunk without one
        Array<double> results;
        std::vector<LayerTangents> layers;
        Array<Real> unit, radial, features, readout_hidden_1, readout_hidden_2;  // tangents
        Array<Real> features_bar, phi_bar, vectors_bar, new_bar, projected;
        Array<Real> atoms_a, atoms_b, atoms_c;                // (2 atoms, width)
        Array<Real> wide;                                     // (6 atoms, width)
        Array<Real> message, tile_a, tile_b, tile_c, tile_d;  // (2 TILE, width)
    };

    const Weights<Real>& weights_;
    FrameEvaluation<Real> evaluation_{weights_};
    std::vector<Record<Real>> records_;
    std::vector<Chunk> chunks_;
    int64_t n_records_ = 0, call_ = 0;  // of the last call
    std::vector<Worker> workers_;

    struct Tile {
        int64_t begin, rows;
    };
    static int64_t tiles(int64_t n) { return (n + TILE - 1) / TILE; }
    // Of about equal size, all but the last in whole blocks of a product.
    static Tile tile(int64_t n, int64_t t) {
        const int64_t equal = (n + tiles(n) - 1) / tiles(n);
        const int64_t rows = (equal + BLOCK_ROWS - 1) / BLOCK_ROWS * BLOCK_ROWS, begin = rows * t;
        return {begin, std::min(rows, n - begin)};
    }

    static int64_t atoms(const Chunk& chunk) { return chunk.atoms_end - chunk.atoms_begin; }
    const Record<Real>& recorded(Worker& me, const Frames& frames, int64_t chunk);
    void reserve(Worker& me, int64_t atoms, int64_t pairs);
    void reserve_gradient(Worker& me);
    void describe_pairs(Worker& me, const Record<Real>& record, const double* velocities);
    void atoms_phi(Worker& me, const LayerAtoms<Real>& values, int64_t n, int l);
    void messages(Worker& me, const Record<Real>& record, int l, Tile tile);
    void pairs_forward(Worker& me, const Record<Real>& record, int64_t n, int l);
    void atoms_forward(Worker& me, const Record<Real>& record, int64_t n, int l);
    void readout(Worker& me, const Record<Real>& record, int64_t n, const double* value_weights, const double* scales);
    void atoms_backward(Worker& me, const Record<Real>& record, int64_t n, int l);
    void pairs_backward(Worker& me, const Record<Real>& record, int64_t n, int l);
    void atoms_phi_backward(Worker& me, const LayerAtoms<Real>& values, int64_t n, int l);
    void kinds_backward(Worker& me);
    void first_phi_backward(Worker& me);
    void process(Worker& me, const Record<Real>& record, const Frames& frames, const Chunk& chunk,
                 const double* value_weights, const double* velocities);
    static void add_rows(int64_t rows, const Real* values, int64_t width, Real* sums);
};

template <class Real>
int Training<Real>::evaluate(const Frames& frames, int64_t call, int64_t bytes, int threads, double* energies,
                             double* forces, double* virial) {
    if (!call) return evaluation_.evaluate(frames, threads, energies, forces, virial);
    n_records_ = 0, call_ = call;
    int64_t count = 0;
    for (; count < frames.n_chunks; ++count) {
        const Chunk& chunk = frames.chunks[count];
        bytes -= Record<Real>::bytes(weights_, atoms(chunk), chunk.pairs_end - chunk.pairs_begin);
        if (bytes < 0) break;
    }
    try {
        if (int64_t(records_.size()) < count) records_.resize(count);
        chunks_.assign(frames.chunks, frames.chunks + count);
    } catch (const std::bad_alloc&) { return OUT_OF_MEMORY; }
    const int status = evaluation_.evaluate(frames, threads, energies, forces, virial, records_.data(), count);
    if (status == DONE) n_records_ = count;
    return status;
}

// The record of a chunk, made now where there is none. Throws std::bad_alloc.
template <class Real>
const Record<Real>& Training<Real>::recorded(Worker& me, const Frames& frames, int64_t c) {
    const Chunk& chunk = frames.chunks[c];
    if (c < n_records_ && chunks_[c] == chunk) return records_[c];
    const int64_t n = atoms(chunk);
    double* const results = me.results.reserve(4 * n + 9);
    const int status =
        evaluation_.evaluate_chunk(frames, chunk, results, results + n, results + 4 * n, &me.record);
    if (status != DONE) throw std::bad_alloc();
    return me.record;
}

template <class Real>
void Training<Real>::reserve(Worker& me, int64_t n, int64_t p) {
    const int64_t W = weights_.width;
    me.layers.resize(weights_.layers.size());
    for (auto& dot : me.layers) {
        for (auto* array : {&dot.features, &dot.node_hidden, &dot.phi}) array->reserve(n * W);
        for (auto* array : {&dot.directions, &dot.vectors, &dot.updated}) array->reserve(3 * n * W);
        for (auto* array : {&dot.weights, &dot.direction_hidden, &dot.transport_hidden, &dot.transport})
            array->reserve(p * W);
    }
    me.unit.reserve(3 * p), me.radial.reserve(p * weights_.basis_width);
    for (auto* array : {&me.features, &me.readout_hidden_1, &me.readout_hidden_2, &me.features_bar, &me.phi_bar})
        array->reserve(n * W);
    for (auto* array : {&me.vectors_bar, &me.new_bar, &me.projected}) array->reserve(3 * n * W);
    for (auto* array : {&me.atoms_a, &me.atoms_b, &me.atoms_c}) array->reserve(2 * n * W);
    me.wide.reserve(6 * n * W);
    for (auto* array : {&me.message, &me.tile_a, &me.tile_b, &me.tile_c, &me.tile_d}) array->reserve(2 * TILE * W);
}

template <class Real>
void Training<Real>::reserve_gradient(Worker& me) {
    const auto reserve = [](Array<Real>& array, int rows, int columns) {
        const int64_t size = int64_t(padded<Real>(rows)) * padded<Real>(columns);
        array.reserve(size);
        array.zero(size);
    };
    me.gradient.each(weights_, reserve);
    reserve(me.first_phi_bar, weights_.n_species, weights_.features);
    reserve(me.kinds_bar, int(weights_.kinds.size()) * weights_.width, weights_.basis);
    me.has_species.assign(weights_.n_species, 0);
    me.has_kind.assign(weights_.kinds.size(), 0);
}

// Tangents of the directions and radial functions of pairs.
template <class Real>
void Training<Real>::describe_pairs(Worker& me, const Record<Real>& record, const double* v) {
    const Pairs& pairs = record.pairs;
    const int64_t N = weights_.basis_width;
    for (int64_t p = 0; p < pairs.count; ++p) {
        const double *d = pairs.displacement + 3 * p, r = pairs.distance[p];
        double d_dot[3], r_dot = 0;
        for (int k = 0; k < 3; ++k) {
            d_dot[k] = v[3 * pairs.first[p] + k] - v[3 * pairs.second[p] + k];
            r_dot += d[k] * d_dot[k] / r;
        }
        for (int k = 0; k < 3; ++k) me.unit[3 * p + k] = Real((d_dot[k] - d[k] / r * r_dot) / r);
        for (int64_t k = p * N; k < (p + 1) * N; ++k) me.radial[k] = record.radial_slope[k] * Real(r_dot);
    }
}

// Tangents of phi. The first layer's are zero.
template <class Real>
void Training<Real>::atoms_phi(Worker& me, const LayerAtoms<Real>& values, int64_t n, int l) {
    const auto& layer = weights_.layers[l];
    LayerTangents& dot = me.layers[l];
    const int64_t W = weights_.width;
    std::copy_n(me.features + 0, n * W, dot.features + 0);
    product(n, dot.features + 0, W, layer.node_in.forward, dot.node_hidden + 0, W);
    silu_tangent(values.node_hidden + 0, dot.node_hidden + 0, me.atoms_a + 0, n * W);
    product(n, me.atoms_a + 0, W, layer.node_out.forward, dot.phi + 0, W);
}

// Messages of a tile of pairs and, behind them, their tangents.
template <class Real>
void Training<Real>::messages(Worker& me, const Record<Real>& record, int l, Tile tile) {
    typedef Vector<Real> V;
    const int64_t W = weights_.width, rows = tile.rows;
    const Real *const phi = record.layer_atoms[l].phi + 0, *const phi_dot = me.layers[l].phi + 0;
    for (int64_t r = 0; r < rows; ++r) {
        const int64_t p = tile.begin + r, i = record.pairs.first[p] * W, j = record.pairs.second[p] * W;
        const Real *w = record.layer_pairs[l].weights + p * W, *w_dot = me.layers[l].weights + p * W;
        Real *m = me.message + r * W, *m_dot = m + rows * W;
        for (int64_t k = 0; k < W; k += LANES<Real>) {
            const V phi_i = load(phi + i + k), phi_j = load(phi + j + k), product = phi_i * phi_j;
            const V product_dot = load(phi_dot + i + k) * phi_j + phi_i * load(phi_dot + j + k);
            at(m + k) = load(w + k) * product;
            at(m_dot + k) = load(w_dot + k) * product + load(w + k) * product_dot;
        }
    }
}

template <class Real>
void Training<Real>::pairs_forward(Worker& me, const Record<Real>& record, int64_t n, int l) {
    typedef Vector<Real> V;
    constexpr int L = LANES<Real>;
    const auto& layer = weights_.layers[l];
    const LayerPairs<Real>& values = record.layer_pairs[l];
    LayerTangents& dot = me.layers[l];
    const int64_t W = weights_.width, N = weights_.basis_width;
    const Real* const old = l ? record.layer_atoms[l - 1].vectors + 0 : nullptr;
    const Real* const old_dot = l ? me.layers[l - 1].vectors + 0 : nullptr;
    Real *const features = me.features + 0, *const vectors = dot.vectors + 0;
    Real* const directions = record.pairwise ? vectors : dot.directions + 0;
    if (!record.pairwise) dot.directions.zero(3 * n * W);
    if (l) std::copy_n(old_dot, 3 * n * W, vectors);
    else dot.vectors.zero(3 * n * W);
    for (int64_t t = 0; t < tiles(record.pairs.count); ++t) {
        const Tile here = tile(record.pairs.count, t);
        const int64_t rows = here.rows, start = here.begin * W;
        const Real *const message_dot = me.message + rows * W, *h_dot = me.tile_a + 0;
        product(rows, me.radial + here.begin * N, N, layer.radial.forward, dot.weights + start, W);
        messages(me, record, l, here);
        if (l) product(rows, message_dot, W, layer.direction_in.forward, dot.direction_hidden + start, W);
        else
            each_kind(record.pairs.kind + here.begin, rows, [&](int kind, int64_t r, int64_t some) {
                product(some, me.radial + (here.begin + r) * N, N, weights_.kinds[kind].direction.forward,
                        dot.direction_hidden + start + r * W, W);
            });
        silu_tangent(values.direction_hidden + start, dot.direction_hidden + start, me.tile_a + 0, rows * W);
        if (l) {
            product(rows, message_dot, W, layer.transport_in.forward, dot.transport_hidden + start, W);
            silu_tangent(values.transport_hidden + start, dot.transport_hidden + start, me.tile_b + 0, rows * W);
            product(rows, me.tile_b + 0, W, layer.transport_out.forward, dot.transport + start, W);
        }
        if (record.pairwise) {
            product(rows, me.tile_a + 0, W, layer.direction_out.forward, me.tile_c + 0, W);
            h_dot = me.tile_c + 0;
        }
        for (int64_t r = 0; r < rows; ++r) {
            const int64_t p = here.begin + r, i = record.pairs.first[p], j = record.pairs.second[p];
            for (int64_t k = 0; k < W; k += L) {
                const V tangent = load(message_dot + r * W + k);
                at(features + i * W + k) += tangent;
                at(features + j * W + k) += tangent;
            }
            const Real* const h = values.hidden + p * W;
            for (int x = 0; x < 3; ++x) {
                const Real u = record.unit[3 * p + x], u_dot = me.unit[3 * p + x];
                const int64_t at_i = (3 * i + x) * W, at_j = (3 * j + x) * W;
                for (int64_t k = 0; k < W; k += L) {
                    const V tangent = load(h_dot + r * W + k) * u + load(h + k) * u_dot;
                    at(directions + at_i + k) += tangent;
                    at(directions + at_j + k) -= tangent;
                }
                if (!l) continue;
                const Real *e = values.transport + p * W, *e_dot = dot.transport + p * W;
                for (int64_t k = 0; k < W; k += L) {
                    const V weight = load(e + k), weight_dot = load(e_dot + k);
                    at(vectors + at_i + k) += weight_dot * load(old + at_j + k) + weight * load(old_dot + at_j + k);
                    at(vectors + at_j + k) += weight_dot * load(old + at_i + k) + weight * load(old_dot + at_i + k);
                }
            }
        }
    }
}

template <class Real>
void Training<Real>::atoms_forward(Worker& me, const Record<Real>& record, int64_t n, int l) {
    const auto& layer = weights_.layers[l];
    const LayerAtoms<Real>& values = record.layer_atoms[l];
    LayerTangents& dot = me.layers[l];
    const int64_t W = weights_.width;
    if (!record.pairwise)
        product<Real, true>(3 * n, dot.directions + 0, W, layer.direction_out.forward, dot.vectors + 0, W);
    product(3 * n, dot.vectors + 0, W, layer.update.forward, dot.updated + 0, W);
    for (int64_t row = 0; row < 3 * n; ++row)
        for (int64_t k = row * W, atom = row / 3 * W; k < (row + 1) * W; k += LANES<Real>, atom += LANES<Real>)
            at(me.features + atom) += load(dot.vectors + k) * load(values.updated + k) +
                                      load(values.vectors + k) * load(dot.updated + k);
}

// Sums of rows: gradients of biases.
template <class Real>
void Training<Real>::add_rows(int64_t rows, const Real* values, int64_t width, Real* sums) {
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t k = 0; k < width; k += LANES<Real>) at(sums + k) += load(values + r * width + k);
}

template <class Real>
void Training<Real>::readout(Worker& me, const Record<Real>& record, int64_t n, const double* value_weights,
                             const double* scales) {
    typedef Vector<Real> V;
    const int64_t W = weights_.width, half = n * W;
    Gradient<Real>& gradient = me.gradient;
    const auto &in = weights_.readout_in, &hidden = weights_.readout_hidden;
    const Real *const x1 = record.readout_hidden_1 + 0, *const x2 = record.readout_hidden_2 + 0;
    Real *const x1_dot = me.readout_hidden_1 + 0, *const x2_dot = me.readout_hidden_2 + 0;
    Real *const y = me.atoms_a + 0, *const bar = me.atoms_b + 0, *const inner = me.atoms_c + 0;
    Real *const y_dot = y + half, *const bar_dot = bar + half, *const inner_dot = inner + half;
    product(n, me.features + 0, W, in.forward, x1_dot, W);
    silu_tangent(x1, x1_dot, y_dot, half);
    product(n, y_dot, W, hidden.forward, x2_dot, W);
    for (int64_t i = 0; i < n; ++i) {
        for (int64_t k = 0; k < W; k += LANES<Real>) {
            const V weight = load(weights_.readout_out + k);
            at(bar + i * W + k) = Real(value_weights[i]) * weight;
            at(bar_dot + i * W + k) = Real(scales[i]) * weight;
        }
        gradient.readout_out_bias[0] += Real(value_weights[i]);
    }
    silu_tangent_backward(x2, x2_dot, bar_dot, y, y_dot, bar, bar_dot, half);
    for (int64_t i = 0; i < n; ++i)
        for (int64_t k = 0; k < W; k += LANES<Real>)
            at(gradient.readout_out + k) +=
                Real(value_weights[i]) * load(y + i * W + k) + Real(scales[i]) * load(y_dot + i * W + k);
    product(n, bar, W, hidden.backward, inner, W);
    silu_tangent_backward(x1, x1_dot, record.readout_bar + 0, y, y_dot, inner, inner_dot, half);
    add_outer<Real>(n, {{bar, y}, {bar_dot, y_dot}}, W, W, gradient.readout_hidden + 0);
    add_rows(n, bar, W, gradient.readout_hidden_bias + 0);
    add_outer<Real>(n, {{inner, record.features + 0}, {inner_dot, me.features + 0}}, W, W, gradient.readout_in + 0);
    add_rows(n, inner, W, gradient.readout_in_bias + 0);
    product(n, inner, W, in.backward, me.features_bar + 0, W);
}

// Gradients with respect to a layer's new vectors, of Wu and of W4.
template <class Real>
void Training<Real>::atoms_backward(Worker& me, const Record<Real>& record, int64_t n, int l) {
    typedef Vector<Real> V;
    const auto& layer = weights_.layers[l];
    const LayerAtoms<Real>& values = record.layer_atoms[l];
    const LayerTangents& dot = me.layers[l];
    LayerGradient<Real>& gradient = me.gradient.layers[l];
    const int64_t W = weights_.width;
    const bool last = l + 1 == int(weights_.layers.size());
    Real *const updated_bar = me.wide + 0, *const updated_bar_dot = me.wide + 3 * n * W;
    for (int64_t row = 0; row < 3 * n; ++row)
        for (int64_t k = row * W, atom = row / 3 * W; k < (row + 1) * W; k += LANES<Real>, atom += LANES<Real>) {
            const V bar = load(me.features_bar + atom), bar_dot = load(values.features_bar + atom);
            const V f = load(values.vectors + k), f_dot = load(dot.vectors + k);
            const V next = last ? V{} : load(me.vectors_bar + k);
            at(updated_bar + k) = bar * f + bar_dot * f_dot;
            at(updated_bar_dot + k) = bar_dot * f;
            at(me.new_bar + k) = next + bar * load(values.updated + k) + bar_dot * load(dot.updated + k);
        }
    add_outer<Real>(3 * n, {{updated_bar, values.vectors + 0}, {updated_bar_dot, dot.vectors + 0}}, W, W,
                    gradient.update + 0);
    product<Real, true>(3 * n, updated_bar, W, layer.update.backward, me.new_bar + 0, W);
    if (record.pairwise) return;
    add_outer<Real>(3 * n, {{me.new_bar + 0, values.directions + 0}, {values.new_bar + 0, dot.directions + 0}}, W, W,
                    gradient.direction_out + 0);
    product(3 * n, me.new_bar + 0, W, layer.direction_out.backward, me.projected + 0, W);
}

template <class Real>
void Training<Real>::pairs_backward(Worker& me, const Record<Real>& record, int64_t n, int l) {
    typedef Vector<Real> V;
    constexpr int L = LANES<Real>;
    const auto& layer = weights_.layers[l];
    const LayerAtoms<Real>& atoms = record.layer_atoms[l];
    const LayerPairs<Real>& values = record.layer_pairs[l];
    const LayerTangents& dot = me.layers[l];
    LayerGradient<Real>& gradient = me.gradient.layers[l];
    const int64_t W = weights_.width, N = weights_.basis_width;
    const Real* const old = l ? record.layer_atoms[l - 1].vectors + 0 : nullptr;
    const Real* const old_dot = l ? me.layers[l - 1].vectors + 0 : nullptr;
    const Real *const new_bar = me.new_bar + 0, *const new_bar_dot = atoms.new_bar + 0;
    const Real* const projected = record.pairwise ? new_bar : me.projected + 0;
    const Real* const projected_dot = record.pairwise ? new_bar_dot : atoms.projected + 0;
    const Real *const phi = atoms.phi + 0, *const phi_dot = dot.phi + 0;
    me.phi_bar.zero(n * W);
    if (l) std::copy_n(new_bar, 3 * n * W, me.vectors_bar + 0);
    for (int64_t t = 0; t < tiles(record.pairs.count); ++t) {
        const Tile here = tile(record.pairs.count, t);
        const int64_t rows = here.rows, start = here.begin * W, size = rows * W;
        if (l) messages(me, record, l, here);
        const Real *const message = me.message + 0, *const message_dot = message + size;
        Real *const message_bar = me.tile_a + 0, *const bar = me.tile_b + 0, *const hidden = me.tile_c + 0,
                    *const inner = me.tile_d + 0;
        Real *const bar_dot = bar + size, *const hidden_dot = hidden + size, *const inner_dot = inner + size;
        for (int64_t r = 0; r < rows; ++r) {
            const int64_t p = here.begin + r, i = record.pairs.first[p], j = record.pairs.second[p];
            for (int64_t k = 0; k < W; k += L) {
                at(message_bar + r * W + k) = load(me.features_bar + i * W + k) + load(me.features_bar + j * W + k);
                V value{}, tangent{};
                for (int x = 0; x < 3; ++x) {
                    const int64_t at_i = (3 * i + x) * W + k, at_j = (3 * j + x) * W + k;
                    const V difference = load(projected + at_i) - load(projected + at_j);
                    const V difference_dot = load(projected_dot + at_i) - load(projected_dot + at_j);
                    const Real u = record.unit[3 * p + x], u_dot = me.unit[3 * p + x];
                    value += u * difference + u_dot * difference_dot;
                    tangent += u * difference_dot;
                }
                at(bar + r * W + k) = value;
                at(bar_dot + r * W + k) = tangent;
            }
        }
        if (record.pairwise) product(rows, bar, W, layer.direction_out.backward, inner, W);
        else std::copy_n(bar, size, inner);
        silu_tangent_backward(values.direction_hidden + start, dot.direction_hidden + start,
                              record.pairwise ? values.direction_bar + start : bar_dot, hidden, hidden_dot, inner,
                              inner_dot, size);
        if (record.pairwise)
            add_outer<Real>(rows, {{bar, hidden}, {bar_dot, hidden_dot}}, W, W, gradient.direction_out + 0);
        if (l) {
            add_outer<Real>(rows, {{inner, message}, {inner_dot, message_dot}}, W, W, gradient.direction_in + 0);
            product<Real, true>(rows, inner, W, layer.direction_in.backward, message_bar, W);
        } else {
            each_kind(record.pairs.kind + here.begin, rows, [&](int kind, int64_t r, int64_t some) {
                const int64_t radial = (here.begin + r) * N;
                me.has_kind[kind] = 1;
                add_outer<Real>(some, {{inner + r * W, record.radial + radial}, {inner_dot + r * W, me.radial + radial}},
                                W, N, me.kinds_bar + kind * W * N);
            });
        }
        if (l) {
            for (int64_t r = 0; r < rows; ++r) {
                const int64_t p = here.begin + r, i = record.pairs.first[p], j = record.pairs.second[p];
                const Real *e = values.transport + p * W, *e_dot = dot.transport + p * W;
                for (int64_t k = 0; k < W; k += L) {
                    const V weight = load(e + k), weight_dot = load(e_dot + k);
                    V value{}, tangent{};
                    for (int x = 0; x < 3; ++x) {
                        const int64_t at_i = (3 * i + x) * W + k, at_j = (3 * j + x) * W + k;
                        const V b_i = load(new_bar + at_i), b_j = load(new_bar + at_j);
                        const V d_i = load(new_bar_dot + at_i), d_j = load(new_bar_dot + at_j);
                        const V f_i = load(old + at_i), f_j = load(old + at_j);
                        value += b_i * f_j + b_j * f_i + d_i * load(old_dot + at_j) + d_j * load(old_dot + at_i);
                        tangent += d_i * f_j + d_j * f_i;
                        at(me.vectors_bar + at_j) += weight * b_i + weight_dot * d_i;
                        at(me.vectors_bar + at_i) += weight * b_j + weight_dot * d_j;
                    }
                    at(bar + r * W + k) = value;
                    at(bar_dot + r * W + k) = tangent;
                }
            }
            product(rows, bar, W, layer.transport_out.backward, inner, W);
            silu_tangent_backward(values.transport_hidden + start, dot.transport_hidden + start,
                                  values.transport_bar + start, hidden, hidden_dot, inner, inner_dot, size);
            add_outer<Real>(rows, {{bar, hidden}, {bar_dot, hidden_dot}}, W, W, gradient.transport_out + 0);
            add_outer<Real>(rows, {{inner, message}, {inner_dot, message_dot}}, W, W, gradient.transport_in + 0);
            product<Real, true>(rows, inner, W, layer.transport_in.backward, message_bar, W);
        }
        for (int64_t r = 0; r < rows; ++r) {
            const int64_t p = here.begin + r, i = record.pairs.first[p] * W, j = record.pairs.second[p] * W;
            const Real *w = values.weights + p * W, *w_dot = dot.weights + p * W;
            const Real* const message_bar_dot = values.message_bar + p * W;
            for (int64_t k = 0; k < W; k += L) {
                const V value = load(message_bar + r * W + k), tangent = load(message_bar_dot + k);
                const V phi_i = load(phi + i + k), phi_j = load(phi + j + k);
                const V dot_i = load(phi_dot + i + k), dot_j = load(phi_dot + j + k);
                at(bar + r * W + k) = value * phi_i * phi_j + tangent * (dot_i * phi_j + phi_i * dot_j);
                at(bar_dot + r * W + k) = tangent * phi_i * phi_j;
                const V pair = value * load(w + k) + tangent * load(w_dot + k), pair_dot = tangent * load(w + k);
                at(me.phi_bar + i + k) += pair * phi_j + pair_dot * dot_j;
                at(me.phi_bar + j + k) += pair * phi_i + pair_dot * dot_i;
            }
        }
        add_outer<Real>(rows, {{bar, record.radial + here.begin * N}, {bar_dot, me.radial + here.begin * N}}, W, N,
                        gradient.radial + 0);
    }
}

template <class Real>
void Training<Real>::atoms_phi_backward(Worker& me, const LayerAtoms<Real>& values, int64_t n, int l) {
    const auto& layer = weights_.layers[l];
    const LayerTangents& dot = me.layers[l];
    LayerGradient<Real>& gradient = me.gradient.layers[l];
    const int64_t W = weights_.width, half = n * W;
    Real *const hidden = me.atoms_a + 0, *const bar = me.atoms_b + 0;
    product(n, me.phi_bar + 0, W, layer.node_out.backward, bar, W);
    silu_tangent_backward(values.node_hidden + 0, dot.node_hidden + 0, values.node_bar + 0, hidden, hidden + half, bar,
                          bar + half, half);
    add_outer<Real>(n, {{me.phi_bar + 0, hidden}, {values.phi_bar + 0, hidden + half}}, W, W, gradient.node_out + 0);
    add_rows(n, me.phi_bar + 0, W, gradient.node_out_bias + 0);
    add_outer<Real>(n, {{bar, values.features + 0}, {bar + half, dot.features + 0}}, W, W, gradient.node_in + 0);
    add_rows(n, bar, W, gradient.node_in_bias + 0);
    product<Real, true>(n, bar, W, layer.node_in.backward, me.features_bar + 0, W);
}

// From the gradient D of W3 diag(c) We for each kind of pair: W3 gets D We^T diag(c); with G = W3^T D, We gets diag(c) G
// and c the sums of the rows of G * We.
template <class Real>
void Training<Real>::kinds_backward(Worker& me) {
    const auto& layer = weights_.layers[0];
    LayerGradient<Real>& gradient = me.gradient.layers[0];
    const int64_t F = weights_.features, W = weights_.width, N = weights_.basis_width;
    Real* const product_bar = me.wide.reserve(std::max(F * W, W * N));
    Real* const turned = me.projected.reserve(W * N);
    for (size_t s = 0; s < weights_.kinds.size(); ++s) {
        if (!me.has_kind[s]) continue;
        const Kind<Real>& kind = weights_.kinds[s];
        const Real* const bar = me.kinds_bar + int64_t(s) * W * N;
        product(F, bar, N, layer.radial.forward, product_bar, W);
        for (int64_t o = 0; o < F; ++o)
            for (int64_t k = 0; k < W; ++k) gradient.direction_in[o * W + k] += product_bar[o * W + k] * kind.phis[k];
        std::fill_n(turned, W * N, Real(0));
        add_outer<Real>(F, {{weights_.first_direction_in + 0, bar}}, W, N, turned);
        Real *const of_first = me.first_phi_bar + kind.first * W, *const of_second = me.first_phi_bar + kind.second * W;
        const Real *const phi_first = weights_.first_phi + kind.first * W,
                   *const phi_second = weights_.first_phi + kind.second * W;
        for (int64_t k = 0; k < F; ++k) {
            Real phis_bar = 0;
            for (int64_t b = 0; b < weights_.basis; ++b) {
                gradient.radial[k * N + b] += turned[k * N + b] * kind.phis[k];
                phis_bar += turned[k * N + b] * weights_.first_radial[k * N + b];
            }
            of_first[k] += phis_bar * phi_second[k];
            of_second[k] += phis_bar * phi_first[k];
        }
    }
}

// The first layer's phi is a function of the element: gradients with respect to it are summed over atoms before.
template <class Real>
void Training<Real>::first_phi_backward(Worker& me) {
    const auto& layer = weights_.layers[0];
    LayerGradient<Real>& gradient = me.gradient.layers[0];
    const int64_t W = weights_.width;
    me.atoms_a.reserve(2 * W), me.atoms_b.reserve(2 * W);
    Real *const hidden = me.atoms_a + 0, *const slope = hidden + W, *const bar = me.atoms_b + 0;
    for (int64_t s = 0; s < weights_.n_species; ++s) {
        if (!me.has_species[s]) continue;
        const Real *const features = weights_.embedding + s * W, *const phi_bar = me.first_phi_bar + s * W;
        product(1, features, W, layer.node_in.forward, hidden, W, layer.node_in.b());
        silu(hidden, hidden, slope, W);
        product(1, phi_bar, W, layer.node_out.backward, bar, W);
        for (int64_t k = 0; k < W; k += LANES<Real>) at(bar + k) *= load(slope + k);
        add_outer<Real>(1, {{phi_bar, hidden}}, W, W, gradient.node_out + 0);
        add_rows(1, phi_bar, W, gradient.node_out_bias + 0);
        add_outer<Real>(1, {{bar, features}}, W, W, gradient.node_in + 0);
        add_rows(1, bar, W, gradient.node_in_bias + 0);
        product<Real, true>(1, bar, W, layer.node_in.backward, me.gradient.embedding + s * W, W);
    }
}

template <class Real>
void Training<Real>::process(Worker& me, const Record<Real>& record, const Frames& frames, const Chunk& chunk,
                             const double* value_weights, const double* velocities) {
    const int64_t n = atoms(chunk), first = chunk.atoms_begin, W = weights_.width;
    const int n_layers = int(weights_.layers.size());
    reserve(me, n, record.pairs.count);
    describe_pairs(me, record, velocities + 3 * first);
    me.features.zero(n * W);
    for (int l = 0; l < n_layers; ++l) {
        if (l) atoms_phi(me, record.layer_atoms[l], n, l);
        pairs_forward(me, record, n, l);
        atoms_forward(me, record, n, l);
    }
    readout(me, record, n, value_weights + first, frames.scales + first);
    for (int l = n_layers - 1; l >= 0; --l) {
        atoms_backward(me, record, n, l);
        pairs_backward(me, record, n, l);
        if (l) atoms_phi_backward(me, record.layer_atoms[l], n, l);
    }
    for (int64_t i = 0; i < n; ++i) {
        const int64_t species = frames.numbers[first + i];
        me.has_species[species] = 1;
        add_rows(1, me.phi_bar + i * W, W, me.first_phi_bar + species * W);
        add_rows(1, me.features_bar + i * W, W, me.gradient.embedding + species * W);
    }
}

template <class Real>
int Training<Real>::gradient(const Frames& frames, int64_t call, const double* value_weights, const double* velocities,
                             int threads, Real* const* gradients) {
#ifndef _OPENMP
    threads = 1;
#endif
    bool exhausted = false;
    int team = 1;
    if (call != call_) n_records_ = 0;
    try {
        workers_.resize(threads);
        evaluation_.reserve(threads);
    } catch (const std::bad_alloc&) { return OUT_OF_MEMORY; }
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
            reserve_gradient(me);
            // Chunks in turn, not as threads come free: the sums must not depend on the clock.
            for (int64_t c = thread; c < frames.n_chunks; c += team)
                process(me, recorded(me, frames, c), frames, frames.chunks[c], value_weights, velocities);
            kinds_backward(me);
            first_phi_backward(me);
        } catch (const std::bad_alloc&) {
#pragma omp atomic write
            exhausted = true;
        }
    }
    if (exhausted) return OUT_OF_MEMORY;
    // Sums over workers, always in the same order.
    struct Part {
        std::vector<const Real*> of_workers;
        int rows, columns;
    };
    std::vector<Part> parts;
    try {
        for (int w = 0; w < team; ++w) {
            size_t k = 0;
            workers_[w].gradient.each(weights_, [&](Array<Real>& array, int rows, int columns) {
                if (w == 0) parts.push_back({{}, rows, columns});
                parts[k++].of_workers.push_back(array + 0);
            });
        }
    } catch (const std::bad_alloc&) { return OUT_OF_MEMORY; }
    const int n_parts = int(parts.size());
#pragma omp parallel for num_threads(threads)
    for (int k = 0; k < n_parts; ++k) {
        const int columns = parts[k].columns, stride = padded<Real>(columns);
        for (int r = 0; r < parts[k].rows; ++r) {
            Real* const out = gradients[k] + int64_t(r) * columns;
            bool first = true;
            for (const Real* array : parts[k].of_workers) {
                const Real* const row = array + int64_t(r) * stride;
                for (int c = 0; c < columns; ++c) out[c] = first ? row[c] : out[c] + row[c];
                first = false;
            }
        }
    }
    return DONE;
}

}  // namespace
