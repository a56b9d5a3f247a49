// Vectors, memory and matrix products: what evaluation.hpp and training.hpp compute with.
//
// Rows of features have a stride of `width`, a multiple of a panel; the padding is zero in, zero out.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <new>
#include <vector>

namespace {

#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64, BLOCK_ROWS = 12;  // 24 of 32 registers accumulate
#elif defined(__AVX__)
constexpr int VECTOR_BYTES = 32, BLOCK_ROWS = 6;  // 12 of 16
#elif defined(__aarch64__)
constexpr int VECTOR_BYTES = 16, BLOCK_ROWS = 12;
#else
constexpr int VECTOR_BYTES = 16, BLOCK_ROWS = 6;
#endif
constexpr int TILE = 96;  // rows of a tile: some 48 kB for 128 features in float32
constexpr double PI = 3.14159265358979323846;

enum Status { DONE = 0, OUT_OF_MEMORY = 1, UNKNOWN_ELEMENT = 2 };

#define INLINE inline __attribute__((always_inline))

// ---------------------------------------------------------------- vectors

template <class Real>
struct Simd;
template <>
struct Simd<float> {
    typedef float V __attribute__((vector_size(VECTOR_BYTES), may_alias));
    typedef int32_t I __attribute__((vector_size(VECTOR_BYTES), may_alias));
    static constexpr float ROUND = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer in the low bits
    static constexpr int MANTISSA = 23, DEGREE = 7;
    static constexpr float LIMIT = 87.0f, LN2_HIGH = 0.693145751953125f, LN2_LOW = 1.42860682030941723e-6f;
};
template <>
struct Simd<double> {
    typedef double V __attribute__((vector_size(VECTOR_BYTES), may_alias));
    typedef int64_t I __attribute__((vector_size(VECTOR_BYTES), may_alias));
    static constexpr double ROUND = 6755399441055744.0;
    static constexpr int MANTISSA = 52, DEGREE = 13;
    static constexpr double LIMIT = 700.0, LN2_HIGH = 0.693147180369123816490, LN2_LOW = 1.90821492927058770002e-10;
};
template <class Real>
using Vector = typename Simd<Real>::V;
template <class Real>
constexpr int LANES = VECTOR_BYTES / int(sizeof(Real));
template <class Real>
constexpr int PANEL = 2 * LANES<Real>;  // columns of a block of a matrix product
template <class Real>
constexpr int ROUND_TO = PANEL<Real> > 8 ? PANEL<Real> : 8;  // widths are multiples of this
template <class Real>
int padded(int features) {
    return (features + ROUND_TO<Real> - 1) / ROUND_TO<Real> * ROUND_TO<Real>;
}

template <class Real>
INLINE const Vector<Real>& load(const Real* p) {
    return *reinterpret_cast<const Vector<Real>*>(p);
}
template <class Real>
INLINE Vector<Real>& at(Real* p) {
    return *reinterpret_cast<Vector<Real>*>(p);
}

// exp(x) = 2^n exp(r), |r| <= ln(2)/2, by the Taylor series of exp(r): below one rounding of the type.
template <class Real>
INLINE Vector<Real> exponential(Vector<Real> x) {
    using S = Simd<Real>;
    typedef Vector<Real> V;
    typedef typename S::I I;
    const V limit = V{} + S::LIMIT;
    x = x > limit ? limit : x;
    x = x < -limit ? -limit : x;
    const V shifted = x * Real(1.4426950408889634074) + S::ROUND;
    const V n = shifted - S::ROUND;
    const V r = (x - n * S::LN2_HIGH) - n * S::LN2_LOW;
    Real factorial[S::DEGREE + 1] = {1};
    for (int k = 1; k <= S::DEGREE; ++k) factorial[k] = factorial[k - 1] * k;
    V sum = V{} + 1 / factorial[S::DEGREE];
    for (int k = S::DEGREE - 1; k >= 0; --k) sum = sum * r + 1 / factorial[k];
    return (V)((I)sum + ((I)shifted << S::MANTISSA));  // these casts keep the bits
}

// silu(x) and its derivative; in place of x too.
template <class Real>
void silu(const Real* x, Real* values, Real* slopes, int64_t n) {
    for (int64_t k = 0; k < n; k += LANES<Real>) {
        const Vector<Real> value = load(x + k), s = 1 / (1 + exponential<Real>(-value)), y = value * s;
        at(values + k) = y;
        at(slopes + k) = s + y * (1 - s);
    }
}

// The tangent of y = silu(x).
template <class Real>
void silu_tangent(const Real* x, const Real* x_dot, Real* y_dot, int64_t n) {
    for (int64_t k = 0; k < n; k += LANES<Real>) {
        const Vector<Real> value = load(x + k), s = 1 / (1 + exponential<Real>(-value));
        at(y_dot + k) = (s + value * s * (1 - s)) * load(x_dot + k);
    }
}

// Of y = silu(x) and its tangent: gradients with respect to x (in place of that with respect to y) and to x_dot (from
// y_bar_dot, that with respect to y_dot). y and y_dot are written too.
template <class Real>
void silu_tangent_backward(const Real* x, const Real* x_dot, const Real* y_bar_dot, Real* y, Real* y_dot, Real* bar,
                           Real* bar_dot, int64_t n) {
    for (int64_t k = 0; k < n; k += LANES<Real>) {
        const Vector<Real> value = load(x + k), tangent = load(x_dot + k), b_dot = load(y_bar_dot + k);
        const Vector<Real> s = 1 / (1 + exponential<Real>(-value)), silu = value * s, rest = 1 - s;
        const Vector<Real> slope = s + silu * rest;
        const Vector<Real> curvature = s * rest * (2 + value * (rest - s));
        at(y + k) = silu;
        at(y_dot + k) = slope * tangent;
        at(bar + k) = slope * load(bar + k) + curvature * tangent * b_dot;
        at(bar_dot + k) = slope * b_dot;
    }
}

template <class Real>
INLINE Real sum(Vector<Real> v) {
    Real total = 0;
    for (int k = 0; k < LANES<Real>; ++k) total += v[k];
    return total;
}

// ---------------------------------------------------------------- memory

// An array on a cache line, zero at first, that grows and never shrinks: a simulation asks for the same again.
template <class T>
class Array {
  public:
    T* reserve(int64_t n) {
        if (n > size_) {
            const size_t bytes = (size_t(n + n / 8) * sizeof(T) + 63) / 64 * 64;
            memory_.reset(static_cast<T*>(std::aligned_alloc(64, bytes)));
            if (!memory_) {
                size_ = 0;
                throw std::bad_alloc();
            }
            size_ = n + n / 8;
            std::memset(static_cast<void*>(memory_.get()), 0, bytes);
        }
        return memory_.get();
    }
    T* operator+(int64_t k) const { return memory_.get() + k; }
    T& operator[](int64_t k) const { return memory_.get()[k]; }
    void zero(int64_t n) { std::fill_n(memory_.get(), n, T(0)); }

  private:
    struct Free {
        void operator()(T* p) const { std::free(p); }
    };
    std::unique_ptr<T, Free> memory_;
    int64_t size_ = 0;
};

// ---------------------------------------------------------------- matrix products

// A (inputs, outputs) matrix in panels of columns: [panel][input][column of the panel].
template <class Real>
struct Matrix {
    Array<Real> packed;
    int inputs = 0, panels = 0;

    void reserve(int rows, int columns) {
        inputs = rows;
        panels = padded<Real>(columns) / PANEL<Real>;
        packed.reserve(int64_t(panels) * rows * PANEL<Real>);
    }

    // A (rows, columns) matrix whose rows are so far apart.
    void pack(const Real* matrix, int rows, int columns, int64_t stride) {
        constexpr int P = PANEL<Real>;
        for (int p = 0; p < panels; ++p) {
            const size_t bytes = size_t(std::max(0, std::min(P, columns - p * P))) * sizeof(Real);
            for (int r = 0; r < rows; ++r)
                std::memcpy(packed + (int64_t(p) * rows + r) * P, matrix + r * stride + p * P, bytes);
        }
    }

    // The transpose of such a (columns, rows) matrix, as a weight of PyTorch's Linear is.
    void pack_transpose(const Real* matrix, int columns, int rows, int64_t stride) {
        constexpr int P = PANEL<Real>;
        for (int p = 0; p < panels; ++p) {
            const int count = std::max(0, std::min(P, columns - p * P));
            Real* const panel = packed + int64_t(p) * rows * P;
            for (int r = 0; r < rows; ++r)
                for (int c = 0; c < count; ++c) panel[int64_t(r) * P + c] = matrix[(p * P + c) * stride + r];
        }
    }
};

template <class Real, int ROWS, bool ADD>
INLINE void block(const Real* x, int64_t x_stride, const Real* panel, int inputs, const Real* bias, Real* y,
                  int64_t stride) {
    typedef Vector<Real> V;
    constexpr int L = LANES<Real>;
    V sums[ROWS][2];
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r) {
        sums[r][0] = ADD ? load(y + r * stride) : bias ? load(bias) : V{};
        sums[r][1] = ADD ? load(y + r * stride + L) : bias ? load(bias + L) : V{};
    }
    for (int k = 0; k < inputs; ++k) {
        const V left = load(panel + k * 2 * L), right = load(panel + k * 2 * L + L);
#pragma GCC unroll 16
        for (int r = 0; r < ROWS; ++r) {
            const Real value = x[r * x_stride + k];
            sums[r][0] += value * left;
            sums[r][1] += value * right;
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r) {
        at(y + r * stride) = sums[r][0];
        at(y + r * stride + L) = sums[r][1];
    }
}

template <class Real, int ROWS, bool ADD>
void last_block(int rows, const Real* x, int64_t x_stride, const Real* panel, int inputs, const Real* bias, Real* y,
                int64_t stride) {
    if (rows == ROWS) block<Real, ROWS, ADD>(x, x_stride, panel, inputs, bias, y, stride);
    else if constexpr (ROWS > 1) last_block<Real, ROWS - 1, ADD>(rows, x, x_stride, panel, inputs, bias, y, stride);
}

// y = x A + bias, or y += x A. x: (rows, A.inputs), y: (rows, columns of A).
template <class Real, bool ADD = false>
void product(int64_t rows, const Real* x, int64_t x_stride, const Matrix<Real>& a, Real* y, int64_t stride,
             const Real* bias = nullptr) {
    constexpr int P = PANEL<Real>;
    for (int p = 0; p < a.panels; ++p) {
        const Real* panel = a.packed + int64_t(p) * a.inputs * P;
        const Real* b = bias ? bias + p * P : nullptr;
        int64_t r = 0;
        for (; r + BLOCK_ROWS <= rows; r += BLOCK_ROWS)
            block<Real, BLOCK_ROWS, ADD>(x + r * x_stride, x_stride, panel, a.inputs, b, y + r * stride + p * P,
                                         stride);
        if (r < rows)
            last_block<Real, BLOCK_ROWS - 1, ADD>(int(rows - r), x + r * x_stride, x_stride, panel, a.inputs, b,
                                                  y + r * stride + p * P, stride);
    }
}

template <class Real>
struct Factors {
    const Real *left, *right;
};

// y += the sum of left^T right: (left_width, right_width) from (rows, left_width) and (rows, right_width).
template <class Real>
void add_outer(int64_t rows, std::initializer_list<Factors<Real>> factors, int64_t left_width, int64_t right_width,
               Real* y) {
    typedef Vector<Real> V;
    constexpr int L = LANES<Real>, ROWS = BLOCK_ROWS >= 12 ? 8 : 4;
    for (int64_t i = 0; i < right_width; i += 2 * L)
        for (int64_t o = 0; o < left_width; o += ROWS) {
            V sums[ROWS][2] = {};
            for (const auto& factor : factors) {
                const Real *l = factor.left + o, *r = factor.right + i;
                for (int64_t k = 0; k < rows; ++k, l += left_width, r += right_width) {
                    const V a = load(r), b = load(r + L);
#pragma GCC unroll 8
                    for (int m = 0; m < ROWS; ++m) {
                        sums[m][0] += l[m] * a;
                        sums[m][1] += l[m] * b;
                    }
                }
            }
            Real* out = y + o * right_width + i;
#pragma GCC unroll 8
            for (int m = 0; m < ROWS; ++m) {
                at(out + m * right_width) += sums[m][0];
                at(out + m * right_width + L) += sums[m][1];
            }
        }
}

}  // namespace
