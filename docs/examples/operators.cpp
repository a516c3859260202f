// The program in docs/operators.md; a test holds the two equal.
// [program]
#include <array>
#include <iostream>

#include <dualtape/dualtape.hpp>
namespace dt = dualtape;

// An elementwise operator: the formula, once, and its derivative.
struct Softsign {
  static constexpr auto name = "softsign";
  static constexpr auto doc = "x / (1 + |x|)";
  static auto formula(auto x) { return x / (1 + abs(x)); }
  static dt::Factor partial(dt::Var x, dt::Var /*y*/) {
    return dt::square(dt::reciprocal(1 + dt::abs(x)));
  }
  static auto sample() { return dt::domain(-3.0, 3.0).avoid(0.0); }
};
inline constexpr dt::Elementwise<Softsign> softsign;

// The same without a rule: the derivative comes from the formula.
struct Bump {
  static constexpr auto name = "bump";
  static constexpr auto doc = "a exp(-x^2)";
  static auto formula(auto x, auto a) { return a * exp(-x * x); }
  static constexpr auto partial = dt::derive;
  static auto sample() { return std::array{dt::domain(-2.0, 2.0), dt::domain(0.5, 2.0)}; }
};
inline constexpr dt::Elementwise<Bump> bump;

// A linear operator: how to apply it, and its transpose.
struct ReverseRows {
  static constexpr auto name = "reverse_rows";
  static constexpr auto doc = "the rows of a matrix in reverse order";
  static void infer(dt::Inference& inference) {
    inference.require_count(1);
    if (inference.shape(0).rank() != 2)
      inference.shape_error("needs a matrix, got " + to_string(inference.in[0]));
    inference.out = {inference.in[0]};
  }
  static void apply(std::span<const dt::Tensor> in, std::span<dt::Tensor> out,
                    const dt::Attributes& /*attributes*/) {
    const std::int64_t rows = in[0].size(0);
    for (std::int64_t i = 0; i < rows; ++i) out[0].row(rows - 1 - i).assign(in[0].row(i));
  }
  static dt::Var transpose(const dt::NodeView& node, std::size_t i, dt::Var cotangent);
  static std::vector<dt::Case> cases();
};
inline constexpr dt::Linear<ReverseRows> reverse_rows;

// Reversing again undoes it, and that is the transpose too.
dt::Var ReverseRows::transpose(const dt::NodeView& /*node*/, std::size_t /*i*/, dt::Var cotangent) {
  return reverse_rows(cotangent);
}
std::vector<dt::Case> ReverseRows::cases() {
  return {{"3 x 2", {{dt::Shape{3, 2}}}, [](std::span<const dt::Var> in) {
             return std::vector<dt::Var>{reverse_rows(in[0])};
           }}};
}

int main() {
  dt::check_op(softsign);  // throws, and says what is wrong, if a rule is
  dt::check_op(bump);
  dt::check_op(reverse_rows);
  const dt::Tensor x{-1.0, 0.5, 3.0};
  std::cout << "softsign " << dt::eval(softsign, x) << "\nits slope "
            << dt::jvp(softsign, x, dt::ones({3})).tangent << '\n';
}
// [/program]
