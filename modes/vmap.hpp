// vmap: a function of one member as a function of a batch.
//
//   auto norms = dt::vmap([](dt::Var row) { return dt::norm(row); })(rows);     // (n, k) to (n)
//   auto slopes = dt::vmap(by_w, {.in = {std::nullopt, 0, 0}})(w, x, y);        // one per example
//   auto pairs = dt::vmap(dt::vmap(kernel, {.in = {std::nullopt, 0}}), {.in = {0, std::nullopt}});
//
// f is written for one member, and called once to build its graph, which modes/batching.hpp then
// does for all members together. What f captures, Vars and Parameters alike, is the same for all
// members, and so are random draws unless each member has a key of its own. Given Vars it adds
// nodes to their graph; given Tensors it keeps its programs as jit() does, and any thread may call
// it. Derivatives of vmap(f) and vmap of derivatives are what they are of any function.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <dualtape/core/callable.hpp>
#include <dualtape/modes/functional.hpp>
#include <dualtape/modes/value_and_grad.hpp>

namespace dualtape {

// Which axis holds the members; none: the same for all of them.
using BatchAxis = std::optional<std::int64_t>;

struct VmapOptions {
  std::vector<BatchAxis> in{};   // of each argument; empty: the first axis of all
  std::vector<BatchAxis> out{};  // of each result; empty: the first axis of all
};

namespace detail {

// What a function of Vars may return, as a list and back.
template <class R>
struct Results {
  static_assert(std::same_as<R, Var>,
                "dualtape: the function must return a Var, a std::vector<Var> or std::array of "
                "them, or what value_and_grad() gives");
  template <class T>
  using Of = T;
  static std::vector<Var> list(const Var& result) { return {result}; }
  template <class T>
  static T from(std::vector<T> all) {
    return std::move(all[0]);
  }
};
template <>
struct Results<std::vector<Var>> {
  template <class T>
  using Of = std::vector<T>;
  static std::vector<Var> list(std::vector<Var> results) { return results; }
  template <class T>
  static std::vector<T> from(std::vector<T> all) {
    return all;
  }
};
template <std::size_t n>
struct Results<std::array<Var, n>> {
  template <class T>
  using Of = std::array<T, n>;
  static std::vector<Var> list(const std::array<Var, n>& results) {
    return {results.begin(), results.end()};
  }
  template <class T>
  static std::array<T, n> from(std::vector<T> all) {
    std::array<T, n> result;
    std::ranges::move(all, result.begin());
    return result;
  }
};
template <>
struct Results<ValueAndGradient<Var, Var>> {
  template <class T>
  using Of = ValueAndGradient<T, T>;
  static std::vector<Var> list(const ValueAndGradient<Var, Var>& result) {
    return {result.value, result.gradient};
  }
  template <class T>
  static ValueAndGradient<T, T> from(std::vector<T> all) {
    return {std::move(all[0]), std::move(all[1])};
  }
};

// f on n Vars given one by one, or on a span of them; 0: a span of any number.
template <class F, std::size_t... i>
auto call_on(const F& f, std::span<const Var> x, Location where, std::index_sequence<i...>) {
  const auto var = [&](std::size_t k) { return x[k]; };
  if constexpr (sizeof...(i) > 0 && std::is_invocable_v<const F&, decltype(var(i))...>) {
    return call_at(f, where, var(i)...);
  } else {
    static_assert(std::is_invocable_v<const F&, std::span<const Var>>,
                  "dualtape: the function does not take as many Vars as it is called with");
    return f(x);
  }
}

// One member's arguments, its results for all members with the axes that are asked for.
class Batched {
 public:
  // Throws ShapeError, GraphError or ValueError, at the line of `called`, unless the arguments are
  // Vars of one graph with as many members each.
  Batched(std::span<const Var> arguments, const VmapOptions& options, Called called);

  const std::vector<Var>& of_one() const { return of_one_; }
  std::vector<Var> for_all(const std::vector<Var>& results) const;

 private:
  const VmapOptions& options_;
  Called called_;
  Graph* graph_;
  std::int64_t size_ = 0;
  std::vector<Var> of_one_;
  std::vector<Var> members_;
  std::vector<Var> batches_;
};

}  // namespace detail

template <class F>
class Vmap {
 public:
  Vmap(F f, VmapOptions options, Location where)
      : f_(std::move(f)),
        options_(std::move(options)),
        where_(where),
        cache_(std::make_shared<detail::FunctionCache>(CompileOptions{}, where)) {
    detail::require_callable(!detail::is_null(f_), "vmap", where);
  }

  template <std::same_as<Var>... Vars>
  requires(sizeof...(Vars) > 0 && detail::takes_vars<F, Vars...>) auto operator()(Vars... x) const {
    const std::array<Var, sizeof...(Vars)> in{x...};
    return on<sizeof...(Vars)>(in);
  }
  template <std::same_as<Tensor>... Tensors>
  requires(sizeof...(Tensors) > 0) auto operator()(const Tensors&... x) const {
    constexpr std::size_t n = sizeof...(Tensors);
    using R = detail::Results<decltype(on<n>(std::span<const Var>()))>;
    detail::require_callable(cache_ != nullptr, "vmap", where_);
    const std::array<Tensor, n> in{x...};
    return R::from(
        cache_->run([this](std::span<const Var> vars) { return R::list(on<n>(vars)); }, in));
  }

  // Of a function that takes a span of Vars.
  auto operator()(std::span<const Var> x) const
      requires(std::is_invocable_v<const F&, std::span<const Var>>) {
    return on<0>(x);
  }
  auto operator()(const std::vector<Tensor>& x) const
      requires(std::is_invocable_v<const F&, std::span<const Var>>) {
    using R = detail::Results<decltype(f_(std::span<const Var>()))>;
    detail::require_callable(cache_ != nullptr, "vmap", where_);
    return R::from(
        cache_->run([this](std::span<const Var> vars) { return R::list(on<0>(vars)); }, x));
  }

 private:
  template <std::size_t n>
  auto on(std::span<const Var> x) const {
    using R =
        detail::Results<decltype(detail::call_on(f_, x, where_, std::make_index_sequence<n>()))>;
    detail::require_callable(cache_ != nullptr, "vmap", where_);
    const detail::Batched batched(x, options_, {"vmap", where_});
    return R::from(batched.for_all(
        R::list(detail::call_on(f_, batched.of_one(), where_, std::make_index_sequence<n>()))));
  }

  F f_;
  VmapOptions options_;
  Location where_;
  std::shared_ptr<detail::FunctionCache> cache_;  // of all copies
};

// GraphError for a null function.
template <class F>
Vmap<F> vmap(F f, VmapOptions options = {}, Location where = Location::current()) {
  return Vmap<F>(std::move(f), std::move(options), where);
}

}  // namespace dualtape
