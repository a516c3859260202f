// Operators that move elements carry every number as it is; their slopes count where each went.
#include <array>

#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/creation.hpp>
#include <dualtape/ops/declare/edges.hpp>
#include <dualtape/ops/diagonals.hpp>
#include <dualtape/ops/indexing.hpp>
#include <dualtape/ops/join.hpp>
#include <dualtape/ops/shapes.hpp>
#include <dualtape/ops/slice.hpp>

namespace dualtape::detail {
namespace {

constexpr double huge = 0x1p127;
constexpr double tiny = 0x1p-126;
constexpr std::array odd{not_a_number, -infinity, huge, tiny, -0.0, infinity, 1.0, -huge};

// f gives element from[i] of x at i, and `otherwise` where from[i] is -1. x holds odd numbers.
template <class F>
Edge moving(std::string name, const Shape& shape, const Shape& out, const std::vector<int>& from,
            F f, double otherwise = 0) {
  std::vector<double> x(static_cast<std::size_t>(shape.count()));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = odd[i % odd.size()];
  std::vector<double> slopes(x.size());
  std::vector<double> values;
  for (const int place : from) {
    values.push_back(place < 0 ? otherwise : x[static_cast<std::size_t>(place)]);
    if (place >= 0) slopes[static_cast<std::size_t>(place)] += 1;
  }
  return edge_of(std::move(name), wide(shape, x), wide(out, values), wide(shape, slopes), f);
}
// The elements of x in their order under another shape.
template <class F>
Edge reshaping(std::string name, const Shape& shape, const Shape& out, F f) {
  std::vector<int> from(static_cast<std::size_t>(shape.count()));
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<int>(i);
  return moving(std::move(name), shape, out, from, f);
}

std::vector<Edge> of_take() {
  return {moving("from the end and twice", {3, 2}, {4, 2}, {4, 5, 0, 1, 4, 5, 2, 3},
                 [](Var x) {
                   return take(x, Tensor::of({-1, 0, 2, -2}));
                 }),
          moving("one element", {1}, {3}, {0, 0, 0},
                 [](Var x) {
                   return take(x, Tensor::of({0, -1, 0}));
                 }),
          moving("no index of nothing", {0, 2}, {0, 2}, {},
                 [](Var x) { return take(x, Tensor(Shape{0}, int64)); })};
}
std::vector<Edge> of_gather() {
  return {moving("from the end and twice", {2, 3}, {2, 2}, {2, 0, 5, 5},
                 [](Var x) {
                   return gather(x, Tensor::of({-1, 0, 2, -1}).reshape({2, 2}), 1);
                 }),
          moving("no index", {2, 3}, {2, 0}, {}, [](Var x) {
            return gather(x, Tensor(Shape{2, 0}, int64), 1);
          })};
}
// Into row 0 of two; sums go on where those of the dtype end or stand still.
template <class F>
std::vector<Edge> of_sums(F into_first) {
  const auto two = [](double a, double b) { return wide({a, b}); };
  const auto all_ones = [](std::int64_t n) { return ones({n}, float64); };
  const auto add = [&](std::string name, std::vector<double> updates, double sum) {
    const auto count = static_cast<std::int64_t>(updates.size());
    return edge_of(std::move(name), {two(0, -0.0), wide(updates)}, two(sum, -0.0),
                   {all_ones(2), all_ones(count)}, into_first);
  };
  return {add("large ones that cancel", {huge, huge, -huge}, huge),
          add("small ones beside a large one", {0x1p24, 1, 1, 1, 1}, 0x1p24 + 4),
          add("infinity", {1, infinity, huge}, infinity),
          add("two infinities", {infinity, 1, -infinity}, not_a_number),
          add("not a number", {1, not_a_number}, not_a_number),
          add("none", {}, 0)};
}
std::vector<Edge> of_index_add() {
  return of_sums([](Var x, Var u) { return index_add(x, Tensor(Shape{u.shape()[0]}, int64), u); });
}
std::vector<Edge> of_scatter_add() {
  return of_sums(
      [](Var x, Var u) { return scatter_add(x, Tensor(Shape{u.shape()[0]}, int64), u, -1); });
}
std::vector<Edge> of_one_hot() {
  const auto at = [](Tensor labels, std::int64_t classes, Tensor value) {
    Edge edge;
    edge.name = std::to_string(classes) + " classes";
    edge.at = {std::move(labels)};
    edge.values = {std::move(value)};
    edge.build = [classes](std::span<const Var> in) {
      return std::vector<Var>{one_hot(in[0], classes)};
    };
    return edge;
  };
  return {at(Tensor::of({0, 2}), 3, wide({2, 3}, {1, 0, 0, 0, 0, 1})),
          at(Tensor::of({0, 0}), 1, wide({2, 1}, {1, 1})),
          at(Tensor(Shape{0}, int64), 2, wide({0, 2}, {}))};
}

std::vector<Edge> of_slice() {
  return {moving("backwards from the end", {4}, {2}, {3, 1},
                 [](Var x) {
                   return slice(x, {Range{{}, {}, -2}});
                 }),
          moving("nothing", {3}, {0}, {}, [](Var x) { return slice(x, 0, 2, 1); }),
          moving("one of one", {1}, {1}, {0}, [](Var x) { return slice(x, 0, -1, 9, 7); })};
}
std::vector<Edge> of_slice_scatter() {
  return {
      moving("backwards", {3}, {5}, {2, -1, 1, -1, 0},
             [](Var x) { return slice_scatter(x, {5}, {4}, {-2}); }),
      moving("nothing", {0}, {2}, {-1, -1}, [](Var x) { return slice_scatter(x, {2}, {0}, {1}); })};
}
std::vector<Edge> of_pad() {
  return {moving(
              "with -inf", {2}, {4}, {-1, 0, 1, -1},
              [](Var x) { return pad(x, {1}, {1}, -infinity); }, -infinity),
          moving(
              "with NaN", {2}, {3}, {0, 1, -1},
              [](Var x) { return pad(x, {0}, {1}, not_a_number); }, not_a_number),
          moving("of nothing", {0}, {2}, {-1, -1}, [](Var x) { return pad(x, {1}, {1}); })};
}
std::vector<Edge> of_flip() {
  return {moving("all axes", {2, 2}, {2, 2}, {3, 2, 1, 0}, [](Var x) { return flip(x); }),
          moving("one element", {1}, {1}, {0}, [](Var x) { return flip(x); }),
          moving("nothing", {0}, {0}, {}, [](Var x) { return flip(x); })};
}
std::vector<Edge> of_roll() {
  return {moving("back beyond one turn", {3}, {3}, {1, 2, 0}, [](Var x) { return roll(x, -4); }),
          moving("one element", {1}, {1}, {0}, [](Var x) { return roll(x, 5); }),
          moving("nothing", {0}, {0}, {}, [](Var x) { return roll(x, 1); })};
}

Edge joining(std::string name, const Shape& a, const Shape& b, const Shape& out,
             std::vector<double> values, Var (*f)(Var, Var)) {
  const auto some = [](const Shape& shape, double first) {
    std::vector<double> x(static_cast<std::size_t>(shape.count()), infinity);
    if (!x.empty()) x[0] = first;
    return wide(shape, x);
  };
  return edge_of(std::move(name), {some(a, not_a_number), some(b, -0.0)}, wide(out, values),
                 {ones(a, float64), ones(b, float64)}, f);
}
std::vector<Edge> of_concat() {
  return {joining("rows", {2}, {1}, {3}, {not_a_number, infinity, -0.0},
                  [](Var a, Var b) {
                    return concat({a, b});
                  }),
          joining("nothing and one", {0, 1}, {1, 1}, {1, 1}, {-0.0}, [](Var a, Var b) {
            return concat({a, b});
          })};
}
std::vector<Edge> of_stack() {
  return {joining("scalars", {}, {}, {2}, {not_a_number, -0.0},
                  [](Var a, Var b) {
                    return stack({a, b});
                  }),
          joining("nothing", {0}, {0}, {2, 0}, {}, [](Var a, Var b) {
            return stack({a, b});
          })};
}
std::vector<Edge> of_split() {
  return {moving("the last piece", {4}, {3}, {1, 2, 3},
                 [](Var x) {
                   return split(x, {1, 3})[1];
                 }),
          moving("a piece of nothing", {2}, {0}, {},
                 [](Var x) {
                   return split(x, {2, 0})[1];
                 }),
          moving("as many as elements", {3}, {1}, {2}, [](Var x) { return split(x, 3)[2]; })};
}

std::vector<Edge> of_reshape() {
  return {reshaping("all", {2, 4}, {4, 2},
                    [](Var x) {
                      return reshape(x, {4, -1});
                    }),
          reshaping("nothing", {0, 3}, {5, 0}, [](Var x) {
            return reshape(x, {5, 0});
          })};
}
std::vector<Edge> of_flatten() {
  return {reshaping("all", {2, 4}, {8}, [](Var x) { return flatten(x); }),
          reshaping("nothing", {2, 0}, {0}, [](Var x) { return flatten(x); })};
}
std::vector<Edge> of_squeeze() {
  return {reshaping("all", {1, 4, 1}, {4}, [](Var x) { return squeeze(x); }),
          reshaping("one element", {1, 1}, {}, [](Var x) { return squeeze(x); })};
}
std::vector<Edge> of_unsqueeze() {
  return {reshaping("last", {4}, {4, 1}, [](Var x) { return unsqueeze(x, -1); }),
          reshaping("nothing", {0}, {1, 0}, [](Var x) { return unsqueeze(x, 0); })};
}
std::vector<Edge> of_permute() {
  return {moving("a matrix", {2, 4}, {4, 2}, {0, 4, 1, 5, 2, 6, 3, 7},
                 [](Var x) {
                   return permute(x, {1, 0});
                 }),
          reshaping("nothing", {0, 3}, {3, 0}, [](Var x) {
            return permute(x, {1, 0});
          })};
}
std::vector<Edge> of_transpose() {
  return {moving("a matrix", {2, 4}, {4, 2}, {0, 4, 1, 5, 2, 6, 3, 7},
                 [](Var x) { return transpose(x); }),
          reshaping("nothing", {0, 3}, {3, 0}, [](Var x) { return transpose(x); })};
}
std::vector<Edge> of_broadcast_to() {
  return {moving("columns", {4, 1}, {4, 2}, {0, 0, 1, 1, 2, 2, 3, 3},
                 [](Var x) {
                   return broadcast_to(x, {4, 2});
                 }),
          moving("to nothing", {1}, {0}, {}, [](Var x) { return broadcast_to(x, {0}); })};
}
std::vector<Edge> of_stop_gradient() {
  return {reshaping("all", {8}, {8}, [](Var x) { return stop_gradient(x); }),
          reshaping("nothing", {0}, {0}, [](Var x) { return stop_gradient(x); })};
}

std::vector<Edge> of_tril() {
  return {moving("odd numbers left out", {2, 3}, {2, 3}, {0, -1, -1, 3, 4, -1},
                 [](Var x) { return tril(x); }),
          moving("nothing is left", {1, 2}, {1, 2}, {-1, -1}, [](Var x) { return tril(x, -1); })};
}
std::vector<Edge> of_triu() {
  return {moving("odd numbers left out", {2, 3}, {2, 3}, {0, 1, 2, -1, 4, 5},
                 [](Var x) { return triu(x); }),
          moving("nothing is left", {1, 2}, {1, 2}, {-1, -1}, [](Var x) { return triu(x, 2); })};
}
std::vector<Edge> of_diagonal() {
  return {moving("above", {2, 3}, {2}, {1, 5}, [](Var x) { return diagonal(x, 1); }),
          moving("beyond", {2, 3}, {0}, {}, [](Var x) { return diagonal(x, -2); })};
}
std::vector<Edge> of_diag_embed() {
  return {moving("below", {2}, {3, 3}, {-1, -1, -1, 0, -1, -1, -1, 1, -1},
                 [](Var x) { return diag_embed(x, -1); }),
          moving("nothing", {0}, {0, 0}, {}, [](Var x) { return diag_embed(x); })};
}
std::vector<Edge> of_diag() {
  return {moving("a vector", {2}, {2, 2}, {0, -1, -1, 1}, [](Var x) { return diag(x); }),
          moving("a matrix", {2, 2}, {2}, {0, 3}, [](Var x) { return diag(x); })};
}
std::vector<Edge> of_trace() {
  const auto of = [](std::string name, double a, double b, double sum) {
    return edge_of(std::move(name), wide({2, 2}, {a, not_a_number, not_a_number, b}), number(sum),
                   wide({2, 2}, {1, 0, 0, 1}), [](Var x) { return trace(x); });
  };
  return {of("numbers beside it do not count", 1, 2, 3), of("limit", infinity, -huge, infinity),
          of("large ones that cancel", huge, -huge, 0),
          edge_of("nothing", zeros({0, 0}, float64), number(0.0), zeros({0, 0}, float64),
                  [](Var x) { return trace(x); })};
}

std::vector<Edge> of_meshgrid() {
  return {moving("the first", {3}, {3, 2}, {0, 0, 1, 1, 2, 2},
                 [](Var x) {
                   return meshgrid({x, ones({2}, x.dtype())})[0];
                 }),
          moving("with nothing", {3}, {3, 0}, {}, [](Var x) {
            return meshgrid({x, Tensor(Shape{0}, x.dtype())})[0];
          })};
}
std::vector<Edge> of_tile() {
  return {moving("three times", {2}, {6}, {0, 1, 0, 1, 0, 1}, [](Var x) { return tile(x, {3}); }),
          moving("never", {2}, {0}, {}, [](Var x) { return tile(x, {0}); })};
}
std::vector<Edge> of_repeat() {
  return {moving("three times", {2}, {6}, {0, 0, 0, 1, 1, 1}, [](Var x) { return repeat(x, 3); }),
          moving("never", {2}, {0}, {}, [](Var x) { return repeat(x, 0); })};
}
std::vector<Edge> of_kron() {
  const auto f = [](Var a, Var b) { return kron(a, b); };
  return {edge_of("huge and tiny", {wide({huge, 2}), wide({tiny, 1})}, wide({2, huge, 2 * tiny, 2}),
                  {wide({1 + tiny, 1 + tiny}), wide({huge + 2, huge + 2})}, f),
          value_of("limits", wide({0, 1, -1}), wide({not_a_number, infinity, -infinity}),
                   [](Var b) { return kron(Tensor{infinity}, b); }),
          edge_of("nothing", {wide(std::vector<double>{}), wide({1, 2})},
                  wide(std::vector<double>{}), {wide(std::vector<double>{}), wide({0, 0})}, f)};
}

constexpr NamedEdges table[] = {{"take", of_take},
                                {"gather", of_gather},
                                {"index_add", of_index_add},
                                {"scatter_add", of_scatter_add},
                                {"one_hot", of_one_hot},
                                {"slice", of_slice},
                                {"slice_scatter", of_slice_scatter},
                                {"pad", of_pad},
                                {"flip", of_flip},
                                {"roll", of_roll},
                                {"concat", of_concat},
                                {"stack", of_stack},
                                {"split", of_split},
                                {"reshape", of_reshape},
                                {"flatten", of_flatten},
                                {"squeeze", of_squeeze},
                                {"unsqueeze", of_unsqueeze},
                                {"permute", of_permute},
                                {"transpose", of_transpose},
                                {"broadcast_to", of_broadcast_to},
                                {"stop_gradient", of_stop_gradient},
                                {"tril", of_tril},
                                {"triu", of_triu},
                                {"diagonal", of_diagonal},
                                {"diag_embed", of_diag_embed},
                                {"diag", of_diag},
                                {"trace", of_trace},
                                {"meshgrid", of_meshgrid},
                                {"tile", of_tile},
                                {"repeat", of_repeat},
                                {"kron", of_kron}};

}  // namespace

std::vector<Edge> move_edges(std::string_view name) { return find_edges(table, name); }

}  // namespace dualtape::detail
