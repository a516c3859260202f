// What readers of files say where memory runs out. Any thread.
#pragma once

#include <filesystem>
#include <new>
#include <string_view>

#include <dualtape/core/error.hpp>

namespace dualtape::detail {

// `why` is the text of a Tensor's own error, or empty.
[[noreturn]] void refuse_memory_for(std::string_view op, const std::filesystem::path& path,
                                    std::string_view why, Location where);

// What `read` makes of the file. Where there is no memory for it, the MemoryError names the
// function, the file and the user's line.
template <class Read>
auto memory_for(std::string_view op, const std::filesystem::path& path, Location where,
                const Read& read) {
  try {
    return read();
  } catch (const MemoryError& error) {
    refuse_memory_for(op, path, error.what(), where);
  } catch (const std::bad_alloc&) {
    refuse_memory_for(op, path, "", where);
  }
}

}  // namespace dualtape::detail
