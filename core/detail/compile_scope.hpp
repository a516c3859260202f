// What compile() was asked for, where kernels are planned: they know their types and attributes
// only, and programs that kernels compile for functions they call are to be made the same way.
// Private. Each thread has its own.
#pragma once

#include <dualtape/core/pass.hpp>

namespace dualtape::detail {

// Of the compile() that this thread is in, those of the ones around it included; else the defaults.
// Only precision, tune, tune_file and keep_weights mean anything here.
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

}  // namespace dualtape::detail
