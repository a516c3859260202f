// Pooling of sequences, as that of images of one row.
#include <string>
#include <string_view>
#include <vector>

#include <dualtape/core/composite.hpp>
#include <dualtape/core/kinds.hpp>
#include <dualtape/ops/declare/edges.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/operand.hpp>
#include <dualtape/ops/declare/samples.hpp>
#include <dualtape/ops/pooling.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {
namespace {

// x as images of one row. Throws in the name of `function`.
Var as_rows(std::string_view function, In x) {
  const Shape shape = detail::shape_of(x);
  if (shape.rank() != 3)
    fail<ShapeError>(
        {.op = function,
         .what = "x of shape " + to_string(shape) + " is no batch of sequences (N, C, L)",
         .where = x.where(),
         .help = "unsqueeze() and reshape() bring it to three axes"});
  return unsqueeze(x, 2);
}

template <bool largest>
struct Pool1d {
  static Var body(const Composite& c, std::int64_t window, const PoolOptions& options) {
    PoolOptions flat = options;
    if (options.stride.columns != 0) flat.stride = {1, options.stride.columns};
    flat.padding = {0, options.padding.columns};
    const Size2d size(1, window);
    const Var rows = as_rows(largest ? "max_pool1d" : "avg_pool1d", c[0]);
    return squeeze(largest ? max_pool2d(rows, size, flat) : avg_pool2d(rows, size, flat), {2});
  }
  static std::vector<Case> cases() {
    std::vector<Case> cases;
    const auto add = [&](const std::string& name, const Shape& shape, std::int64_t window,
                         const PoolOptions& options) {
      cases.push_back(
          detail::unary_case_of(name, detail::distinct(shape, 0.1), [window, options](Var x) {
            return largest ? max_pool1d(x, window, options) : avg_pool1d(x, window, options);
          }));
    };
    PoolOptions padded;
    padded.stride = 1;
    padded.padding = 1;
    add("halves", {2, 2, 6}, 2, {});
    add("padded", {1, 2, 5}, 3, padded);
    return cases;
  }
};
struct MaxPool1d : Pool1d<true> {
  static constexpr auto name = "max_pool1d";
  static constexpr auto doc = "the largest element of windows sliding over sequences";
  static constexpr auto math = "max_pool2d of images of one row";
  static constexpr Example example{
      "flatten(max_pool1d(g.constant(Tensor{1, 3, 2, 0}.reshape({1, 1, 4})), 2))", "[3. 2.]"};
  static std::vector<Edge> edges() { return detail::window_edges(name); }
};
struct AvgPool1d : Pool1d<false> {
  static constexpr auto name = "avg_pool1d";
  static constexpr auto doc = "the mean of windows sliding over sequences";
  static constexpr auto math = "avg_pool2d of images of one row";
  static constexpr Example example{
      "flatten(avg_pool1d(g.constant(Tensor{1, 3, 2, 0}.reshape({1, 1, 4})), 2))", "[2. 1.]"};
  static std::vector<Edge> edges() { return detail::window_edges(name); }
};

}  // namespace

Var max_pool1d(In x, std::int64_t window, const PoolOptions& options) {
  return MaxPool1d::body({MaxPool1d::name, {x}}, window, options);
}
Var avg_pool1d(In x, std::int64_t window, const PoolOptions& options) {
  return AvgPool1d::body({AvgPool1d::name, {x}}, window, options);
}

void detail::register_pooling1d() {
  register_composite<MaxPool1d>();
  register_composite<AvgPool1d>();
}

}  // namespace dualtape
