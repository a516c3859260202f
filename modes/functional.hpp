// Derivatives of plain C++ functions of Vars, in one line each:
//
//   auto f = [](dt::Var x) { return dt::sum(dt::square(x)); };
//   auto [y, dy] = dt::jvp(f, x, v);            // f(x) and J v
//   auto [z, pullback] = dt::vjp(f, x);         // f(x) and c -> J^T c
//   dt::Tensor g = dt::grad(f)(x);              // gradient of a scalar function
//   auto [a, b] = dt::grad(h)(x, y);            // of a function h of two
//   auto step = dt::jit([](dt::Var x, dt::Var v) { return dt::forward(f(x), {x}, {v}); });
//   dt::Tensor dy = step(x, v);                 // compiled once for each shape
//
// Each call of eval, jvp, vjp and hvp builds a graph of its own, compiles and runs it: right for
// looking and for tests. Loops want a Graph and a Program, or what jit() and grad() return. f takes
// one Var, two or three Vars, or a std::span<const Var>.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <dualtape/core/callable.hpp>
#include <dualtape/core/composite.hpp>
#include <dualtape/core/program.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/reverse.hpp>

namespace dualtape {

struct JvpResult {
  Tensor value;
  Tensor tangent;  // zeros where the function does not depend on its inputs
};

// c -> J^T c at a fixed point; may be called many times.
class Pullback {
 public:
  // The cotangents of all inputs. ShapeError unless c has the type of the value.
  std::vector<Tensor> all(const Tensor& c, Location where = Location::current()) const;
  // The only input's.
  Tensor operator()(const Tensor& c, Location where = Location::current()) const {
    return all(c, where).at(0);
  }

 private:
  friend struct VjpResult;
  friend struct FunctionAtPoint;
  struct Impl;  // null in one that was made by default or moved from
  std::shared_ptr<Impl> impl_;
};
struct VjpResult {
  Tensor value;
  Pullback pullback;
};

// A function of Vars with its types erased.
using VarFunction = std::function<Var(std::span<const Var>)>;

namespace detail {

// What was called of a function of Vars, as errors name it, and the user's line.
struct Called {
  const char* function = "function of Vars";
  Location where = {};
};

// Throws ValueError unless as many arguments are given as the function takes.
void require_arguments(std::size_t taken, std::size_t given, Called called);
// The gradients of a function's value by its arguments: TypeError for one that has none, and
// DerivativeError for one that the value does not depend on.
std::vector<Var> by_arguments(Var value, std::span<const Var> x, Called called);

// Whether f takes n Vars, one by one or as a span.
template <class F, class... Vars>
inline constexpr bool takes_vars =
    std::is_invocable_v<const F&, Vars...> || std::is_invocable_v<const F&, std::span<const Var>>;

// f on as many Vars as there are. One that takes several numbers of them, as what jit(), vmap() and
// custom_jvp() return, is given them all.
template <class F>
auto call_with(const F& f, std::span<const Var> x, Called called) {
  constexpr bool takes_one = std::is_invocable_v<const F&, Var>;
  constexpr bool takes_two = std::is_invocable_v<const F&, Var, Var>;
  if constexpr (takes_one && std::is_invocable_v<const F&, std::span<const Var>>) {
    return f(x);
  } else if constexpr (takes_one && takes_two) {
    using Result = std::invoke_result_t<const F&, Var>;
    if constexpr (std::is_same_v<Result, std::invoke_result_t<const F&, Var, Var>>) {
      if (x.size() == 2) return call_at(f, called.where, x[0], x[1]);
      if constexpr (std::is_invocable_r_v<Result, const F&, Var, Var, Var>)
        if (x.size() == 3) return call_at(f, called.where, x[0], x[1], x[2]);
    }
    require_arguments(1, x.size(), called);
    return call_at(f, called.where, x[0]);
  } else if constexpr (takes_one) {
    require_arguments(1, x.size(), called);
    return call_at(f, called.where, x[0]);
  } else if constexpr (takes_two) {
    require_arguments(2, x.size(), called);
    return call_at(f, called.where, x[0], x[1]);
  } else if constexpr (std::is_invocable_v<const F&, Var, Var, Var>) {
    require_arguments(3, x.size(), called);
    return call_at(f, called.where, x[0], x[1], x[2]);
  } else {
    static_assert(std::is_invocable_v<const F&, std::span<const Var>>,
                  "dualtape: the function must take one to three Vars or a std::span<const Var>");
    return f(x);
  }
}

template <class F>
VarFunction erase(F f, Called called) {
  require_callable(!is_null(f), called.function, called.where);
  return [f, called](std::span<const Var> x) -> Var { return call_with(f, x, called); };
}

Tensor eval_at(const VarFunction& f, const std::vector<Tensor>& x, Location where);
JvpResult jvp_at(const VarFunction& f, const std::vector<Tensor>& x, const std::vector<Tensor>& v,
                 Location where);
VjpResult vjp_at(const VarFunction& f, const std::vector<Tensor>& x, Location where);
Tensor hvp_at(const VarFunction& f, const Tensor& x, const Tensor& v, Location where);

// The programs of one function, by the types of its arguments. Any thread: a program that is
// running is out of the others' reach, and a second one is compiled.
class FunctionCache {
 public:
  using Body = std::function<std::vector<Var>(std::span<const Var>)>;
  explicit FunctionCache(CompileOptions options = {}, Location where = {});
  ~FunctionCache();
  FunctionCache(const FunctionCache&) = delete;
  FunctionCache& operator=(const FunctionCache&) = delete;
  std::vector<Tensor> run(const Body& f, std::span<const Tensor> x);

 private:
  struct Compiled;
  std::unique_ptr<Compiled> take(std::span<const Tensor> x);
  CompileOptions options_;
  Location where_;  // of the user's call that made it
  std::mutex mutex_;
  std::vector<std::unique_ptr<Compiled>> idle_;  // the one used last at the end
};

}  // namespace detail

// The value of f at x.
template <class F>
requires(!std::convertible_to<F, Var>) Tensor
    eval(F f, const Tensor& x, Location where = Location::current()) {
  return detail::eval_at(detail::erase(std::move(f), {"eval", where}), {x}, where);
}
template <class F>
requires(!std::convertible_to<F, Var>) Tensor
    eval(F f, const std::vector<Tensor>& x, Location where = Location::current()) {
  return detail::eval_at(detail::erase(std::move(f), {"eval", where}), x, where);
}

// The value of f at x and its derivative along v (forward mode).
template <class F>
JvpResult jvp(F f, const Tensor& x, const Tensor& v, Location where = Location::current()) {
  return detail::jvp_at(detail::erase(std::move(f), {"jvp", where}), {x}, {v}, where);
}
template <class F>
JvpResult jvp(F f, const std::vector<Tensor>& x, const std::vector<Tensor>& v,
              Location where = Location::current()) {
  return detail::jvp_at(detail::erase(std::move(f), {"jvp", where}), x, v, where);
}

// The value of f at x and its pullback (reverse mode).
template <class F>
VjpResult vjp(F f, const Tensor& x, Location where = Location::current()) {
  return detail::vjp_at(detail::erase(std::move(f), {"vjp", where}), {x}, where);
}
template <class F>
VjpResult vjp(F f, const std::vector<Tensor>& x, Location where = Location::current()) {
  return detail::vjp_at(detail::erase(std::move(f), {"vjp", where}), x, where);
}

// A function of Vars as a function of Tensors that is compiled once for each combination of its
// arguments' shapes and dtypes; the 16 used last are kept. f returns a Var or a std::vector<Var>,
// the call a Tensor or a std::vector<Tensor>, which are the caller's own. f is called when a
// combination is met first: numbers that it captures are read then, Parameters in every call.
// Copies share their programs, and any thread may call them. Given Vars it is f itself.
template <class F>
class Jit {
 public:
  explicit Jit(F f, const CompileOptions& options = {}, Location where = Location::current())
      : f_(std::move(f)),
        where_(where),
        cache_(std::make_shared<detail::FunctionCache>(options, where)) {
    detail::require_callable(!detail::is_null(f_), "jit", where);
  }

  template <std::same_as<Tensor>... Tensors>
  requires(sizeof...(Tensors) > 0) auto operator()(const Tensors&... x) const {
    return (*this)(std::vector<Tensor>{x...});
  }
  auto operator()(const std::vector<Tensor>& x) const {
    using Result = decltype(detail::call_with(f_, std::span<const Var>(), {}));
    detail::require_callable(cache_ != nullptr, "jit", where_);
    const auto body = [this](std::span<const Var> in) -> std::vector<Var> {
      return {detail::call_with(f_, in, {"jit", where_})};
    };
    if constexpr (std::is_same_v<Result, Var>)
      return cache_->run(body, x)[0];
    else
      return cache_->run(body, x);
  }
  template <std::same_as<Var>... Vars>
  requires(sizeof...(Vars) > 0) auto operator()(Vars... x) const {
    detail::require_callable(cache_ != nullptr, "jit", where_);
    const std::array<Var, sizeof...(Vars)> in{x...};
    return detail::call_with(f_, in, {"jit", where_});
  }

 private:
  F f_;
  Location where_;
  std::shared_ptr<detail::FunctionCache> cache_;  // of all copies
};
template <class F>
Jit<F> jit(F f, const CompileOptions& options = {}, Location where = Location::current()) {
  return Jit<F>(std::move(f), options, where);
}

// The gradient of a scalar function of one tensor, as a function of Tensors and of Vars; so
// grad(grad(f)) works where grad(f) is scalar. Given Tensors it keeps its programs as jit() does.
template <class F>
class Grad {
 public:
  Grad(F f, Location where)
      : f_(std::move(f)),
        where_(where),
        cache_(std::make_shared<detail::FunctionCache>(CompileOptions{}, where)) {
    detail::require_callable(!detail::is_null(f_), "grad", where);
  }
  Var operator()(Var x) const {
    detail::require_callable(cache_ != nullptr, "grad", where_);
    return by_all(std::span<const Var>(&x, 1))[0];
  }
  Tensor operator()(const Tensor& x) const {
    detail::require_callable(cache_ != nullptr, "grad", where_);
    return cache_->run([this](std::span<const Var> in) { return std::vector{(*this)(in[0])}; },
                       std::span(&x, 1))[0];
  }

  // Of several arguments by each of them: given one by one a std::array of gradients, so that
  // `auto [a, b] = grad(f)(x, y)`, and a std::vector for one.
  template <std::same_as<Var>... Vars>
  requires(sizeof...(Vars) > 1) std::array<Var, sizeof...(Vars)>
  operator()(Vars... x) const {
    const std::array<Var, sizeof...(Vars)> in{x...};
    std::array<Var, sizeof...(Vars)> result;
    std::ranges::copy(by_all(in), result.begin());
    return result;
  }
  template <std::same_as<Tensor>... Tensors>
  requires(sizeof...(Tensors) > 1) std::array<Tensor, sizeof...(Tensors)>
  operator()(const Tensors&... x) const {
    const std::vector<Tensor> all = (*this)(std::vector<Tensor>{x...});
    std::array<Tensor, sizeof...(Tensors)> result;
    std::ranges::copy(all, result.begin());
    return result;
  }
  std::vector<Tensor> operator()(const std::vector<Tensor>& x) const {
    detail::require_callable(cache_ != nullptr, "grad", where_);
    return cache_->run([this](std::span<const Var> in) { return by_all(in); }, x);
  }
  std::vector<Var> by_all(std::span<const Var> x) const {
    const detail::Called called{"grad", where_};
    return detail::by_arguments(detail::call_with(f_, x, called), x, called);
  }

 private:
  F f_;
  Location where_;
  std::shared_ptr<detail::FunctionCache> cache_;  // of all copies
};
template <class F>
Grad<F> grad(F f, Location where = Location::current()) {
  return Grad<F>(std::move(f), where);
}

// The Hessian of a scalar function times v, by forward over reverse.
template <class F>
Tensor hvp(F f, const Tensor& x, const Tensor& v, Location where = Location::current()) {
  return detail::hvp_at(detail::erase(std::move(f), {"hvp", where}), x, v, where);
}

}  // namespace dualtape
