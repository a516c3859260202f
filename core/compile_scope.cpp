#include <dualtape/core/detail/compile_scope.hpp>
#include <dualtape/core/kept.hpp>

namespace dualtape::detail {
namespace {

thread_local const CompileOptions* current = nullptr;

}  // namespace

const CompileOptions& compile_scope() {
  static const Kept<CompileOptions> defaults;
  return current == nullptr ? defaults.value : *current;
}

CompileScope::CompileScope(const CompileOptions& options)
    : options_(compile_scope()), around_(current) {
  if (options.precision != Precision::full) options_.precision = options.precision;
  if (options.threads != 0) options_.threads = options.threads;
  options_.tune = options_.tune || options.tune;
  if (!options.tune_file.empty()) options_.tune_file = options.tune_file;
  options_.keep_weights = options_.keep_weights || options.keep_weights;
  current = &options_;
}

CompileScope::~CompileScope() { current = around_; }

}  // namespace dualtape::detail
