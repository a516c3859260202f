// Loops written by hand on SIMD registers, for the processor the benchmark is built for: what the
// kernels of the library are measured against. Any thread; memory aligned to 64 bytes is fastest.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dualtape::bench::loops {

// Rows of `columns` floats.
void softmax(const float* x, float* y, std::size_t rows, std::size_t columns);
// Mean of -log softmax at the labels.
float cross_entropy(const float* x, const std::int64_t* labels, std::size_t rows,
                    std::size_t columns);
// The same, and its derivative by x in dx, which may be x.
float cross_entropy_gradient(const float* x, const std::int64_t* labels, float* dx,
                             std::size_t rows, std::size_t columns);
// The same, and its derivative along dx.
float cross_entropy_slope(const float* x, const float* dx, const std::int64_t* labels,
                          std::size_t rows, std::size_t columns, double& slope);
// (x - mean) / sqrt(variance + 1e-5) gain + bias, by row.
void layer_norm(const float* x, const float* gain, const float* bias, float* y, std::size_t rows,
                std::size_t columns);
// The ten operators of the elementwise chain in one sweep, written past the cache.
void chain10(const float* x, float* y, std::size_t count);
float sum(const float* x, std::size_t count);

void sigmoid(float* x, std::size_t count);                  // in place
void sigmoid_dual(float* x, float* dx, std::size_t count);  // value and tangent, in place

}  // namespace dualtape::bench::loops
