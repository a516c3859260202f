// Functions with derivatives of their author's.
//
//   // log(1 + e^x), whose derivative by the steps of the formula is not finite far out.
//   const auto softplus = dt::custom_jvp(
//       [](dt::Var x) { return dt::log(1 + dt::exp(x)); },
//       [](dt::Var x, dt::Var, dt::Var dx) { return dt::sigmoid(x) * dx; });
//   // A gradient that is cut off on its way back.
//   const auto clipped = dt::custom_vjp(
//       [](dt::Var x) { return x; },
//       [](dt::Var, dt::Var, dt::Var c) { return dt::clamp(c, -1, 1); });
//
// A jvp rule, (x, y, dx) -> dy, is linear in dx and serves every mode: reverse mode transposes what
// it emits. A vjp rule, (x, y, c) -> cotangent of x, serves reverse mode alone; where a function
// has both, each mode takes its own (with_vjp(), with_jvp()), and check_gradients() holds them to
// each other. Rules are called whenever a derivative is taken, so let them capture by value.
// Functions of several Vars have rules of spans: (x, y, dx) -> dy and (x, y, c) -> cotangents of
// all x. What they compute is one node, a call (modes/call.hpp), so it reads its arguments alone,
// and no Parameter. They are called with Vars, while a graph is built by one thread.
#pragma once

#include <array>
#include <concepts>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <dualtape/core/callable.hpp>
#include <dualtape/modes/call.hpp>
#include <dualtape/modes/functional.hpp>

namespace dualtape {

namespace detail {

// DerivativeError for a rule of one Var on a function of several.
void require_one_argument(std::size_t count, const char* rule, Location where);

template <class R>
FunctionRules::Jvp jvp_rule(R rule, Location where) {
  require_callable(!is_null(rule), "custom_jvp", where);
  return [rule = std::move(rule), where](std::span<const Var> x, std::span<const Var> y,
                                         std::span<const Var> dx) -> std::vector<Var> {
    if constexpr (std::is_invocable_r_v<Var, const R&, Var, Var, Var>) {
      require_one_argument(x.size(), "jvp", where);
      return {rule(x[0], y[0], dx[0])};
    } else {
      static_cast<void>(where);
      static_assert(
          std::is_invocable_r_v<Var, const R&, std::span<const Var>, Var, std::span<const Var>>,
          "dualtape: a jvp rule takes (Var x, Var y, Var dx), or (std::span<const Var> x, Var y, "
          "std::span<const Var> dx), and returns a Var, dy");
      return {rule(x, y[0], dx)};
    }
  };
}
template <class R>
FunctionRules::Vjp vjp_rule(R rule, Location where) {
  require_callable(!is_null(rule), "custom_vjp", where);
  return [rule = std::move(rule), where](std::span<const Var> x, std::span<const Var> y,
                                         std::span<const Var> c) -> std::vector<Var> {
    if constexpr (std::is_invocable_r_v<Var, const R&, Var, Var, Var>) {
      require_one_argument(x.size(), "vjp", where);
      return {rule(x[0], y[0], c[0])};
    } else {
      static_cast<void>(where);
      static_assert(
          std::is_invocable_r_v<std::vector<Var>, const R&, std::span<const Var>, Var, Var>,
          "dualtape: a vjp rule takes (Var x, Var y, Var c) and returns a Var, or (std::span<const "
          "Var> x, Var y, Var c) and returns a std::vector<Var>, one for each x");
      return rule(x, y[0], c[0]);
    }
  };
}

}  // namespace detail

// A function of Vars with rules; copies share them.
template <class F>
class Custom {
 public:
  Custom(F f, FunctionRules rules, Location where)
      : f_(std::move(f)), rules_(std::move(rules)), where_(where) {
    detail::require_callable(!detail::is_null(f_), "custom", where);
  }

  // The call as one node. Throws what building the function throws, and GraphError as
  // Function::make().
  template <std::same_as<Var>... Vars>
  requires(sizeof...(Vars) > 0) Var operator()(Vars... x) const {
    const std::array<Var, sizeof...(Vars)> in{x...};
    return (*this)(std::span<const Var>(in));
  }
  Var operator()(std::span<const Var> x) const {
    if (x.empty()) detail::require_arguments(1, 0, {"custom", where_});
    std::vector<Type> types;
    std::vector<In> arguments;
    for (const Var& var : x) {
      types.push_back(detail::require_alive(var, "custom", "an argument", where_).type());
      arguments.emplace_back(var, where_);
    }
    const auto body = [this](std::span<const Var> in) -> std::vector<Var> {
      return {detail::call_with(f_, in, {"custom", where_})};
    };
    return call(Function::make("custom", types, body, where_, rules_), arguments, where_)[0];
  }

  // The same with one more rule. GraphError for a null rule.
  template <class R>
  Custom with_jvp(R rule, Location where = Location::current()) const {
    Custom made = *this;
    made.rules_.jvp = detail::jvp_rule(std::move(rule), where);
    return made;
  }
  template <class R>
  Custom with_vjp(R rule, Location where = Location::current()) const {
    Custom made = *this;
    made.rules_.vjp = detail::vjp_rule(std::move(rule), where);
    return made;
  }

 private:
  F f_;
  FunctionRules rules_;
  Location where_;
};

// GraphError for a null function or rule.
template <class F, class R>
Custom<F> custom_jvp(F f, R rule, Location where = Location::current()) {
  return Custom<F>(std::move(f), {detail::jvp_rule(std::move(rule), where), {}}, where);
}
template <class F, class R>
Custom<F> custom_vjp(F f, R rule, Location where = Location::current()) {
  return Custom<F>(std::move(f), {{}, detail::vjp_rule(std::move(rule), where)}, where);
}

}  // namespace dualtape
