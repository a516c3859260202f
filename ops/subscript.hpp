// x[...]: parts of a Var by place, as NumPy takes them. Graphs are built by one thread at a time.
//
//   x[0]                      the first row: the axis goes away
//   x[-1]                     the last one
//   x[dt::range(1, 3)]        rows 1 and 2: the axis stays
//   x[{0, dt::range(), 2}]    one for each axis from the first on; the others are kept whole
//   x[indices]                rows by number, of an integer Var or Tensor: take(x, indices)
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include <dualtape/core/graph.hpp>
#include <dualtape/ops/slice.hpp>

namespace dualtape {

// Range{begin, end, step} in a word; range() is all there is, range(2, {}) what begins at 2.
constexpr Range range() { return {}; }
constexpr Range range(std::optional<std::int64_t> begin, std::optional<std::int64_t> end,
                      std::int64_t step = 1) {
  return {begin, end, step};
}

template <class T>
concept PlaceNumber = std::integral<T> && !std::same_as<T, bool>;

// One axis of x[...]: a place, which may count from the end, or a Range.
class Place {
 public:
  template <PlaceNumber T>
  Place(T number) : value_(clamped(number)) {}
  Place(const Range& range) : value_(range) {}

  const std::int64_t* number() const { return std::get_if<std::int64_t>(&value_); }
  const Range* range() const { return std::get_if<Range>(&value_); }

 private:
  // What does not fit is beyond every axis anyway.
  template <class T>
  static std::int64_t clamped(T number) {
    return std::in_range<std::int64_t>(number) ? static_cast<std::int64_t>(number) : INT64_MAX;
  }
  std::variant<std::int64_t, Range> value_;
};

// What stands in the brackets, with the user's line.
class Places {
 public:
  template <PlaceNumber T>
  Places(T number, Location where = Location::current()) : places_{number}, where_(where) {}
  Places(const Range& range, Location where = Location::current())
      : places_{range}, where_(where) {}
  Places(std::initializer_list<Place> places, Location where = Location::current())
      : places_(places), where_(where) {}
  Places(Var indices, Location where = Location::current()) : indices_(indices), where_(where) {}
  Places(const Tensor& indices, Location where = Location::current())
      : indices_(indices), where_(where) {}

  // x[*this]. ShapeError for a place or an axis that x does not have, ValueError for a step of 0,
  // GraphError for an empty x, and what take() throws.
  Var of(Var x) const;

 private:
  std::vector<Place> places_;
  std::variant<std::monostate, Var, Tensor> indices_;
  Location where_;
};

}  // namespace dualtape
