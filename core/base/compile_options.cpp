#include <dualtape/core/compile_options.hpp>

#include <dualtape/core/kept.hpp>

namespace dualtape {

CompileOptions of_functions(const CompileOptions& options) {
  CompileOptions same = options;
  same.without.clear();
  same.reassociate = false;
  return same;
}

const CompileOptions& no_compile_options() {
  static const detail::Kept<CompileOptions> nothing;
  return nothing.value;
}

}  // namespace dualtape
