// Sample calls that several families declare (see core/case.hpp).
// Private. Plain functions; any thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <dualtape/core/case.hpp>

namespace dualtape::detail {

// f(x) of one operand.
template <class F>
Case unary_case_of(std::string name, Arg x, F f) {
  return {std::move(name), {std::move(x)}, [f](std::span<const Var> in) {
            return std::vector<Var>{f(in[0])};
          }};
}
template <class F>
Case unary_case(std::string name, Shape shape, F f, DType dtype = float64) {
  return unary_case_of(std::move(name), Arg{std::move(shape), {}, dtype}, f);
}

// Elements out of order, with a sign for all, no two of which are within the step of a central
// difference: for operators with kinks where elements are equal. Neighbours in order are
// 0.6 to 1.4 times `gap` apart.
inline Arg distinct(const Shape& shape, double gap = 1) {
  Arg arg{shape};
  arg.make = [shape, gap](Key key) {
    Tensor values = draw(Arg{shape, domain(0, 0.4)}, key, float64);
    const std::int64_t count = values.count();
    // Without a common factor of both, i * step mod count meets each number once; near the golden
    // section neighbours are far apart.
    std::int64_t step = std::max<std::int64_t>(count * 62 / 100, 1);
    while (std::gcd(step, count) > 1) ++step;
    std::int64_t number = 0;
    for (double& value : values.data<double>()) {
      value = gap * (value + static_cast<double>(number - 5));
      number = (number + step) % count;
    }
    return values;
  };
  return arg;
}

}  // namespace dualtape::detail
