#include <dualtape/models/test_functions.hpp>

#include <string>

#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/declare/operand.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/slice.hpp>

namespace dualtape {
namespace {

// Where the derivative 2 x^3 - 16 x + 2.5 of a summand of styblinski_tang is 0.
constexpr double styblinski_tang_least = -2.903534027771177;

// The points as a Var, after a look at n.
Var points(std::string_view function, const In& x, std::int64_t least, bool any_size) {
  const Shape shape = detail::shape_of(x);
  const std::int64_t size = shape.empty_rank() ? 0 : shape.back();
  if (size < least || (!any_size && size != least))
    fail<ShapeError>({.op = function,
                      .what = "needs points of " + std::to_string(least) +
                              (any_size ? " or more" : "") +
                              " coordinates along the last axis, got shape " + to_string(shape),
                      .where = x.where(),
                      .help = "give a point as a vector, several as the rows of a matrix"});
  return slice(x, std::vector<Range>{});
}

Var coordinate(Var x, std::int64_t i) { return sum(slice(x, -1, i, i + 1), {-1}); }

}  // namespace

Var beale(In x) {
  const Var point = points("beale", x, 2, false);
  const Var a = coordinate(point, 0);
  const Var b = coordinate(point, 1);
  const Var b2 = square(b);
  return square(1.5 - a + a * b) + square(2.25 - a + a * b2) + square(2.625 - a + a * b2 * b);
}

Var rosenbrock(In x) {
  const Var point = points("rosenbrock", x, 2, true);
  const std::int64_t size = point.shape().back();
  const Var head = slice(point, -1, 0, size - 1);
  const Var tail = slice(point, -1, 1, size);
  return sum(100 * square(tail - square(head)) + square(1 - head), {-1});
}

Var sphere(In x) { return sum(square(points("sphere", x, 1, true)), {-1}); }

Var styblinski_tang(In x) {
  const Var point = points("styblinski_tang", x, 1, true);
  const Var squares = square(point);
  return 0.5 * sum(squares * (squares - 16) + 5 * point, {-1});
}

const std::vector<TestFunction>& test_functions() {
  const auto zero = [](std::int64_t) { return 0.0; };
  static const std::vector<TestFunction> functions = {
      {"beale", &beale, 2, false, -4.5, 4.5, zero,
       [](std::int64_t) {
         return std::vector<double>{3, 0.5};
       }},
      {"rosenbrock", &rosenbrock, 2, true, -2.048, 2.048, zero,
       [](std::int64_t n) { return std::vector<double>(static_cast<std::size_t>(n), 1.0); }},
      {"sphere", &sphere, 1, true, -5.12, 5.12, zero,
       [](std::int64_t n) { return std::vector<double>(static_cast<std::size_t>(n), 0.0); }},
      {"styblinski_tang", &styblinski_tang, 1, true, -5, 5,
       [](std::int64_t n) { return -39.16616570377142 * static_cast<double>(n); },
       [](std::int64_t n) {
         return std::vector<double>(static_cast<std::size_t>(n), styblinski_tang_least);
       }}};
  return functions;
}

}  // namespace dualtape
