// What computes a node of a plan: the kernel an operator gives for types and attributes, what it is
// called with, and what it costs. Kernels are planned by one thread and may be called from any.
#pragma once

#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <dualtape/core/compile_options.hpp>
#include <dualtape/core/shape.hpp>

namespace dualtape {

class Attributes;
namespace detail {
class Body;
class Team;
}  // namespace detail

// A kernel runs one node on memory placed by the program: contiguous, 64-byte aligned, right-sized.
// It must not allocate; scratch memory comes as `workspace`. A kernel that finds bad values throws
// ValueError with a bare sentence; the program adds operator, label and line.
struct KernelArgs {
  const void* const* in;
  void* const* out;
  void* workspace;
  const detail::Team* team = nullptr;  // null where the program runs on one thread

  template <class T>
  const T* input(std::size_t i) const {
    return static_cast<const T*>(in[i]);
  }
  template <class T>
  T* output(std::size_t i = 0) const {
    return static_cast<T*>(out[i]);
  }
};
// A callable that is called through a plain function pointer, which costs a run less than a
// std::function does. Copies share the callable.
class KernelFunction {
 public:
  using Call = void (*)(void* callable, const KernelArgs& args);

  KernelFunction() = default;
  // The constraint leaves copies and moves alone, which clang-tidy does not follow.
  // NOLINTBEGIN(bugprone-forwarding-reference-overload)
  template <class F>
  requires(!std::same_as<std::decay_t<F>, KernelFunction> &&
           std::invocable<std::decay_t<F>&, const KernelArgs&>) KernelFunction(F&& f)
      : callable_(std::make_shared<std::decay_t<F>>(std::forward<F>(f))),
        call_([](void* callable, const KernelArgs& args) {
          (*static_cast<std::decay_t<F>*>(callable))(args);
        }) {}
  // NOLINTEND(bugprone-forwarding-reference-overload)

  void operator()(const KernelArgs& args) const { call_(callable_.get(), args); }
  Call call() const { return call_; }
  void* callable() const { return callable_.get(); }

 private:
  std::shared_ptr<void> callable_;
  Call call_ = nullptr;
};
struct Kernel {
  KernelFunction run;
  std::size_t workspace_bytes = 0;
  std::string note = {};  // what was chosen for these types, for explain(); "" if nothing was
  std::size_t thread_workspace_bytes = 0;  // scratch of each further thread of the team
  // The functions it runs, of which explain() and profile() tell the steps.
  std::vector<std::shared_ptr<detail::Body>> bodies = {};
};
struct KernelRequest {
  std::span<const Type> in;
  std::span<const Type> out;
  const Attributes& attributes;
  // Of the program that the kernel is planned for, with the number of threads it runs on.
  const CompileOptions& options = no_compile_options();
};
// Writes elements first ... first + n - 1 of output 0, which has as many as it says in the request.
using Slice =
    std::function<void(const void* const* in, void* out, std::size_t first, std::size_t n)>;

// What one run of a node costs: floating point operations (a multiply-add is two), and bytes that
// must move, each operand and each output counted once.
struct Cost {
  double flops = 0;
  double bytes = 0;
  Cost& operator+=(const Cost& other) {
    flops += other.flops;
    bytes += other.bytes;
    return *this;
  }
};
Cost bytes_only(const KernelRequest& request);           // no arithmetic: moves, draws
Cost per_operand_element(const KernelRequest& request);  // one operation an element of operand 0

}  // namespace dualtape
