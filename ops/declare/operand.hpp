// What functions that compose operators need to know of an operand before it is in a graph.
// Private. Plain functions; any thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <span>
#include <string>
#include <string_view>

#include <dualtape/core/graph.hpp>

namespace dualtape::detail {

inline Shape shape_of(const In& in) {
  switch (in.form()) {
    case In::Form::var: return in.var().shape();
    case In::Form::parameter: return in.parameter().shape();
    case In::Form::tensor: return in.tensor().shape();
    default: return {};
  }
}

// The dtype an operand brings along; a literal takes that of others, else this.
inline DType dtype_of_operand(const In& in) {
  switch (in.form()) {
    case In::Form::var: return in.var().dtype();
    case In::Form::parameter: return in.parameter().dtype();
    case In::Form::tensor: return in.tensor().dtype();
    case In::Form::real: return float32;
    case In::Form::integer: return int64;
    default: return DType::boolean;
  }
}

// Sums and products of sizes, neither negative; the largest int64 where the result is larger, which
// no Shape can hold.
inline std::int64_t size_sum(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<std::int64_t>::max() : sum;
}
inline std::int64_t size_product(std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? std::numeric_limits<std::int64_t>::max()
                                                : product;
}

// f(), whose results too large to be counted are refused in the name of `function`: users know it,
// and not what it is made of.
template <class F>
auto sized_by(std::string_view function, std::span<const In> operands, F f) {
  constexpr std::size_t most_named = 4;
  try {
    return f();
  } catch (const SizeError& error) {
    std::string names;
    for (std::size_t i = 0; i < std::min(operands.size(), most_named); ++i)
      names += (i == 0 ? " of " : ", ") + to_string(shape_of(operands[i]));
    if (operands.size() > most_named)
      names += " and " + std::to_string(operands.size() - most_named) + " more";
    std::string why = error.what();  // of the Shape, or of the operator inside
    if (const auto at = why.find("too many elements"); at != std::string::npos)
      why = why.substr(at, why.find('\n', at) - at);
    fail<SizeError>({.op = function,
                     .what = "its result" + names + " is too large: " + why,
                     .where = operands.empty() ? Location{} : operands[0].where()});
  }
}

// A negative axis counted from the end; one that is out of range stays as it is, so that whoever
// refuses it can name what the user wrote.
inline std::int64_t wrap_axis(std::int64_t axis, std::size_t rank) {
  const auto count = static_cast<std::int64_t>(rank);
  return axis < 0 && axis >= -count ? axis + count : axis;
}

// The axis as 0 .. rank-1. Throws ShapeError in the name of `function`.
inline std::size_t require_axis(std::string_view function, const In& x, std::int64_t axis,
                                std::size_t rank) {
  const std::int64_t wrapped = wrap_axis(axis, rank);
  if (wrapped >= 0 && wrapped < static_cast<std::int64_t>(rank))
    return static_cast<std::size_t>(wrapped);
  fail<ShapeError>({.op = function,
                    .what = "axis " + std::to_string(axis) + " is out of range for rank " +
                            std::to_string(rank) + " (the operand has shape " +
                            to_string(shape_of(x)) + ")",
                    .where = x.where(),
                    .help = rank == 0 ? "a scalar has no axes"
                                      : "use an axis from -" + std::to_string(rank) + " to " +
                                            std::to_string(rank - 1)});
}

}  // namespace dualtape::detail
