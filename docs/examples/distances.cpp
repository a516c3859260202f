// The General operator in docs/operators.md; a test holds the page equal to it and to what it
// prints.
// [program]
#include <cmath>
#include <iostream>
#include <span>
#include <vector>

#include <dualtape/dualtape.hpp>
namespace dt = dualtape;

// The distance of each row of x from the same row of y. Its loop needs no
// memory for the differences and their squares.
struct RowDistances {
  static constexpr auto name = "row_distances";
  static constexpr auto doc =
      "the Euclidean distance of each row of x (n, k) from that of y (n, k)";
  // Operands of two dtypes meet in one, and integers become float32.
  static constexpr auto promotion = dt::Promotion::common_floating;

  static void infer(dt::Inference& inference) {
    inference.require_count(2);
    const dt::Shape& x = inference.shape(0);
    const dt::Shape& y = inference.shape(1);
    if (x.rank() != 2 || x != y)
      inference.shape_error("needs two matrices of one shape, got " + to_string(x) + " and " +
                            to_string(y));
    inference.out = {{{x[0]}, inference.dtype(0)}};
  }

  template <class T>
  static void measure(const dt::Tensor& x, const dt::Tensor& y, dt::Tensor& distances) {
    const auto a = x.data<T>();
    const auto b = y.data<T>();
    std::size_t i = 0;
    for (T& distance : distances.data<T>()) {
      double length = 0;
      for (std::int64_t k = 0; k < x.size(1); ++k, ++i)
        length = std::hypot(length, static_cast<double>(a[i]) - static_cast<double>(b[i]));
      distance = static_cast<T>(length);
    }
  }
  static void apply(std::span<const dt::Tensor> in, std::span<dt::Tensor> out,
                    const dt::Attributes& /*attributes*/) {
    if (in[0].dtype() == dt::float32)
      measure<float>(in[0], in[1], out[0]);
    else
      measure<double>(in[0], in[1], out[0]);
  }

  // d|x - y| = (x - y) . (dx - dy) / |x - y|, and 0 where that would be 0 / 0.
  // A tangent that is absent is zero.
  static dt::MaybeVar jvp(const dt::NodeView& node, std::span<const dt::MaybeVar> tangents) {
    const dt::Var length = dt::unsqueeze(node.out[0], 1);
    const dt::Var direction =
        (node.in[0] - node.in[1]) / dt::where(dt::equal(length, 0), 1, length);
    const auto along = [&](dt::Var change) { return dt::sum(direction * change, {1}); };
    if (!tangents[1]) return along(*tangents[0]);
    if (!tangents[0]) return -along(*tangents[1]);
    return along(*tangents[0] - *tangents[1]);
  }

  // For vmap, which puts the members' axis in front: the rows of all of them are one matrix.
  static dt::Var batch(const dt::BatchView& view) {
    const dt::Var x = dt::fold_batch(dt::batched_operand(view, 0));
    const dt::Var y = dt::fold_batch(dt::batched_operand(view, 1));
    return dt::unfold_batch(dt::apply_batched(view, {x, y})[0], view);
  }

  static std::vector<dt::Case> cases();
  static std::vector<dt::Edge> edges();
};
inline constexpr dt::General<RowDistances> row_distances;

// Sample calls, with rows that are drawn away from each other.
std::vector<dt::Case> RowDistances::cases() {
  const auto call = [](std::span<const dt::Var> in) {
    return std::vector<dt::Var>{row_distances(in[0], in[1])};
  };
  const dt::Domain high = dt::domain(1, 2);
  const dt::Domain low = dt::domain(-2, -1);
  return {{"4 x 3", {{dt::Shape{4, 3}, high}, {dt::Shape{4, 3}, low}}, call},
          {"one column", {{dt::Shape{4, 1}, high}, {dt::Shape{4, 1}, low}}, call},
          {"no rows", {{dt::Shape{0, 3}, high}, {dt::Shape{0, 3}, low}}, call}};
}

// Calls where random samples never look: operands, value, slope by each operand.
std::vector<dt::Edge> RowDistances::edges() {
  const auto row = [](double a, double b) { return dt::Tensor::of({{a, b}}, dt::float64); };
  const auto number = [](double a) { return dt::Tensor::of({a}, dt::float64); };
  return {{"3, 4, 5", {row(3, 4), row(0, 0)}, {number(5)}, {row(0.6, 0.8), row(-0.6, -0.8)}},
          {"equal rows", {row(3, 4), row(3, 4)}, {number(0)}, {row(0, 0), row(0, 0)}},
          {"squares beyond float64",
           {row(0x1.8p701, 0), row(0, 0x1p702)},
           {number(0x1.4p702)},
           {row(0.6, -0.8), row(-0.6, 0.8)}},
          {"NaN",
           {row(dt::not_a_number, 1), row(1, 2)},
           {number(dt::not_a_number)},
           {row(dt::not_a_number, dt::not_a_number), row(dt::not_a_number, dt::not_a_number)}}};
}

int main() {
  dt::check_op(row_distances);  // cases and edges in both modes; throws if one is wrong

  const auto distances = [](dt::Var x, dt::Var y) { return row_distances(x, y); };
  const dt::Tensor x{{3, 4}, {1, 1}};
  const dt::Tensor y{{0, 0}, {1, 1}};
  const dt::Tensor dx{{1, 0}, {0, 0}};
  const auto [value, slope] = dt::jvp(distances, {x, y}, {dx, dt::zeros({2, 2})});
  std::cout << "distances " << value << "\nslope along dx " << slope << '\n';

  const auto total = [&](dt::Var a, dt::Var b) { return dt::sum(distances(a, b)); };
  std::cout << "gradient by x\n" << dt::grad(total)(x, y)[0] << '\n';  // jvp, transposed
}
// [/program]
