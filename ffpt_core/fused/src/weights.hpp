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
    // Of what reserve() has made room for.
    void pack(const Real* weight, const Real* b, int outputs, int inputs) {
        forward.pack_transpose(weight, outputs, inputs);
        backward.pack(weight, outputs, inputs);
        has_bias = b != nullptr;
        if (has_bias) std::memcpy(bias + 0, b, size_t(outputs) * sizeof(Real));
    }
    const Real* b() const { return has_bias ? bias + 0 : nullptr; }
};

template <class Real>
struct Layer {
    Linear<Real> node_in, node_out, radial, direction_in, direction_out, transport_in, transport_out, update;
};

template <class Real>
struct Weights {
    int features, basis, width, basis_width;
    double cutoff;
    int n_species;
    std::vector<double> detuning;      // frequencies of the radial functions, less the multiples of pi that they round
    Array<Real> embedding, first_phi;  // (species, width)
    std::vector<Layer<Real>> layers;
    Linear<Real> readout_in, readout_hidden;
    Array<Real> readout_out;
    Real readout_bias;

    Weights(int n_features, int n_basis, int n_layers, int species, double r_cut, const double* frequencies)
        : features(n_features), basis(n_basis), cutoff(r_cut), n_species(species), layers(n_layers) {
        width = padded<Real>(features);
        basis_width = padded<Real>(basis);
        for (int k = 0; k < basis; ++k) detuning.push_back(frequencies[k] - PI * (k + 1));
    }

    // Take weights in the order of network.py. Throws std::bad_alloc.
    void load(const Real* const* w, int threads) {
        const int F = features;
        embedding.reserve(int64_t(n_species) * width);
        for (int s = 0; s < n_species; ++s)
            std::memcpy(embedding + int64_t(s) * width, w[0] + int64_t(s) * F, size_t(F) * sizeof(Real));
        ++w;
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
            packings[k].linear->pack(packings[k].weight, packings[k].bias, F, packings[k].inputs);
        readout_out.reserve(width);
        std::memcpy(readout_out + 0, w[4], size_t(F) * sizeof(Real));
        readout_bias = w[5][0];
        // phi of the first layer, by species
        Array<Real> hidden, slope;
        hidden.reserve(int64_t(n_species) * width);
        slope.reserve(int64_t(n_species) * width);
        first_phi.reserve(int64_t(n_species) * width);
        const auto& layer = layers[0];
        product(n_species, embedding + 0, width, layer.node_in.forward, hidden + 0, width, layer.node_in.b());
        silu(hidden + 0, hidden + 0, slope + 0, int64_t(n_species) * width);
        product(n_species, hidden + 0, width, layer.node_out.forward, first_phi + 0, width, layer.node_out.b());
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
