// Pooling and convolution: ties, limits, windows over an end; and draws at the limits of what may
// be asked for.
#include <dualtape/core/random.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/convolution.hpp>
#include <dualtape/ops/declare/edges.hpp>
#include <dualtape/ops/pooling.hpp>
#include <dualtape/ops/random.hpp>

namespace dualtape::detail {
namespace {

constexpr double huge = 0x1p100;
constexpr double tiny = 0x1p-100;

// One image, or one sequence, of one channel.
Tensor image(std::int64_t rows, const std::vector<double>& values) {
  return wide(Shape{1, 1, rows, static_cast<std::int64_t>(values.size()) / rows}, values);
}
Tensor line(const std::vector<double>& values) {
  return wide(Shape{1, 1, static_cast<std::int64_t>(values.size())}, values);
}
PoolOptions rounded_up() {
  PoolOptions options;
  options.ceil_mode = true;
  return options;
}

std::vector<Edge> of_max_pool2d() {
  const auto f = [](Var x) { return max_pool2d(x, 2); };
  return {edge_of("of equal ones the first", image(2, {2, 5, 5, 5}), image(1, {5}),
                  image(2, {0, 1, 0, 0}), f),
          edge_of("a NaN wins", image(2, {infinity, 1, not_a_number, 3}), image(1, {not_a_number}),
                  image(2, {0, 0, 1, 0}), f),
          edge_of("nothing but -inf", image(2, {-infinity, -infinity, -infinity, -infinity}),
                  image(1, {-infinity}), image(2, {1, 0, 0, 0}), f),
          edge_of("zeros of both signs are equal", image(2, {-0.0, 0, -tiny, -huge}), image(1, {0}),
                  image(2, {1, 0, 0, 0}), f),
          edge_of("windows over the end", image(1, {1, 2, -infinity}), image(1, {2, -infinity}),
                  image(1, {0, 1, 1}),
                  [](Var x) {
                    return max_pool2d(x, {1, 2}, rounded_up());
                  }),
          edge_of("no images", zeros({0, 1, 2, 2}, float64), zeros({0, 1, 1, 1}, float64),
                  zeros({0, 1, 2, 2}, float64), f)};
}
std::vector<Edge> of_max_pool1d() {
  return {edge_of("ties and -inf", line({3, 3, -infinity, -infinity}), line({3, -infinity}),
                  line({1, 0, 1, 0}), [](Var x) { return max_pool1d(x, 2); }),
          edge_of("a window over the end", line({1, 2, 7}), line({2, 7}), line({0, 1, 1}),
                  [](Var x) { return max_pool1d(x, 2, rounded_up()); })};
}
// Two largest, in the graph of t.
Var tied(Var t) {
  return t.graph().constant(Tensor{1, 3, 3, 0}.reshape({1, 1, 2, 2}).to(t.dtype()));
}
std::vector<Edge> of_select() {
  const auto f = [](Var t) { return max_pool2d_select(tied(t), t, 2); };
  return {edge_of("the place of the first", image(2, {not_a_number, -0.0, infinity, huge}),
                  image(1, {0}), image(2, {0, 1, 0, 0}), f),
          edge_of("not a number there", image(2, {1, not_a_number, 1, 1}), image(1, {not_a_number}),
                  image(2, {0, 1, 0, 0}), f)};
}
std::vector<Edge> of_scatter() {
  const auto f = [](Var t) { return max_pool2d_scatter(tied(t), t, 2); };
  return {edge_of("limit", image(1, {infinity}), image(2, {0, infinity, 0, 0}), image(1, {1}), f),
          edge_of("not a number", image(1, {not_a_number}), image(2, {0, not_a_number, 0, 0}),
                  image(1, {1}), f)};
}

std::vector<Edge> of_avg_pool2d() {
  const auto f = [](Var x) { return avg_pool2d(x, 2); };
  const Tensor quarter = image(2, {0.25, 0.25, 0.25, 0.25});
  return {edge_of("limit", image(2, {1, infinity, -huge, 2}), image(1, {infinity}), quarter, f),
          edge_of("two limits", image(2, {1, infinity, -infinity, 2}), image(1, {not_a_number}),
                  quarter, f),
          edge_of("large ones that cancel", image(2, {huge, huge, -huge, -huge}), image(1, {0}),
                  quarter, f),
          edge_of("a sum beyond float32", image(2, {0x1.8p127, 0x1.8p127, 0x1.8p127, 0x1p127}),
                  image(1, {0x1.6p127}), quarter, f),
          edge_of("padding counts, what lies beyond it does not", image(1, {1, 2, 3, 4}),
                  image(1, {1, 3, 2}), image(1, {1.0 / 3, 2.0 / 3, 1.0 / 3, 1.0 / 3 + 0.5}),
                  [](Var x) {
                    PoolOptions options = rounded_up();
                    options.stride = {1, 2};
                    options.padding = {0, 1};
                    return avg_pool2d(x, {1, 3}, options);
                  }),
          edge_of("one element", image(1, {7}), image(1, {7}), image(1, {1}),
                  [](Var x) { return avg_pool2d(x, 1); }),
          edge_of("no images", zeros({0, 1, 2, 2}, float64), zeros({0, 1, 1, 1}, float64),
                  zeros({0, 1, 2, 2}, float64), f)};
}
std::vector<Edge> of_avg_pool1d() {
  return {edge_of("a window over the end", line({1, 2, 7}), line({1.5, 7}), line({0.5, 0.5, 1}),
                  [](Var x) { return avg_pool1d(x, 2, rounded_up()); }),
          edge_of("a sum beyond float32", line({0x1.8p127, 0x1.8p127}), line({0x1.8p127}),
                  line({0.5, 0.5}), [](Var x) { return avg_pool1d(x, 2); })};
}
std::vector<Edge> of_spread() {
  const auto f = [](Var t) { return avg_pool2d_spread(t, {1, 4}, {1, 2}); };
  return {edge_of("limits", image(1, {infinity, not_a_number}),
                  image(1, {infinity, infinity, not_a_number, not_a_number}), image(1, {1, 1}), f),
          edge_of("a window over the end", image(1, {2, 2}), image(1, {1, 1, 2}), image(1, {1, 1}),
                  [](Var t) {
                    return avg_pool2d_spread(t, {1, 3}, {1, 2}, rounded_up());
                  })};
}
std::vector<Edge> of_adaptive_avg() {
  return {edge_of("more than there are", image(1, {1, infinity}), image(1, {1, infinity, infinity}),
                  image(1, {1.5, 1.5}),
                  [](Var x) {
                    return adaptive_avg_pool2d(x, {1, 3});
                  }),
          edge_of("a sum beyond float64", image(1, {0x1.8p1023, 0x1.8p1023}),
                  image(1, {0x1.8p1023}), image(1, {0.5, 0.5}), [](Var x) {
                    return adaptive_avg_pool2d(x, {1, 1});
                  })};
}
std::vector<Edge> of_adaptive_max() {
  return {edge_of("a tie seen twice", image(1, {3, 3}), image(1, {3, 3, 3}), image(1, {2, 1}),
                  [](Var x) {
                    return adaptive_max_pool2d(x, {1, 3});
                  })};
}
std::vector<Edge> of_global_avg() {
  return {edge_of("limit", image(1, {1, -infinity}), wide({1, 1}, {-infinity}),
                  image(1, {0.5, 0.5}), [](Var x) { return global_avg_pool(x); })};
}
std::vector<Edge> of_global_max() {
  return {edge_of("a tie", image(1, {-infinity, 4, 4}), wide({1, 1}, {4}), image(1, {0, 1, 0}),
                  [](Var x) { return global_max_pool(x); }),
          edge_of("a NaN wins", image(1, {infinity, not_a_number}), wide({1, 1}, {not_a_number}),
                  image(1, {0, 1}), [](Var x) { return global_max_pool(x); })};
}

// Windows of two along a row, of x (1, 1, 1, 3) and w (1, 1, 1, 2).
template <class F>
std::vector<Edge> of_windows(F f, Tensor (*shaped)(const std::vector<double>&)) {
  return {edge_of("huge and tiny", {shaped({huge, 1, 0}), shaped({tiny, 1})}, shaped({2, tiny}),
                  {shaped({tiny, 1 + tiny, 1}), shaped({huge + 1, 1})}, f),
          edge_of("large ones that cancel", {shaped({0x1p127, 0x1p127, 0}), shaped({1, -1})},
                  shaped({0, 0x1p127}), {shaped({1, 0, -1}), shaped({0x1p128, 0x1p127})}, f),
          edge_of("too large", {shaped({huge, 0, 0}), shaped({huge, 1})}, shaped({0x1p200, 0}),
                  {shaped({huge, huge + 1, 1}), shaped({huge, 0})}, f)};
}
Tensor one_row(const std::vector<double>& values) { return image(1, values); }
std::vector<Edge> of_conv2d() {
  auto edges = of_windows([](Var x, Var w) { return conv2d(x, w); }, one_row);
  edges.push_back(value_of("a NaN in its windows only", image(1, {not_a_number, 1, 2, 3}),
                           image(1, {not_a_number, 3, 5}), [](Var x) {
                             return conv2d(x, Tensor{1, 1}.reshape({1, 1, 1, 2}));
                           }));
  edges.push_back(edge_of(
      "no images", {zeros({0, 1, 1, 3}, float64), image(1, {1, 2})}, zeros({0, 1, 1, 2}, float64),
      {zeros({0, 1, 1, 3}, float64), image(1, {0, 0})}, [](Var x, Var w) { return conv2d(x, w); }));
  return edges;
}
std::vector<Edge> of_conv1d() {
  return of_windows([](Var x, Var w) { return conv1d(x, w); }, line);
}
std::vector<Edge> of_transposed(bool rows) {
  const auto shaped = rows ? line : one_row;
  const auto f = [rows](Var x, Var w) {
    return rows ? conv_transpose1d(x, w) : conv_transpose2d(x, w);
  };
  return {
      edge_of("huge and tiny", {shaped({huge, 1}), shaped({tiny, 1})}, shaped({1, huge + tiny, 1}),
              {shaped({1 + tiny, 1 + tiny}), shaped({huge + 1, huge + 1})}, f),
      edge_of("large ones that cancel", {shaped({huge, huge}), shaped({1, -1})},
              shaped({huge, 0, -huge}), {shaped({0, 0}), shaped({2 * huge, 2 * huge})}, f)};
}
std::vector<Edge> of_conv_transpose2d() { return of_transposed(false); }
std::vector<Edge> of_conv_transpose1d() { return of_transposed(true); }
std::vector<Edge> of_input_gradient() {
  const auto f = [](Var g, Var w) { return conv2d_input_gradient(g, w, {1, 3}); };
  return {edge_of("huge and tiny", {image(1, {huge, 1}), image(1, {tiny, 1})},
                  image(1, {1, huge + tiny, 1}),
                  {image(1, {1 + tiny, 1 + tiny}), image(1, {huge + 1, huge + 1})}, f)};
}
std::vector<Edge> of_weight_gradient() {
  const auto f = [](Var x, Var g) { return conv2d_weight_gradient(x, g, {1, 2}); };
  return {edge_of("huge and tiny", {image(1, {huge, 1, 0}), image(1, {tiny, 1})},
                  image(1, {2, tiny}), {image(1, {tiny, 1 + tiny, 1}), image(1, {huge + 1, 1})},
                  f)};
}

// Draws at their limits.
template <class F>
Edge drawn(std::string name, Tensor value, F f) {
  Edge edge;
  edge.name = std::move(name);
  edge.at = {Tensor(std::int64_t{-1})};  // the largest key there is
  edge.values = {std::move(value)};
  edge.build = [f](std::span<const Var> in) { return std::vector<Var>{f(in[0])}; };
  return edge;
}
std::vector<Edge> of_uniform() {
  const auto between = [](double low, double high) {
    return [=](Var key) {
      const Var x = random_uniform(key, {100}, low, high, float64);
      return logical_not(logical_or(x < low, x >= high));
    };
  };
  return {drawn("an interval of one number", wide({-3, -3}),
                [](Var key) { return random_uniform(key, {2}, -3, -3); }),
          drawn("the largest interval", ones({100}, float64), between(-0x1p1022, 0x1p1022)),
          drawn("a tiny interval", ones({100}, float64), between(1, 1 + 0x1p-50)),
          drawn("nothing", wide({0, 3}, {}), [](Var key) {
            return random_uniform(key, {0, 3});
          })};
}
std::vector<Edge> of_normal() {
  return {drawn("no spread", wide({7, 7}),
                [](Var key) { return random_normal(key, {2}, 7, 0, float64); }),
          drawn("no number beside a large mean", wide({0x1p100}),
                [](Var key) { return random_normal(key, {1}, 0x1p100, 1); }),
          drawn("nothing", wide({0}, {}), [](Var key) { return random_normal(key, {0}); })};
}
std::vector<Edge> of_rademacher() {
  return {drawn("of size 1", wide({1, 1, 1}),
                [](Var key) {
                  const Var x = random_rademacher(key, {3});
                  return x * x;
                }),
          drawn("nothing", wide({0}, {}), [](Var key) { return random_rademacher(key, {0}); })};
}
std::vector<Edge> of_fold_key() {
  return {drawn("as the plain function, of negative numbers too", number(1.0), [](Var key) {
    return equal(fold_key(key, std::int64_t{-7}),
                 Key(UINT64_MAX).fold(static_cast<std::uint64_t>(-7)).to_tensor());
  })};
}

constexpr NamedEdges table[] = {{"max_pool2d", of_max_pool2d},
                                {"max_pool1d", of_max_pool1d},
                                {"max_pool2d_select", of_select},
                                {"max_pool2d_scatter", of_scatter},
                                {"avg_pool2d", of_avg_pool2d},
                                {"avg_pool1d", of_avg_pool1d},
                                {"avg_pool2d_spread", of_spread},
                                {"adaptive_avg_pool2d", of_adaptive_avg},
                                {"adaptive_max_pool2d", of_adaptive_max},
                                {"global_avg_pool", of_global_avg},
                                {"global_max_pool", of_global_max},
                                {"conv2d", of_conv2d},
                                {"conv1d", of_conv1d},
                                {"conv_transpose2d", of_conv_transpose2d},
                                {"conv_transpose1d", of_conv_transpose1d},
                                {"conv2d_input_gradient", of_input_gradient},
                                {"conv2d_weight_gradient", of_weight_gradient}};
constexpr NamedEdges draws[] = {{"random_uniform", of_uniform},
                                {"random_normal", of_normal},
                                {"random_rademacher", of_rademacher},
                                {"fold_key", of_fold_key}};

}  // namespace

std::vector<Edge> window_edges(std::string_view name) { return find_edges(table, name); }
std::vector<Edge> draw_edges(std::string_view name) { return find_edges(draws, name); }

}  // namespace dualtape::detail
