// Energy and forces of NewtonNet on a CPU in one call: the equations of ffpt_core/newtonnet.py, in tiles of pairs
// that stay in the cache of a core from the radial functions to the sums over neighbours.
//
// The work is matrix products of (rows, features) tiles with (features, features) weights; all else is arranged
// around them. Three identities save products:
//   - a message is symmetric in its two atoms, so every pair is computed once;
//   - sum_j (W4 h_ij) u_ij = W4 sum_j h_ij u_ij, so W4 multiplies a row for each pair or three for each atom, whichever
//     are fewer (`pairwise` or not);
//   - the first layer has no vectors to transport, and its phi depends on the element alone: there W3 multiplies the
//     radial functions, in one matrix with We for each kind of pair (Kind). So pairs are put in order of their kinds.
// The gradient is the hand-derived one of newtonnet.py; names ending in _bar are dE/d(name).
//
// Threads own contiguous ranges of pairs and of atoms. A thread adds what its pairs give to atoms into arrays of
// its own; between two barriers every thread sums those arrays over its atoms. No atomics; for a given number of
// threads the result is the same in every call.
//
// Rows have a stride of `width` features, a multiple of a panel; the padding is zero in, zero out.

#pragma once

#ifdef _OPENMP
#include <omp.h>
#endif

#include "weights.hpp"

namespace {

// What a thread keeps of its pairs between the forward and the backward pass; for a record also arguments of silu
// and gradients (before the slope of silu).
template <class Real>
struct LayerPairs {
    Array<Real> weights, hidden, transport;  // hidden: after W4 if pairwise
    Array<Real> direction_hidden, transport_hidden, direction_bar, transport_bar, message_bar;
};

template <class Real>
struct LayerSlopes {
    Array<Real> direction, transport;
};

// Pairs that are within the cutoff, as r_i - r_j and its length, in Angstrom.
struct Pairs {
    int64_t count = 0;
    Array<int32_t> first, second, kind;
    Array<double> displacement, distance;  // (pairs, 3), (pairs)

    void reserve(int64_t n) {
        first.reserve(n), second.reserve(n), kind.reserve(n), displacement.reserve(3 * n), distance.reserve(n);
    }
};

// f(kind, begin, rows) for all pairs of one kind that follow one another.
template <class F>
void each_kind(const int32_t* kinds, int64_t rows, F&& f) {
    for (int64_t begin = 0, end; begin < rows; begin = end) {
        for (end = begin + 1; end < rows && kinds[end] == kinds[begin];) ++end;
        f(kinds[begin], begin, end - begin);
    }
}

template <class Real>
struct Worker {
    Pairs found;             // in this thread's share of the candidates,
    Array<int64_t> n_found;  // of each kind
    int64_t n_pairs = 0;     // that this thread computes,
    const int32_t *first = nullptr, *second = nullptr, *kind = nullptr;  // a part of those of all threads
    const double *displacement = nullptr, *distance = nullptr;
    Array<Real> unit, unit_bar, radial, radial_slope, radial_bar;  // (pairs, 3), (pairs, basis)
    std::vector<LayerPairs<Real>> layers;
    std::vector<LayerSlopes<Real>> slopes;
    Array<Real> messages, vectors, direction;    // sums over this thread's pairs, per atom
    Array<Real> tile_a, tile_b, tile_c, tile_d;  // (3 TILE, width) scratch
    Array<double> forces;                        // (atoms, 3)
    double virial[9];
};

// The same of atoms. Of new_bar and projected there is one for all layers where no record is wanted.
template <class Real>
struct LayerAtoms {
    Array<Real> phi, hidden_slope, vectors, updated, new_bar, projected;
    Array<Real> features, node_hidden, directions, features_bar, phi_bar, node_bar;
};

// An evaluation by one thread: all values and gradients that training.hpp goes on with.
template <class Real>
struct Record {
    bool pairwise = false;
    Pairs pairs;
    Array<Real> unit, radial, radial_slope;
    Array<Real> features, readout_hidden_1, readout_hidden_2, readout_bar;
    std::vector<LayerPairs<Real>> layer_pairs;
    std::vector<LayerAtoms<Real>> layer_atoms;

    // About as many as it takes.
    static int64_t bytes(const Weights<Real>& weights, int64_t n_atoms, int64_t n_pairs) {
        return (8 * n_pairs + 22 * n_atoms) * int64_t(weights.layers.size()) * weights.width * int64_t(sizeof(Real));
    }
};

template <class Real>
class Evaluation {
  public:
    explicit Evaluation(const Weights<Real>& weights) : weights_(weights) {}

    // Returns a Status. Pairs count atoms from the origin. With a record it takes one thread.
    int evaluate(int64_t n, const int64_t* numbers, const double* scales, const double* positions, int64_t candidates,
                 const int64_t* first, const int64_t* second, const double* translations, int threads, double* energies,
                 double* forces, double* virial, int64_t origin = 0, Record<Real>* record = nullptr);

  private:
    const Weights<Real>& weights_;
    int team_ = 1;  // threads that came: fewer than asked for where the system says so
    bool pairwise_ = false, recording_ = false;
    std::vector<Worker<Real>> workers_;
    Pairs pairs_;
    std::vector<LayerAtoms<Real>> atoms_;
    Array<Real> features_, features_bar_, vectors_bar_, readout_hidden_1_, readout_hidden_2_, readout_bar_;

    struct Range {
        int64_t begin, end;
    };
    static Range share(int64_t n, int thread, int threads) {
        return {n * thread / threads, n * (thread + 1) / threads};
    }
    static int64_t tiles(int64_t n) { return (n + TILE - 1) / TILE; }
    // Where to write what is recorded if anything is.
    Real* place(const Array<Real>& recorded, int64_t start, const Array<Real>& scratch) const {
        return recording_ ? recorded + start : scratch + 0;
    }
    LayerAtoms<Real>& gradients(int l) { return atoms_[recording_ ? l : 0]; }

    void find_pairs(Worker<Real>& me, Range range, const int64_t* numbers, const double* positions,
                    const int64_t* first, const int64_t* second, const double* translations, int64_t origin);
    void take_share(Worker<Real>& me, int thread, int team);
    void reserve(Worker<Real>& me, int64_t atoms);
    void reserve_atoms(int64_t n);
    void give(Record<Real>& record);
    void describe_pairs(Worker<Real>& me);
    void pairs_forward(Worker<Real>& me, int l);
    void pairs_backward(Worker<Real>& me, int l);
    void atoms_forward(Worker<Real>& me, int l, Range atoms);
    void atoms_phi(Worker<Real>& me, int l, Range atoms);
    void readout(Worker<Real>& me, Range atoms, const double* scales, double* energies);
    void atoms_backward(Worker<Real>& me, int l, Range atoms);
    void atoms_phi_backward(Worker<Real>& me, int l, Range atoms);
    void pair_forces(Worker<Real>& me, int64_t n);
};

// The pairs within the cutoff among this thread's candidates.
template <class Real>
void Evaluation<Real>::find_pairs(Worker<Real>& me, Range range, const int64_t* numbers, const double* x,
                                  const int64_t* first, const int64_t* second, const double* translations,
                                  int64_t origin) {
    Pairs& found = me.found;
    found.reserve(range.end - range.begin);
    const int64_t n_kinds = int64_t(weights_.kinds.size());
    me.n_found.reserve(2 * n_kinds);
    me.n_found.zero(n_kinds);
    int64_t m = 0;
    for (int64_t p = range.begin; p < range.end; ++p) {
        const int64_t i = first[p] - origin, j = second[p] - origin;
        double dx = x[3 * i] - x[3 * j], dy = x[3 * i + 1] - x[3 * j + 1], dz = x[3 * i + 2] - x[3 * j + 2];
        if (translations) dx += translations[3 * p], dy += translations[3 * p + 1], dz += translations[3 * p + 2];
        const double squared = dx * dx + dy * dy + dz * dz;
        if (squared < weights_.cutoff * weights_.cutoff) {
            found.first[m] = int32_t(i), found.second[m] = int32_t(j);
            ++me.n_found[found.kind[m] = weights_.kind(numbers[i], numbers[j])];
            found.displacement[3 * m] = dx, found.displacement[3 * m + 1] = dy, found.displacement[3 * m + 2] = dz;
            found.distance[m++] = std::sqrt(squared);
        }
    }
    found.count = m;
}

// Put what all threads found behind one another, kind by kind, so that shares do not depend on candidates beyond the
// cutoff: a neighbour list made at another time gives the same sums to the last bit.
template <class Real>
void Evaluation<Real>::take_share(Worker<Real>& me, int thread, int team) {
    const int64_t n_kinds = int64_t(weights_.kinds.size());
    int64_t* const place = me.n_found + n_kinds;  // of the next pair of a kind
    int64_t total = 0;
    for (int64_t s = 0; s < n_kinds; ++s)
        for (int w = 0; w < team; ++w) {
            if (w == thread) place[s] = total;
            total += workers_[w].n_found[s];
        }
    const Pairs& found = me.found;
    for (int64_t p = 0; p < found.count; ++p) {
        const int64_t to = place[found.kind[p]]++;
        pairs_.first[to] = found.first[p], pairs_.second[to] = found.second[p], pairs_.kind[to] = found.kind[p];
        std::copy_n(found.displacement + 3 * p, 3, pairs_.displacement + 3 * to);
        pairs_.distance[to] = found.distance[p];
    }
    const Range mine = share(pairs_.count, thread, team);
    me.n_pairs = mine.end - mine.begin;
    me.first = pairs_.first + mine.begin, me.second = pairs_.second + mine.begin, me.kind = pairs_.kind + mine.begin;
    me.displacement = pairs_.displacement + 3 * mine.begin, me.distance = pairs_.distance + mine.begin;
}

// Memory for all that this thread will write. Throws std::bad_alloc.
template <class Real>
void Evaluation<Real>::reserve(Worker<Real>& me, int64_t atoms) {
    const int64_t n = me.n_pairs, W = weights_.width;
    for (Array<Real>* array : {&me.unit, &me.unit_bar}) array->reserve(3 * n);
    for (Array<Real>* array : {&me.radial, &me.radial_slope, &me.radial_bar}) array->reserve(n * weights_.basis_width);
    for (Array<Real>* array : {&me.tile_a, &me.tile_b, &me.tile_c, &me.tile_d}) array->reserve(3 * TILE * W);
    for (Array<Real>* array : {&me.vectors, &me.direction}) array->reserve(3 * atoms * W);
    me.messages.reserve(atoms * W);
    me.forces.reserve(3 * atoms);
    me.layers.resize(weights_.layers.size());
    me.slopes.resize(weights_.layers.size());
    for (size_t l = 0; l < weights_.layers.size(); ++l) {
        LayerPairs<Real>& kept = me.layers[l];
        LayerSlopes<Real>& slopes = me.slopes[l];
        for (Array<Real>* array : {&kept.weights, &kept.hidden, &slopes.direction}) array->reserve(n * W);
        if (l)
            for (Array<Real>* array : {&kept.transport, &slopes.transport}) array->reserve(n * W);
        if (!recording_) continue;
        for (Array<Real>* array : {&kept.direction_hidden, &kept.message_bar}) array->reserve(n * W);
        if (pairwise_) kept.direction_bar.reserve(n * W);
        if (l)
            for (Array<Real>* array : {&kept.transport_hidden, &kept.transport_bar}) array->reserve(n * W);
    }
}

template <class Real>
void Evaluation<Real>::reserve_atoms(int64_t n) {
    const int64_t W = weights_.width;
    atoms_.resize(weights_.layers.size());
    for (auto& layer : atoms_) {
        for (auto* array : {&layer.phi, &layer.hidden_slope}) array->reserve(n * W);
        for (auto* array : {&layer.vectors, &layer.updated}) array->reserve(3 * n * W);
        if (recording_ || &layer == &atoms_[0])
            for (auto* array : {&layer.new_bar, &layer.projected}) array->reserve(3 * n * W);
        if (!recording_) continue;
        for (auto* array : {&layer.features, &layer.node_hidden, &layer.features_bar, &layer.phi_bar, &layer.node_bar})
            array->reserve(n * W);
        layer.directions.reserve(3 * n * W);
    }
    for (auto* array : {&features_, &features_bar_}) array->reserve(n * W);
    vectors_bar_.reserve(3 * n * W);
    if (recording_)
        for (auto* array : {&readout_hidden_1_, &readout_hidden_2_, &readout_bar_}) array->reserve(n * W);
}

// What was recorded, in exchange for memory that the record had before.
template <class Real>
void Evaluation<Real>::give(Record<Real>& record) {
    Worker<Real>& me = workers_[0];
    record.pairwise = pairwise_;
    std::swap(record.pairs, pairs_);
    std::swap(record.unit, me.unit), std::swap(record.radial, me.radial);
    std::swap(record.radial_slope, me.radial_slope);
    std::swap(record.features, features_), std::swap(record.readout_bar, readout_bar_);
    std::swap(record.readout_hidden_1, readout_hidden_1_), std::swap(record.readout_hidden_2, readout_hidden_2_);
    std::swap(record.layer_pairs, me.layers), std::swap(record.layer_atoms, atoms_);
}

// Directions and radial functions of this thread's pairs.
template <class Real>
void Evaluation<Real>::describe_pairs(Worker<Real>& me) {
    const int64_t n = me.n_pairs, N = weights_.basis_width;
    me.unit_bar.zero(3 * n);
    me.radial_bar.zero(n * N);
    for (int64_t p = 0; p < n; ++p)
        for (int k = 0; k < 3; ++k) me.unit[3 * p + k] = Real(me.displacement[3 * p + k] / me.distance[p]);
    for (int64_t begin = 0; begin < n; begin += TILE)
        weights_.radial_functions(int(std::min<int64_t>(TILE, n - begin)), me.distance + begin, me.radial + begin * N,
                                  me.radial_slope + begin * N);
}

// Messages of this thread's pairs, and what they add to atoms.
template <class Real>
void Evaluation<Real>::pairs_forward(Worker<Real>& me, int l) {
    typedef Vector<Real> V;
    constexpr int L = LANES<Real>;
    const Layer<Real>& layer = weights_.layers[l];
    LayerPairs<Real>& kept = me.layers[l];
    const int64_t n = me.n_pairs;
    const int W = weights_.width, N = weights_.basis_width;
    Real *const weights = kept.weights + 0, *const hidden = kept.hidden + 0, *const transport = kept.transport + 0;
    Real *const slope = me.slopes[l].direction + 0, *const transport_slope = me.slopes[l].transport + 0;
    const Real* const phi = atoms_[l].phi + 0;
    const Real* const vectors = l ? atoms_[l - 1].vectors + 0 : nullptr;
    Real* const message = me.tile_a + 0;
    Real* const transport_hidden = me.tile_b + 0;

    const int64_t count = tiles(n);
    for (int64_t t = 0; t < count; ++t) {
        const Range tile = share(n, int(t), int(count));
        const int64_t rows = tile.end - tile.begin, start = tile.begin * W;
        product(rows, me.radial + tile.begin * N, N, layer.radial.forward, weights + start, W);
        for (int64_t r = 0; r < rows; ++r) {
            const int64_t i = me.first[tile.begin + r], j = me.second[tile.begin + r];
            const Real *phi_i = phi + i * W, *phi_j = phi + j * W, *w = weights + start + r * W;
            Real *m = message + r * W, *sum_i = me.messages + i * W, *sum_j = me.messages + j * W;
            for (int k = 0; k < W; k += L) {
                const V value = load(w + k) * load(phi_i + k) * load(phi_j + k);
                at(m + k) = value;
                at(sum_i + k) += value;
                at(sum_j + k) += value;
            }
        }
        Real* const h = pairwise_ ? me.tile_c + 0 : hidden + start;
        Real* before = recording_ ? kept.direction_hidden + start : h;
        if (l) product(rows, message, W, layer.direction_in.forward, before, W);
        else
            each_kind(me.kind + tile.begin, rows, [&](int kind, int64_t r, int64_t some) {
                product(some, me.radial + (tile.begin + r) * N, N, weights_.kinds[kind].direction.forward,
                        before + r * W, W);
            });
        silu(before, h, slope + start, rows * W);
        if (pairwise_) product(rows, h, W, layer.direction_out.forward, hidden + start, W);
        if (l) {
            before = place(kept.transport_hidden, start, me.tile_b);
            product(rows, message, W, layer.transport_in.forward, before, W);
            silu(before, transport_hidden, transport_slope + start, rows * W);
            product(rows, transport_hidden, W, layer.transport_out.forward, transport + start, W);
        }
        for (int64_t r = 0; r < rows; ++r) {
            const int64_t p = tile.begin + r, i = me.first[p], j = me.second[p];
            const Real* h = hidden + p * W;
            for (int x = 0; x < 3; ++x) {
                const Real u = me.unit[3 * p + x];
                Real *direction_i = me.direction + (3 * i + x) * W, *direction_j = me.direction + (3 * j + x) * W;
                for (int k = 0; k < W; k += L) {
                    const V value = load(h + k) * u;
                    at(direction_i + k) += value;
                    at(direction_j + k) -= value;
                }
            }
            if (!l) continue;
            const Real* e = transport + p * W;
            for (int x = 0; x < 3; ++x) {
                const Real *f_i = vectors + (3 * i + x) * W, *f_j = vectors + (3 * j + x) * W;
                Real *sum_i = me.vectors + (3 * i + x) * W, *sum_j = me.vectors + (3 * j + x) * W;
                for (int k = 0; k < W; k += L) {
                    at(sum_i + k) += load(e + k) * load(f_j + k);
                    at(sum_j + k) += load(e + k) * load(f_i + k);
                }
            }
        }
    }
}

// phi of these atoms for a layer after the first.
template <class Real>
void Evaluation<Real>::atoms_phi(Worker<Real>& me, int l, Range atoms) {
    const Layer<Real>& layer = weights_.layers[l];
    LayerAtoms<Real>& kept = atoms_[l];
    const int W = weights_.width;
    for (int64_t begin = atoms.begin; begin < atoms.end; begin += TILE) {
        const int64_t rows = std::min<int64_t>(TILE, atoms.end - begin), start = begin * W;
        Real* const before = place(kept.node_hidden, start, me.tile_a);
        if (recording_) std::copy_n(features_ + start, rows * W, kept.features + start);
        product(rows, features_ + start, W, layer.node_in.forward, before, W, layer.node_in.b());
        silu(before, me.tile_a + 0, kept.hidden_slope + start, rows * W);
        product(rows, me.tile_a + 0, W, layer.node_out.forward, kept.phi + start, W, layer.node_out.b());
    }
}

// New vectors and features of these atoms from the sums over their neighbours.
template <class Real>
void Evaluation<Real>::atoms_forward(Worker<Real>& me, int l, Range atoms) {
    typedef Vector<Real> V;
    constexpr int L = LANES<Real>;
    const Layer<Real>& layer = weights_.layers[l];
    const int W = weights_.width;
    Real* const vectors = atoms_[l].vectors + 0;
    Real* const updated = atoms_[l].updated + 0;
    for (int64_t begin = atoms.begin; begin < atoms.end; begin += TILE) {
        const int64_t rows = std::min<int64_t>(TILE, atoms.end - begin), start = 3 * begin * W;
        Real* const directions = place(atoms_[l].directions, start, me.tile_a);
        std::memset(static_cast<void*>(directions), 0, size_t(3 * rows * W) * sizeof(Real));
        if (l) std::memcpy(vectors + start, atoms_[l - 1].vectors + start, size_t(3 * rows * W) * sizeof(Real));
        else std::memset(static_cast<void*>(vectors + start), 0, size_t(3 * rows * W) * sizeof(Real));
        for (int w = 0; w < team_; ++w) {
            const Worker<Real>& other = workers_[w];
            const Real *direction = other.direction + start, *moved = other.vectors + start;
            for (int64_t k = 0; k < 3 * rows * W; k += L) at(directions + k) += load(direction + k);
            if (l)
                for (int64_t k = 0; k < 3 * rows * W; k += L) at(vectors + start + k) += load(moved + k);
            const Real* messages = other.messages + begin * W;
            for (int64_t k = 0; k < rows * W; k += L) at(features_ + begin * W + k) += load(messages + k);
        }
        if (pairwise_)
            for (int64_t k = 0; k < 3 * rows * W; k += L) at(vectors + start + k) += load(directions + k);
        else product<Real, true>(3 * rows, directions, W, layer.direction_out.forward, vectors + start, W);
        product(3 * rows, vectors + start, W, layer.update.forward, updated + start, W);
        for (int64_t i = begin; i < begin + rows; ++i)
            for (int k = 0; k < W; k += L) {
                V dot{};
                for (int x = 0; x < 3; ++x)
                    dot += load(vectors + (3 * i + x) * W + k) * load(updated + (3 * i + x) * W + k);
                at(features_ + i * W + k) += dot;
            }
    }
}

// Energies of these atoms, and d(sum scales * energies)/d(features).
template <class Real>
void Evaluation<Real>::readout(Worker<Real>& me, Range atoms, const double* scales, double* energies) {
    typedef Vector<Real> V;
    constexpr int L = LANES<Real>;
    const int W = weights_.width;
    Real *const a = me.tile_a + 0, *const b = me.tile_b + 0;
    Real *const slope_a = me.tile_c + 0, *const slope_b = me.tile_c + int64_t(TILE) * W;
    for (int64_t begin = atoms.begin; begin < atoms.end; begin += TILE) {
        const int64_t rows = std::min<int64_t>(TILE, atoms.end - begin);
        Real *const before_a = place(readout_hidden_1_, begin * W, me.tile_a),
                    *const before_b = place(readout_hidden_2_, begin * W, me.tile_b),
                    *const a_bar = place(readout_bar_, begin * W, me.tile_a);
        product(rows, features_ + begin * W, W, weights_.readout_in.forward, before_a, W, weights_.readout_in.b());
        silu(before_a, a, slope_a, rows * W);
        product(rows, a, W, weights_.readout_hidden.forward, before_b, W, weights_.readout_hidden.b());
        silu(before_b, b, slope_b, rows * W);
        for (int64_t r = 0; r < rows; ++r) {
            V total{};
            const Real scale = Real(scales[begin + r]);
            for (int k = 0; k < W; k += L) {
                total += load(b + r * W + k) * load(weights_.readout_out + k);
                at(b + r * W + k) = scale * load(weights_.readout_out + k) * load(slope_b + r * W + k);
            }
            energies[begin + r] = double(scale * (sum<Real>(total) + weights_.readout_bias));
        }
        product(rows, b, W, weights_.readout_hidden.backward, a_bar, W);
        for (int64_t k = 0; k < rows * W; k += L) at(a + k) = load(a_bar + k) * load(slope_a + k);
        product(rows, a, W, weights_.readout_in.backward, features_bar_ + begin * W, W);
    }
}

// Gradient of these atoms' new vectors, and its product with W4.
template <class Real>
void Evaluation<Real>::atoms_backward(Worker<Real>& me, int l, Range atoms) {
    constexpr int L = LANES<Real>;
    const Layer<Real>& layer = weights_.layers[l];
    const int W = weights_.width;
    const bool last = l + 1 == int(weights_.layers.size());
    const Real* const vectors = atoms_[l].vectors + 0;
    const Real* const updated = atoms_[l].updated + 0;
    Real *const new_bar = gradients(l).new_bar + 0, *const projected = gradients(l).projected + 0;
    for (int64_t begin = atoms.begin; begin < atoms.end; begin += TILE) {
        const int64_t rows = std::min<int64_t>(TILE, atoms.end - begin), start = 3 * begin * W;
        if (recording_) std::copy_n(features_bar_ + begin * W, rows * W, atoms_[l].features_bar + begin * W);
        for (int64_t r = 0; r < 3 * rows; ++r) {
            const Real *bar = features_bar_ + (begin + r / 3) * W, *old = vectors_bar_ + start + r * W;
            Real* const sum = new_bar + start + r * W;
            for (int k = 0; k < W; k += L) {
                at(me.tile_a + r * W + k) = load(bar + k) * load(vectors + start + r * W + k);
                at(sum + k) = load(bar + k) * load(updated + start + r * W + k);
                if (!last) at(sum + k) += load(old + k);
            }
        }
        product<Real, true>(3 * rows, me.tile_a + 0, W, layer.update.backward, new_bar + start, W);
        if (!pairwise_) product(3 * rows, new_bar + start, W, layer.direction_out.backward, projected + start, W);
    }
}

// Gradients of units and radial functions of this thread's pairs, and what they add to gradients of atoms.
template <class Real>
void Evaluation<Real>::pairs_backward(Worker<Real>& me, int l) {
    typedef Vector<Real> V;
    constexpr int L = LANES<Real>;
    const Layer<Real>& layer = weights_.layers[l];
    const LayerPairs<Real>& kept = me.layers[l];
    const LayerSlopes<Real>& slopes = me.slopes[l];
    const int64_t n = me.n_pairs;
    const int W = weights_.width, N = weights_.basis_width;
    const Real* const phi = atoms_[l].phi + 0;
    const Real* const vectors = l ? atoms_[l - 1].vectors + 0 : nullptr;
    const Real* const new_bar = gradients(l).new_bar + 0;
    const Real* const projected = pairwise_ ? new_bar : gradients(l).projected + 0;
    Real *const hidden_bar = me.tile_a + 0, *const transport_bar = me.tile_b + 0;
    Real* const product_bar = me.tile_a + 0;

    const int64_t count = tiles(n);
    for (int64_t t = 0; t < count; ++t) {
        const Range tile = share(n, int(t), int(count));
        const int64_t rows = tile.end - tile.begin, start = tile.begin * W;
        Real* const message_bar = place(kept.message_bar, start, me.tile_c);
        for (int64_t r = 0; r < rows; ++r) {
            const int64_t p = tile.begin + r, i = me.first[p], j = me.second[p];
            const Real* h = kept.hidden + p * W;
            const Real *g_i = projected + 3 * i * W, *g_j = projected + 3 * j * W;
            const Real u0 = me.unit[3 * p], u1 = me.unit[3 * p + 1], u2 = me.unit[3 * p + 2];
            V bar0{}, bar1{}, bar2{};
            for (int k = 0; k < W; k += L) {
                const V d0 = load(g_i + k) - load(g_j + k);
                const V d1 = load(g_i + W + k) - load(g_j + W + k);
                const V d2 = load(g_i + 2 * W + k) - load(g_j + 2 * W + k);
                const V value = load(h + k);
                bar0 += value * d0, bar1 += value * d1, bar2 += value * d2;
                at(hidden_bar + r * W + k) = d0 * u0 + d1 * u1 + d2 * u2;
            }
            me.unit_bar[3 * p] += sum<Real>(bar0);
            me.unit_bar[3 * p + 1] += sum<Real>(bar1);
            me.unit_bar[3 * p + 2] += sum<Real>(bar2);
            const Real *a_i = features_bar_ + i * W, *a_j = features_bar_ + j * W;
            for (int k = 0; k < W; k += L) at(message_bar + r * W + k) = load(a_i + k) + load(a_j + k);
            if (!l) continue;
            const Real* e = kept.transport + p * W;
            for (int k = 0; k < W; k += L) {
                V e_bar{};
                const V weight = load(e + k);
                for (int x = 0; x < 3; ++x) {
                    const int64_t at_i = (3 * i + x) * W + k, at_j = (3 * j + x) * W + k;
                    const V bar_i = load(new_bar + at_i), bar_j = load(new_bar + at_j);
                    e_bar += bar_i * load(vectors + at_j) + bar_j * load(vectors + at_i);
                    at(me.vectors + at_i) += weight * bar_j;
                    at(me.vectors + at_j) += weight * bar_i;
                }
                at(transport_bar + r * W + k) = e_bar;
            }
        }
        Real *const inner = me.tile_d + 0, *bar = hidden_bar;
        if (pairwise_) {
            bar = place(kept.direction_bar, start, me.tile_d);
            product(rows, hidden_bar, W, layer.direction_out.backward, bar, W);
        }
        for (int64_t k = 0; k < rows * W; k += L)
            at(inner + k) = load(bar + k) * load(slopes.direction + start + k);
        if (l) product<Real, true>(rows, inner, W, layer.direction_in.backward, message_bar, W);
        else
            each_kind(me.kind + tile.begin, rows, [&](int kind, int64_t r, int64_t some) {
                product<Real, true>(some, inner + r * W, W, weights_.kinds[kind].direction.backward,
                                    me.radial_bar + (tile.begin + r) * N, N);
            });
        if (l) {
            bar = place(kept.transport_bar, start, me.tile_d);
            product(rows, transport_bar, W, layer.transport_out.backward, bar, W);
            for (int64_t k = 0; k < rows * W; k += L)
                at(inner + k) = load(bar + k) * load(slopes.transport + start + k);
            product<Real, true>(rows, inner, W, layer.transport_in.backward, message_bar, W);
        }
        for (int64_t r = 0; r < rows; ++r) {
            const int64_t p = tile.begin + r, i = me.first[p], j = me.second[p];
            const Real *phi_i = phi + i * W, *phi_j = phi + j * W, *bar = message_bar + r * W;
            for (int k = 0; k < W; k += L)
                at(product_bar + r * W + k) = load(bar + k) * load(phi_i + k) * load(phi_j + k);
            if (!l) continue;
            const Real* w = kept.weights + p * W;
            for (int k = 0; k < W; k += L) {
                const V weighted = load(bar + k) * load(w + k);
                at(me.messages + i * W + k) += weighted * load(phi_j + k);
                at(me.messages + j * W + k) += weighted * load(phi_i + k);
            }
        }
        product<Real, true>(rows, product_bar, W, layer.radial.backward, me.radial_bar + tile.begin * N, N);
    }
}

// Gradients of these atoms' features and vectors before a layer after the first.
template <class Real>
void Evaluation<Real>::atoms_phi_backward(Worker<Real>& me, int l, Range atoms) {
    constexpr int L = LANES<Real>;
    const Layer<Real>& layer = weights_.layers[l];
    const LayerAtoms<Real>& kept = atoms_[l];
    const int W = weights_.width;
    for (int64_t begin = atoms.begin; begin < atoms.end; begin += TILE) {
        const int64_t rows = std::min<int64_t>(TILE, atoms.end - begin), start = begin * W;
        Real* const phi_bar = place(kept.phi_bar, start, me.tile_a);
        Real* const bar = place(kept.node_bar, start, me.tile_b);
        std::memset(static_cast<void*>(phi_bar), 0, size_t(rows * W) * sizeof(Real));
        std::memcpy(vectors_bar_ + 3 * start, gradients(l).new_bar + 3 * start, size_t(3 * rows * W) * sizeof(Real));
        for (int w = 0; w < team_; ++w) {
            const Worker<Real>& other = workers_[w];
            for (int64_t k = 0; k < rows * W; k += L) at(phi_bar + k) += load(other.messages + start + k);
            for (int64_t k = 0; k < 3 * rows * W; k += L)
                at(vectors_bar_ + 3 * start + k) += load(other.vectors + 3 * start + k);
        }
        product(rows, phi_bar, W, layer.node_out.backward, bar, W);
        for (int64_t k = 0; k < rows * W; k += L)
            at(me.tile_b + k) = load(bar + k) * load(kept.hidden_slope + start + k);
        product<Real, true>(rows, me.tile_b + 0, W, layer.node_in.backward, features_bar_ + start, W);
    }
}

// Forces and virial (sum of displacement x gradient) of this thread's pairs.
template <class Real>
void Evaluation<Real>::pair_forces(Worker<Real>& me, int64_t n_atoms) {
    const int64_t N = weights_.basis_width;
    double* const forces = me.forces + 0;
    me.forces.zero(3 * n_atoms);
    std::memset(me.virial, 0, sizeof me.virial);
    for (int64_t p = 0; p < me.n_pairs; ++p) {
        Real slope = 0;
        for (int k = 0; k < weights_.basis; ++k) slope += me.radial_bar[p * N + k] * me.radial_slope[p * N + k];
        const double r = me.distance[p];
        double along = 0;
        for (int x = 0; x < 3; ++x) along += double(me.unit_bar[3 * p + x]) * double(me.unit[3 * p + x]);
        const double distance_bar = double(slope) - along / r;
        for (int x = 0; x < 3; ++x) {
            const double gradient = me.unit[3 * p + x] * distance_bar + me.unit_bar[3 * p + x] / r;
            forces[3 * int64_t(me.first[p]) + x] -= gradient;
            forces[3 * int64_t(me.second[p]) + x] += gradient;
            for (int y = 0; y < 3; ++y) me.virial[3 * y + x] += me.displacement[3 * p + y] * gradient;
        }
    }
}

template <class Real>
int Evaluation<Real>::evaluate(int64_t n, const int64_t* numbers, const double* scales, const double* positions,
                               int64_t candidates, const int64_t* first, const int64_t* second,
                               const double* translations, int threads, double* energies, double* forces,
                               double* virial, int64_t origin, Record<Real>* record) {
    const int W = weights_.width, n_layers = int(weights_.layers.size());
#ifndef _OPENMP
    threads = 1;
#endif
    bool exhausted = false;
    if (!weights_.knows(n, numbers)) return UNKNOWN_ELEMENT;
    recording_ = record != nullptr;
    try {
        workers_.resize(threads);
        reserve_atoms(n);
    } catch (const std::bad_alloc&) { return OUT_OF_MEMORY; }

#pragma omp parallel num_threads(threads)
    {
#ifdef _OPENMP
        const int thread = omp_get_thread_num(), team = omp_get_num_threads();
#else
        const int thread = 0, team = 1;
#endif
        Worker<Real>& me = workers_[thread];
        const Range mine = share(n, thread, team);
        const auto attempt = [&](auto allocate) {
            try {
                allocate();
            } catch (const std::bad_alloc&) {
#pragma omp atomic write
                exhausted = true;
            }
        };
        attempt(
            [&] {
                find_pairs(me, share(candidates, thread, team), numbers, positions, first, second, translations,
                           origin);
            });
#pragma omp barrier
#pragma omp single
        {
            team_ = team;
            pairs_.count = 0;
            for (int w = 0; w < team; ++w) pairs_.count += workers_[w].found.count;
            pairwise_ = pairs_.count < 3 * n;
            attempt([&] { pairs_.reserve(pairs_.count); });
        }
        if (!exhausted) {
            take_share(me, thread, team);
            attempt([&] { reserve(me, n); });
        }
#pragma omp barrier
        if (!exhausted) {
            describe_pairs(me);
            for (int64_t i = mine.begin; i < mine.end; ++i) {
                std::memcpy(features_ + i * W, weights_.embedding + numbers[i] * W, size_t(W) * sizeof(Real));
                std::memcpy(atoms_[0].phi + i * W, weights_.first_phi + numbers[i] * W, size_t(W) * sizeof(Real));
            }
            for (int l = 0; l < n_layers; ++l) {
#pragma omp barrier
                me.messages.zero(n * W), me.direction.zero(3 * n * W), me.vectors.zero(3 * n * W);
                pairs_forward(me, l);
#pragma omp barrier
                atoms_forward(me, l, mine);
                if (l + 1 < n_layers) atoms_phi(me, l + 1, mine);
            }
            readout(me, mine, scales, energies);
            for (int l = n_layers - 1; l >= 0; --l) {
                atoms_backward(me, l, mine);
#pragma omp barrier
                me.messages.zero(n * W), me.vectors.zero(3 * n * W);
                pairs_backward(me, l);
#pragma omp barrier
                if (l) atoms_phi_backward(me, l, mine);
            }
            pair_forces(me, n);
#pragma omp barrier
            for (int64_t k = 3 * mine.begin; k < 3 * mine.end; ++k) {
                forces[k] = 0;
                for (int w = 0; w < team; ++w) forces[k] += workers_[w].forces[k];
            }
        }
    }
    if (exhausted) return OUT_OF_MEMORY;
    for (int k = 0; k < 9; ++k) {
        virial[k] = 0;
        for (int w = 0; w < team_; ++w) virial[k] += workers_[w].virial[k];
    }
    // An atom whose coordinates are not finite is in no pair, but must not pass unseen.
    for (int64_t k = 0; k < 3 * n; ++k)
        if (!std::isfinite(positions[k])) energies[k / 3] = forces[k] = virial[k % 9] = NAN;
    if (record) give(*record);
    return DONE;
}

// Atoms and pairs of many frames that do not see each other, and the chunks of whole frames that threads take.
struct Chunk {
    int64_t atoms_begin, atoms_end, pairs_begin, pairs_end;

    bool operator==(const Chunk& other) const {
        return atoms_begin == other.atoms_begin && atoms_end == other.atoms_end && pairs_begin == other.pairs_begin &&
               pairs_end == other.pairs_end;
    }
};
struct Frames {
    const int64_t* numbers;
    const double *scales, *positions;
    const int64_t *first, *second;
    const double* translations;
    int64_t n_chunks;
    const Chunk* chunks;
};

// Threads take chunks as they come free, each as if it were alone. What a frame gives does not depend on the others.
template <class Real>
class FrameEvaluation {
  public:
    explicit FrameEvaluation(const Weights<Real>& weights) : weights_(weights) {}

    // Returns a Status. The first n_records chunks are recorded.
    int evaluate(const Frames& frames, int threads, double* energies, double* forces, double* virial,
                 Record<Real>* records = nullptr, int64_t n_records = 0) {
        std::vector<double> virials(9 * frames.n_chunks);
        int worst = DONE;
        reserve(threads);
#pragma omp parallel for num_threads(threads) schedule(dynamic)
        for (int64_t c = 0; c < frames.n_chunks; ++c) {
            const int64_t atom = frames.chunks[c].atoms_begin;
            const int status = evaluate_chunk(frames, frames.chunks[c], energies + atom, forces + 3 * atom,
                                              virials.data() + 9 * c, c < n_records ? records + c : nullptr);
            if (status != DONE)
#pragma omp atomic write
                worst = status;
        }
        for (int k = 0; k < 9; ++k) {
            virial[k] = 0;
            for (int64_t c = 0; c < frames.n_chunks; ++c) virial[k] += virials[9 * c + k];
        }
        return worst;
    }

    // For that many threads, each of which may call evaluate_chunk then; its results start with the chunk's atoms.
    void reserve(int threads) {
        while (int(evaluations_.size()) < threads) evaluations_.push_back(std::make_unique<Evaluation<Real>>(weights_));
    }
    int evaluate_chunk(const Frames& frames, const Chunk& chunk, double* energies, double* forces, double* virial,
                       Record<Real>* record) {
#ifdef _OPENMP
        Evaluation<Real>& mine = *evaluations_[omp_get_thread_num()];
#else
        Evaluation<Real>& mine = *evaluations_[0];
#endif
        const int64_t atom = chunk.atoms_begin, pair = chunk.pairs_begin;
        return mine.evaluate(chunk.atoms_end - atom, frames.numbers + atom, frames.scales + atom,
                             frames.positions + 3 * atom, chunk.pairs_end - pair, frames.first + pair,
                             frames.second + pair, frames.translations ? frames.translations + 3 * pair : nullptr, 1,
                             energies, forces, virial, atom, record);
    }

  private:
    const Weights<Real>& weights_;
    std::vector<std::unique_ptr<Evaluation<Real>>> evaluations_;
};

}  // namespace
