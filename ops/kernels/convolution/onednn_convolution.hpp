// Convolutions of oneDNN, which this library may have been built with or without.
// Private. Safe from any thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include <dualtape/ops/kernels/convolution/convolve.hpp>

namespace dualtape::detail {

// How oneDNN is to compute a convolution. Winograd's way takes fewer multiplications and rounds
// more: some 1e-5 of the largest element.
enum class ConvAlgorithm : std::uint8_t { direct, winograd };

// A float32 convolution that oneDNN has made its code for beforehand, for one thread, with the
// copies from and to its own layouts where those differ.
class PreparedConvolution {
 public:
  virtual ~PreparedConvolution() = default;
  virtual std::size_t scratch_bytes() const = 0;
  virtual std::string note() const = 0;  // "winograd, 1 copy"
  // The operands and the output of the pass; `scratch` is aligned to 64 bytes and nobody else's
  // meanwhile. False if oneDNN refused. oneDNN allocates small records for each call.
  virtual bool run(const float* a, const float* b, float* out, void* scratch) const = 0;
};

bool has_onednn_convolution();
// Null without oneDNN 2 or where it has no such code.
std::shared_ptr<const PreparedConvolution> prepare_onednn_convolution(ConvPass pass,
                                                                      const ConvShape& shape,
                                                                      ConvLayout layout,
                                                                      ConvAlgorithm algorithm);

}  // namespace dualtape::detail
