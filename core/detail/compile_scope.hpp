// What compile() was asked for, where kernels are planned: they know their types and attributes
// only, and programs that kernels compile for functions they call are to be made the same way.
// Private. Each thread has its own.
#pragma once

#include <dualtape/core/pass.hpp>

namespace dualtape::detail {

// Of the compile() that this thread is in, those of the ones around it included; else the defaults.
// `threads` is how many the program runs on, 0 outside of compile(); `without` means nothing here.
const CompileOptions& compile_scope();

// Sets it for as long as the object lives, on this thread. What `options` does not ask for stays as
// it was.
class CompileScope {
 public:
  explicit CompileScope(const CompileOptions& options);
  ~CompileScope();
  CompileScope(const CompileScope&) = delete;
  CompileScope& operator=(const CompileScope&) = delete;

 private:
  CompileOptions options_;
  const CompileOptions* around_;
};

// ValueError if kernels cannot be had here as `options` ask for, at whatever sizes; defined in
// ops/detail/products.cpp.
void require_possible(const CompileOptions& options, Location where);
// Gives products the attribute "kept_parameter" or "kept_constant" where their right operand is one
// that stays the same from run to run; defined in ops/rewrites_products.cpp.
void mark_kept_weights(Plan& plan);

}  // namespace dualtape::detail
