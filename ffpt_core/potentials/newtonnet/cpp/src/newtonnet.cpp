// What Python calls: NewtonNet in float32 and float64. Lengths in Angstrom, energies in eV.

#include <mutex>
#include <utility>

#include "evaluation.hpp"
#include "training.hpp"

namespace {

template <class Real>
struct Network {
    explicit Network(Weights<Real>&& w) : weights(std::move(w)) {}

    Weights<Real> weights;
    Evaluation<Real> evaluation{weights};
    Training<Real> training{weights};
    std::mutex busy;  // both keep arrays from call to call
};

template <class Real>
void* create(int features, int basis, int layers, int species, double cutoff, const double* frequencies, int n_elements,
             const int64_t* elements) {
    try {
        return new Network<Real>(
            Weights<Real>(features, basis, layers, species, cutoff, frequencies, n_elements, elements));
    } catch (const std::bad_alloc&) { return nullptr; }
}

template <class Real>
int load(void* network, const void* const* weights, int threads) {
    try {
        std::lock_guard<std::mutex> alone(static_cast<Network<Real>*>(network)->busy);
        static_cast<Network<Real>*>(network)->training.forget();
        static_cast<Network<Real>*>(network)->weights.load(reinterpret_cast<const Real* const*>(weights), threads);
        return DONE;
    } catch (const std::bad_alloc&) { return OUT_OF_MEMORY; }
}

}  // namespace

#define INTERFACE(NAME, REAL)                                                                                          \
    extern "C" void* NAME##_create(int features, int basis, int layers, int species, double cutoff,                    \
                                   const double* frequencies, int n_elements, const int64_t* elements) {               \
        return create<REAL>(features, basis, layers, species, cutoff, frequencies, n_elements, elements);              \
    }                                                                                                                  \
    extern "C" void NAME##_destroy(void* network) { delete static_cast<Network<REAL>*>(network); }                     \
    extern "C" int NAME##_load(void* network, const void* const* weights, int threads) {                               \
        return load<REAL>(network, weights, threads);                                                                  \
    }                                                                                                                  \
    extern "C" int NAME##_evaluate(void* network, int64_t atoms, const int64_t* numbers, const double* scales,         \
                                   const double* positions, int64_t pairs, const int64_t* first,                       \
                                   const int64_t* second, const double* translations, int threads, double* energies,   \
                                   double* forces, double* virial) {                                                   \
        std::lock_guard<std::mutex> alone(static_cast<Network<REAL>*>(network)->busy);                                 \
        return static_cast<Network<REAL>*>(network)->evaluation.evaluate(                                              \
            atoms, numbers, scales, positions, pairs, first, second, translations, threads, energies, forces, virial); \
    }                                                                                                                  \
    extern "C" int NAME##_evaluate_frames(void* network, const int64_t* numbers, const double* scales,                 \
                                          const double* positions, const int64_t* first, const int64_t* second,        \
                                          const double* translations, int64_t chunks, const int64_t* bounds,           \
                                          int64_t call, int64_t bytes, int threads, double* energies,                  \
                                          double* forces, double* virial) {                                            \
        std::lock_guard<std::mutex> alone(static_cast<Network<REAL>*>(network)->busy);                                 \
        return static_cast<Network<REAL>*>(network)->training.evaluate(                                                \
            {numbers, scales, positions, first, second, translations, chunks, reinterpret_cast<const Chunk*>(bounds)}, \
            call, bytes, threads, energies, forces, virial);                                                           \
    }                                                                                                                  \
    extern "C" int NAME##_gradient(void* network, const int64_t* numbers, const double* scales,                        \
                                   const double* positions, const int64_t* first, const int64_t* second,               \
                                   const double* translations, int64_t chunks, const int64_t* bounds, int64_t call,    \
                                   const double* value_weights, const double* velocities, int threads,                 \
                                   void* const* gradients) {                                                           \
        std::lock_guard<std::mutex> alone(static_cast<Network<REAL>*>(network)->busy);                                 \
        return static_cast<Network<REAL>*>(network)->training.gradient(                                                \
            {numbers, scales, positions, first, second, translations, chunks, reinterpret_cast<const Chunk*>(bounds)}, \
            call, value_weights, velocities, threads, reinterpret_cast<REAL* const*>(gradients));                      \
    }

INTERFACE(float32, float)
INTERFACE(float64, double)
