// Checks of derivative rules, for the library's operators and for yours.
//
//   dt::check_op(softsign);     // throws DerivativeError with all that is wrong
//
// Every sample call of the operator is run in float64: jvp and vjp against central differences
// (five-point stencil), <c, J v> = <J^T c, v>, every non-empty subset of active inputs, second
// order by all four nestings, rules that are not linear in their tangents, equal primal bits in
// every mode, batching against a loop, linearizations against jvp and vjp and transposed twice,
// Taylor mode against nested forward mode;
// then in float32 against float64. An operator without derivative must say so alike in every mode.
// Its edges (core/case.hpp) are held to their numbers in both dtypes.
#pragma once

#include <string>
#include <vector>

#include <dualtape/core/kinds.hpp>
#include <dualtape/core/random.hpp>
#include <dualtape/core/registry.hpp>

namespace dualtape {

struct CheckReport {
  std::string name;
  std::size_t checks = 0;             // comparisons made
  std::vector<std::string> failures;  // each with the case, the inputs active and the numbers

  bool ok() const { return failures.empty() && checks > 0; }
};
std::string to_string(const CheckReport& report);

// Runs every sample call of a registered operator or composite.
CheckReport check_entry(const Entry& entry, Key key = Key{1});

// The same for one function of Vars: is its derivative right in both modes at points drawn for
// `args`?
[[nodiscard]] CheckReport check_gradients(
    const std::function<std::vector<Var>(std::span<const Var>)>& function, std::vector<Arg> args,
    double tolerance = 1e-6, Key key = Key{1}, Location where = Location::current());

// Throws DerivativeError that lists the failures, or that there was nothing to check.
void require(const CheckReport& report);

template <class Implementation>
void check_op(const detail::Callable<Implementation>& callable, Key key = Key{1}) {
  const Op& op = callable.op();
  require(check_entry(entry_of(op), key));
}

}  // namespace dualtape
