// NumPy's .npz archives: zip files of .npy members, stored or deflated. By libzip, where the
// library was built with it; elsewhere these functions throw a DataError that says so. Any thread
// may call.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <dualtape/core/named_tensor.hpp>
#include <dualtape/core/read_limits.hpp>

namespace dualtape {

// All arrays in the archive's order, named as in NumPy: without the members' ".npy". The dtypes are
// those of load_npy. DataError, naming file, member and offset, for what is no archive, broken,
// cut, encrypted, packed by another method than deflate, or holds members that are no .npy or have
// one name. Nothing is allocated for bytes that only a header claims, nor beyond the limits, which
// are those of all that is read.
std::vector<NamedTensor> load_npz(const std::filesystem::path& path, const ReadLimits& limits = {},
                                  Location here = Location::current());
// One of them; the others are not read. DataError, which lists the names, where there is none.
Tensor load_npz(const std::filesystem::path& path, std::string_view name,
                const ReadLimits& limits = {}, Location here = Location::current());

enum class Compression : std::uint8_t { none, deflate };

// As np.savez with Compression::none and np.savez_compressed with deflate, whole or not at all as
// save_safetensors() writes; the archive is made in memory. The bytes depend on the tensors alone,
// not on the time. DataError without tensors, for names that are empty or there twice, and for what
// cannot be written.
void save_npz(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
              Compression compression = Compression::none, Location here = Location::current());

}  // namespace dualtape
