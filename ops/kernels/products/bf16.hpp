// bf16: the upper half of a float32, 8 significant bits and the same range.
// Private. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dualtape::detail {

// Whether this processor converts and multiplies such numbers (AVX-512 BF16).
bool has_bf16_instructions();

// to[i] = scale from[i], rounded to the nearest bf16, the even one of two; NaNs stay NaNs, denormal
// numbers become 0. For processors with these instructions only. 64-byte alignment is not needed.
void to_bf16(const float* from, float scale, std::uint16_t* to, std::size_t n);

}  // namespace dualtape::detail
