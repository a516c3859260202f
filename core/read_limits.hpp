// How much memory a reader may make of a file. Plain values.
#pragma once

#include <cstdint>
#include <limits>

#include <dualtape/core/needs_cxx20.hpp>

namespace dualtape {

// A packed file may unpack to a thousand times its size, so readers of such files stop at a bound
// and throw DataError; a file that is trusted is read with another:
//   load_idx(path, {.growth = 1100});
struct ReadLimits {
  // All that is made of one file: this many times its own size, or this many bytes if that is more.
  std::uint64_t growth = 64;
  std::uint64_t always = std::uint64_t{64} << 20U;

  static constexpr ReadLimits none() { return {std::numeric_limits<std::uint64_t>::max()}; }

  constexpr std::uint64_t bytes_for(std::uint64_t size_of_file) const {
    const std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
    const std::uint64_t grown =
        size_of_file > 0 && growth > most / size_of_file ? most : growth * size_of_file;
    return grown < always ? always : grown;
  }
};

}  // namespace dualtape
