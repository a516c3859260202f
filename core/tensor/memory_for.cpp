#include <dualtape/core/tensor/memory_for.hpp>

#include <string>

namespace dualtape::detail {

void refuse_memory_for(std::string_view op, const std::filesystem::path& path, std::string_view why,
                       Location where) {
  std::string_view what = why.substr(0, why.find('\n'));
  if (const auto at = what.find("there is no memory"); at != std::string_view::npos)
    what.remove_prefix(at);
  else
    what = "there is no memory for what it holds";
  fail<MemoryError>({.op = op,
                     .what = path.string() + ": " + std::string(what),
                     .where = where,
                     .help = "free what is no longer used, or read a smaller file"});
}

}  // namespace dualtape::detail
