#include <dualtape/ops/creation.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include <dualtape/core/composite.hpp>
#include <dualtape/core/kinds.hpp>
#include <dualtape/core/tensor/new_tensor.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/declare/edges.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/matrix.hpp>
#include <dualtape/ops/declare/operand.hpp>
#include <dualtape/ops/declare/samples.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {
namespace {

// Zeros of a rank 1 or 2 whose sizes a user gave.
Tensor sized(std::string_view function, std::initializer_list<std::int64_t> sizes, DType dtype,
             Location where) {
  try {
    Tensor result = detail::new_tensor(function, {Shape(sizes, where), dtype}, where);
    std::memset(result.raw(), 0, result.bytes());
    return result;
  } catch (const ShapeError& error) {
    std::string_view what = error.what();
    what = what.substr(0, what.find('\n'));
    if (what.starts_with("[Shape] ")) what.remove_prefix(8);
    const Complaint complaint{.op = function,
                              .what = std::string(what),
                              .where = where,
                              .help = "give sizes from 0 to what memory holds"};
    if (dynamic_cast<const SizeError*>(&error) != nullptr) fail<SizeError>(complaint);
    fail<ShapeError>(complaint);
  }
}

// A vector of value(i); integers are not rounded through doubles that hold them.
template <class F>
Tensor counted(std::string_view function, std::int64_t count, DType dtype, Location where,
               F value) {
  Tensor result = sized(function, {count}, dtype, where);
  dispatch(dtype, [&]<class T>() {
    const auto out = result.data<T>();
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] = convert_element<T>(value(static_cast<std::int64_t>(i)));
  });
  return result;
}

[[noreturn]] void refuse(std::string_view function, std::string what, std::string help,
                         Location where) {
  fail<ValueError>(
      {.op = function, .what = std::move(what), .where = where, .help = std::move(help)});
}

template <class F>
std::vector<Case> unary_cases(std::initializer_list<std::pair<const char*, Shape>> shapes, F f) {
  std::vector<Case> cases;
  for (const auto& [name, shape] : shapes) cases.push_back(detail::unary_case(name, shape, f));
  return cases;
}

struct Meshgrid {
  static constexpr auto name = "meshgrid";
  static constexpr auto doc = "vectors spread over the grid of their places";
  static constexpr auto math = "y^k_(i_0, i_1, ...) = x^k_(i_k); linear. reshape and broadcast_to.";
  static constexpr Example example{
      "meshgrid({g.constant(Tensor{1, 2}), g.constant(Tensor{3, 4, 5})})[0]",
      "[[1. 1. 1.]\n [2. 2. 2.]]"};
  static std::vector<Edge> edges() { return detail::move_edges(name); }
  static std::vector<Case> cases() {
    const auto call = [](std::span<const Var> in) {
      return meshgrid(std::vector<In>(in.begin(), in.end()));
    };
    return {{"two", {Arg{{2}}, Arg{{3}}}, call},
            {"three, one of them a scalar", {Arg{{2}}, Arg{{}}, Arg{{2}}}, call}};
  }
};
struct Tile {
  static constexpr auto name = "tile";
  static constexpr auto doc = "a tensor laid side by side";
  static constexpr auto math =
      "y_i = x_(i mod n) along each axis; linear: the vjp sums the tiles. reshape, broadcast_to.";
  static constexpr Example example{"tile(g.constant(Tensor{1, 2}), {2})", "[1. 2. 1. 2.]"};
  static std::vector<Edge> edges() { return detail::move_edges(name); }
  static std::vector<Case> cases() {
    return unary_cases({{"a vector", {3}}, {"a matrix", {2, 3}}, {"a scalar", {}}, {"empty", {0}}},
                       [](Var x) {
                         return tile(x, {2, 3});
                       });
  }
};
struct Repeat {
  static constexpr auto name = "repeat";
  static constexpr auto doc = "each entry along an axis several times in a row";
  static constexpr auto math =
      "y_i = x_(floor(i / times)); linear: the vjp sums the copies. reshape and broadcast_to.";
  static constexpr Example example{"repeat(g.constant(Tensor{1, 2}), 2)", "[1. 1. 2. 2.]"};
  static std::vector<Edge> edges() { return detail::move_edges(name); }
  static std::vector<Case> cases() {
    return unary_cases({{"a vector", {3}}, {"rows", {2, 3}}, {"of three axes", {3, 1, 2}}},
                       [](Var x) { return repeat(x, 2, 0); });
  }
};
struct Kron {
  static constexpr auto name = "kron";
  static constexpr auto doc = "Kronecker's product";
  static constexpr auto math =
      "y_(i p + k, j q + l) = a_ij b_kl for b (p, q); bilinear. reshape and mul.";
  static constexpr Example example{
      "kron(g.constant(Tensor{{1, 2}}), g.constant(Tensor{{1}, {10}}))", "[[ 1.  2.]\n [10. 20.]]"};
  static std::vector<Edge> edges() { return detail::move_edges(name); }
  static std::vector<Case> cases() {
    const auto call = [](std::span<const Var> in) { return std::vector<Var>{kron(in[0], in[1])}; };
    return {{"matrices", {Arg{{2, 3}}, Arg{{3, 2}}}, call},
            {"vectors", {Arg{{2}}, Arg{{3}}}, call},
            {"a vector and a matrix", {Arg{{2}}, Arg{{3, 2}}}, call},
            {"a scalar", {Arg{{}}, Arg{{2, 2}}}, call}};
  }
};

// Sizes as they are with each axis in two: (n_0, m_0, n_1, m_1, ...).
Shape in_pairs(std::span<const std::int64_t> first, std::span<const std::int64_t> second) {
  Ints sizes;
  for (std::size_t i = 0; i < first.size(); ++i) {
    sizes.push_back(first[i]);
    sizes.push_back(second[i]);
  }
  return Shape(sizes);
}
Ints with_rank(std::span<const std::int64_t> shape, std::size_t rank) {
  Ints sizes(rank - std::min(rank, shape.size()), 1);
  sizes.insert(sizes.end(), shape.begin(), shape.end());
  return sizes;
}
Ints products(const Ints& a, const Ints& b) {
  Ints sizes;
  for (std::size_t i = 0; i < a.size(); ++i) sizes.push_back(detail::size_product(a[i], b[i]));
  return sizes;
}

}  // namespace

Tensor eye(std::int64_t rows, std::int64_t columns, std::int64_t k, DType dtype, Location where) {
  Tensor result = sized("eye", {rows, columns}, dtype, where);
  dispatch(dtype, [&]<class T>() {
    const auto out = result.data<T>();
    if (k <= -rows || k >= columns) return;  // -k and i + k below cannot overflow
    for (std::int64_t i = std::max<std::int64_t>(0, -k); i < rows && i + k < columns; ++i)
      out[static_cast<std::size_t>(i * columns + i + k)] = T{1};
  });
  return result;
}
Tensor eye(std::int64_t n, Location where) { return eye(n, n, 0, float32, where); }

namespace {

constexpr auto step_of_zero = "give finite numbers and a step that is not 0";

// Counts in the integers that wrap, where no difference of two int64 overflows.
Tensor arange_of_integers(Number first, Number past, Number by, DType dtype, Location where) {
  const std::int64_t start = first.integer();
  const std::int64_t stop = past.integer();
  const std::int64_t step = by.integer();
  if (step == 0) refuse("arange", "the step is 0", step_of_zero, where);
  const bool some = step > 0 ? start < stop : start > stop;
  const auto bits = [](std::int64_t x) { return static_cast<std::uint64_t>(x); };
  const std::uint64_t way = step > 0 ? bits(stop) - bits(start) : bits(start) - bits(stop);
  const std::uint64_t size = step > 0 ? bits(step) : 0 - bits(step);
  const std::uint64_t count = some ? (way - 1) / size + 1 : 0;
  if (count > 9'000'000'000'000'000)
    refuse("arange", "too many values", "take larger steps", where);
  const auto at = [=](std::int64_t i) {
    return static_cast<std::int64_t>(bits(start) + bits(i) * bits(step));
  };
  if (count > 0 && is_integer(dtype))
    for (const std::int64_t value : {start, at(static_cast<std::int64_t>(count - 1))})
      if (!Number(value).fits(dtype))
        refuse("arange", std::to_string(value) + " does not fit " + std::string(name_of(dtype)),
               "use dt::int64", where);
  return counted("arange", static_cast<std::int64_t>(count), dtype, where, at);
}

}  // namespace

Tensor arange(Number first, Number past, Number by, DType dtype, Location where) {
  const auto is_real = [](Number n) { return n.kind() == Number::Kind::real; };
  if (!is_real(first) && !is_real(past) && !is_real(by))
    return arange_of_integers(first, past, by, dtype, where);
  const double start = first.real();
  const double stop = past.real();
  const double step = by.real();
  if (!std::isfinite(start) || !std::isfinite(stop) || !std::isfinite(step) || step == 0)
    refuse("arange",
           "from " + std::to_string(start) + " to " + std::to_string(stop) + " by steps of " +
               std::to_string(step) + " there is no finite number of values",
           step_of_zero, where);
  const double count = std::max(0.0, std::ceil((stop - start) / step));
  if (count > 9e15) refuse("arange", "too many values", "take larger steps", where);
  return counted("arange", static_cast<std::int64_t>(count), dtype, where,
                 [=](std::int64_t i) { return start + static_cast<double>(i) * step; });
}
Tensor arange(std::int64_t stop, Location where) {
  return counted("arange", std::max<std::int64_t>(0, stop), int64, where,
                 [](std::int64_t i) { return i; });
}

Tensor linspace(double start, double stop, std::int64_t count, DType dtype, Location where) {
  if (!std::isfinite(start) || !std::isfinite(stop))
    refuse("linspace",
           "from " + std::to_string(start) + " to " + std::to_string(stop) + " is no finite way",
           "give finite numbers", where);
  if (count < 0)
    refuse("linspace", std::to_string(count) + " values cannot be made", "give 0 or more", where);
  const double step = count > 1 ? (stop - start) / static_cast<double>(count - 1) : 0;
  return counted("linspace", count, dtype, where, [=](std::int64_t i) {
    return i > 0 && i == count - 1 ? stop : start + static_cast<double>(i) * step;
  });
}

std::vector<Var> meshgrid(std::span<const In> axes) {
  Ints grid;
  for (std::size_t k = 0; k < axes.size(); ++k) {
    const Shape shape = detail::shape_of(axes[k]);
    if (shape.rank() > 1)
      fail<ShapeError>({.op = "meshgrid",
                        .what = "operand " + std::to_string(k) + " has shape " + to_string(shape) +
                                ", but must be a vector",
                        .where = axes[k].where(),
                        .help = "flatten(x) makes one of it"});
    grid.push_back(shape.count());
  }
  const Composite c("meshgrid", axes);
  const Shape whole = detail::sized_by("meshgrid", axes, [&] { return Shape(grid); });
  std::vector<Var> spread;
  for (std::size_t k = 0; k < axes.size(); ++k) {
    Ints sizes(axes.size(), 1);
    sizes[k] = grid[k];
    spread.push_back(broadcast_to(reshape(c[k], Shape(sizes)), whole));
  }
  return spread;
}
std::vector<Var> meshgrid(std::initializer_list<In> axes) {
  return meshgrid(std::span<const In>(axes.begin(), axes.size()));
}

Var tile(In x, const std::vector<std::int64_t>& times) {
  if (std::ranges::any_of(times, [](std::int64_t n) { return n < 0; }))
    fail<ShapeError>({.op = "tile",
                      .what = "a tensor cannot be laid " + to_string(Attribute(times)) + " times",
                      .where = x.where(),
                      .help = "give numbers of 0 or more"});
  const Composite c("tile", {x});
  const Shape shape = c[0].shape();
  const std::size_t rank = std::max(shape.rank(), times.size());
  return detail::sized_by("tile", {&x, 1}, [&] {
    const Ints sizes = with_rank(shape.sizes(), rank);
    const Ints counts = with_rank(times, rank);
    const Shape whole(products(counts, sizes));
    const Var apart = reshape(c[0], in_pairs(Ints(rank, 1), sizes));
    return reshape(broadcast_to(apart, in_pairs(counts, sizes)), whole);
  });
}

Var repeat(In x, std::int64_t times, std::int64_t axis) {
  const Composite c("repeat", {x});
  const Shape shape = c[0].shape();
  const std::size_t place = detail::require_axis("repeat", x, axis, shape.rank());
  if (times < 0)
    fail<ShapeError>({.op = "repeat",
                      .what = "entries cannot be repeated " + std::to_string(times) + " times",
                      .where = x.where(),
                      .help = "give 0 or more"});
  return detail::sized_by("repeat", {&x, 1}, [&] {
    Ints sizes = shape.vector();
    sizes.insert(sizes.begin() + static_cast<std::ptrdiff_t>(place) + 1, times);
    Ints joined = shape.vector();
    joined[place] = detail::size_product(joined[place], times);
    const Shape whole(joined);
    const Var apart = unsqueeze(c[0], static_cast<std::int64_t>(place) + 1);
    return reshape(broadcast_to(apart, Shape(sizes)), whole);
  });
}

Var kron(In a, In b) {
  const Composite c("kron", {a, b});
  const std::size_t rank = std::max(c[0].rank(), c[1].rank());
  const Ints rows = with_rank(c[0].shape().sizes(), rank);
  const Ints inner = with_rank(c[1].shape().sizes(), rank);
  const Ints ones(rank, 1);
  return detail::sized_by("kron", std::array<In, 2>{a, b}, [&] {
    const Shape whole(products(rows, inner));
    return reshape(reshape(c[0], in_pairs(rows, ones)) * reshape(c[1], in_pairs(ones, inner)),
                   whole);
  });
}

void detail::register_creation() {
  register_composite<Meshgrid>();
  register_composite<Tile>();
  register_composite<Repeat>();
  register_composite<Kron>();
}

}  // namespace dualtape
