// The weights of NewtonNet (names as in ffpt_core/newtonnet.py), packed for products, and its radial functions.
#pragma once

#include "simd.hpp"

namespace {

template <class Real>
struct Linear {
    Matrix<Real> forward, backward;
    Array<Real> bias;
    bool has_bias = false;

    void reserve(int outputs, int inputs, int width) {
        forward.reserve(inputs, outputs);
        backward.reserve(outputs, inputs);
        bias.reserve(width);
    }
    // Of what reserve() has made room for. weight: (outputs, inputs), with rows so far apart.
    void pack(const Real* weight, const Real* b, int outputs, int inputs, int64_t stride) {
        forward.pack_transpose(weight, outputs, inputs, stride);
        backward.pack(weight, outputs, inputs, stride);
        has_bias = b != nullptr;
        if (has_bias) std::memcpy(bias + 0, b, size_t(outputs) * sizeof(Real));
    }
    const Real* b() const { return has_bias ? bias + 0 : nullptr; }
};

template <class Real>
struct Layer {
    Linear<Real> node_in, node_out, radial, direction_in, direction_out, transport_in, transport_out, update;
};

// What the elements of a pair decide on in the first layer: its message is c * (We b), with c = phi_i phi_j and b the
// radial functions, and so W3 times it is (W3 diag(c) We) b, a product of a fifth of the size.
template <class Real>
struct Kind {
    int first, second;  // atomic numbers
    Array<Real> phis;   // c, (width)
    Linear<Real> direction;
};

template <class Real>
struct Weights {
    int features, basis, width, basis_width;
    double cutoff;
    int n_species, n_elements = 0;
    std::vector<int> element;           // by atomic number: which of the elements it is, or -1
    std::vector<Kind<Real>> kinds;      // of pairs
    std::vector<int> kind_of;           // by two elements
    Array<Real> first_direction_in;     // W3 of the first layer, (width, width)
    Array<Real> first_radial;           // We of the first layer, (width, basis_width)
    std::vector<double> detuning;      // frequencies of the radial functions, less the multiples of pi that they round
    Array<Real> embedding, first_phi;  // (species, width)
    std::vector<Layer<Real>> layers;
    Linear<Real> readout_in, readout_hidden;
    Array<Real> readout_out;
    Real readout_bias;

    Weights(int n_features, int n_basis, int n_layers, int species, double r_cut, const double* frequencies,
            int n_elements_, const int64_t* elements)
        : features(n_features), basis(n_basis), cutoff(r_cut), n_species(species), n_elements(n_elements_),
          element(species, -1), kind_of(n_elements * n_elements), layers(n_layers) {
        width = padded<Real>(features);
        basis_width = padded<Real>(basis);
        for (int k = 0; k < basis; ++k) detuning.push_back(frequencies[k] - PI * (k + 1));
        for (int a = 0; a < n_elements; ++a) {
            element[elements[a]] = a;
            for (int b = 0; b <= a; ++b) {
                kind_of[a * n_elements + b] = kind_of[b * n_elements + a] = int(kinds.size());
                kinds.push_back({int(elements[a]), int(elements[b]), {}, {}});
            }
        }
    }

    // Whether there is a kind for every pair of these.
    bool knows(int64_t n, const int64_t* numbers) const {
        return std::all_of(numbers, numbers + n,
                           [&](int64_t z) { return z >= 0 && z < n_species && element[z] >= 0; });
    }
    int kind(int64_t first, int64_t second) const { return kind_of[element[first] * n_elements + element[second]]; }

    // Take weights in the order of network.py. Throws std::bad_alloc.
    void load(const Real* const* w, int threads) {
        const int F = features;
        embedding.reserve(int64_t(n_species) * width);
        for (int s = 0; s < n_species; ++s)
            std::memcpy(embedding + int64_t(s) * width, w[0] + int64_t(s) * F, size_t(F) * sizeof(Real));
        ++w;
        const Real* const* const first_layer = w;
        struct Packing {
            Linear<Real>* linear;
            const Real *weight, *bias;
            int inputs;
        };
        std::vector<Packing> packings;
        for (auto& layer : layers) {
            packings.insert(packings.end(), {{&layer.node_in, w[0], w[1], F},
                                             {&layer.node_out, w[2], w[3], F},
                                             {&layer.radial, w[4], nullptr, basis},
                                             {&layer.direction_in, w[5], nullptr, F},
                                             {&layer.direction_out, w[6], nullptr, F},
                                             {&layer.transport_in, w[7], nullptr, F},
                                             {&layer.transport_out, w[8], nullptr, F},
                                             {&layer.update, w[9], nullptr, F}});
            w += 10;
        }
        packings.insert(packings.end(), {{&readout_in, w[0], w[1], F}, {&readout_hidden, w[2], w[3], F}});
        for (const auto& packing : packings) packing.linear->reserve(F, packing.inputs, width);
        const int count = int(packings.size());
#pragma omp parallel for num_threads(threads)
        for (int k = 0; k < count; ++k)
            packings[k].linear->pack(packings[k].weight, packings[k].bias, F, packings[k].inputs, packings[k].inputs);
        readout_out.reserve(width);
        std::memcpy(readout_out + 0, w[4], size_t(F) * sizeof(Real));
        readout_bias = w[5][0];
        // phi of the first layer, of the elements
        Array<Real> hidden, slope;
        hidden.reserve(width), slope.reserve(width);
        first_phi.reserve(int64_t(n_species) * width);
        const auto& layer = layers[0];
        for (int64_t s = 0; s < n_species; ++s) {
            if (element[s] < 0) continue;
            product(1, embedding + s * width, width, layer.node_in.forward, hidden + 0, width, layer.node_in.b());
            silu(hidden + 0, hidden + 0, slope + 0, width);
            product(1, hidden + 0, width, layer.node_out.forward, first_phi + s * width, width, layer.node_out.b());
        }
        load_kinds(first_layer[5], first_layer[4], threads);
    }

    // From W3 and We of the first layer.
    void load_kinds(const Real* direction_in, const Real* radial, int threads) {
        const int F = features, W = width, N = basis_width;
        first_direction_in.reserve(int64_t(W) * W), first_radial.reserve(int64_t(W) * N);
        for (int o = 0; o < F; ++o) {
            std::memcpy(first_direction_in + int64_t(o) * W, direction_in + int64_t(o) * F, size_t(F) * sizeof(Real));
            std::memcpy(first_radial + int64_t(o) * N, radial + int64_t(o) * basis, size_t(basis) * sizeof(Real));
        }
        const int count = int(kinds.size());
        std::vector<Array<Real>> scaled(count), folded(count);
        for (int s = 0; s < count; ++s) {
            kinds[s].phis.reserve(W), kinds[s].direction.reserve(F, basis, W);
            scaled[s].reserve(int64_t(F) * W), folded[s].reserve(int64_t(F) * N);
        }
#pragma omp parallel for num_threads(threads)
        for (int s = 0; s < count; ++s) {
            Kind<Real>& kind = kinds[s];
            const Real *phi_i = first_phi + int64_t(kind.first) * W, *phi_j = first_phi + int64_t(kind.second) * W;
            for (int k = 0; k < W; ++k) kind.phis[k] = phi_i[k] * phi_j[k];
            for (int o = 0; o < F; ++o)
                for (int k = 0; k < W; ++k)
                    scaled[s][int64_t(o) * W + k] = first_direction_in[int64_t(o) * W + k] * kind.phis[k];
            product(F, scaled[s] + 0, W, layers[0].radial.backward, folded[s] + 0, N);
            kind.direction.pack(folded[s] + 0, nullptr, F, basis, N);
        }
    }

    void radial_functions(int rows, const double* distances, Real* values, Real* slopes) const;
};

// Bessel functions under the polynomial envelope (newtonnet.RadialBasis) and their slopes, (rows, basis_width), of at
// most TILE distances below the cutoff: by recurrences, in float64. Frequencies that were rounded to float32 once are
// 1e-6 off the multiples of pi: the second order of that is enough.
template <class Real>
void Weights<Real>::radial_functions(int rows, const double* distances, Real* values, Real* slopes) const {
    double sine[2][TILE], cosine[2][TILE], twice[TILE], x[TILE], over[TILE], envelope[TILE], envelope_slope[TILE];
    for (int r = 0; r < rows; ++r) {
        const double y = distances[r] / cutoff, y2 = y * y, y4 = y2 * y2, y8 = y4 * y4;
        envelope[r] = 1 + y8 * y * (-55 + y * (99 - 45 * y));
        envelope_slope[r] = y8 * (-495 + y * (990 - 495 * y));
        x[r] = y, over[r] = 1 / y;
        sine[0][r] = 0, cosine[0][r] = 1;
        sine[1][r] = std::sin(PI * y), cosine[1][r] = std::cos(PI * y);
        twice[r] = 2 * cosine[1][r];
    }
    for (int k = 0; k < basis; ++k) {
        const double off = detuning[k], frequency = PI * (k + 1) + off;
        double *s0 = sine[k & 1], *s1 = sine[1 - (k & 1)], *c0 = cosine[k & 1], *c1 = cosine[1 - (k & 1)];
        for (int r = 0; r < rows; ++r) {
            const double turn = off * x[r], half = 1 - 0.5 * turn * turn;
            const double wave = (half * s1[r] + turn * c1[r]) * over[r];
            const double wave_slope = (frequency * (half * c1[r] - turn * s1[r]) - wave) * over[r];
            values[r * basis_width + k] = Real(envelope[r] * wave);
            slopes[r * basis_width + k] = Real((envelope_slope[r] * wave + envelope[r] * wave_slope) / cutoff);
            s0[r] = twice[r] * s1[r] - s0[r];  // sin((k + 2) t) = 2 cos(t) sin((k + 1) t) - sin(k t)
            c0[r] = twice[r] * c1[r] - c0[r];
        }
    }
}

}  // namespace
