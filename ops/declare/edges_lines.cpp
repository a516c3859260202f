// Orders and running functions along an axis: ties, limits, and sums that must not stand still.
#include <cmath>
#include <numbers>

#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/declare/edges.hpp>
#include <dualtape/ops/scan.hpp>
#include <dualtape/ops/slice.hpp>
#include <dualtape/ops/sort.hpp>

namespace dualtape::detail {
namespace {

constexpr double huge = 0x1p100;
constexpr double tiny = 0x1p-100;
Tensor empty() { return wide(std::vector<double>{}); }

// Each element of a result of four weighted by itself, so that slopes tell where it came from.
Var weighted(Var y) { return y * Tensor{1, 2, 4, 8}; }

std::vector<Edge> of_sort() {
  const auto up = [](Var x) { return weighted(sort(x).values); };
  const auto down = [](Var x) { return weighted(sort(x, -1, true).values); };
  return {
      edge_of("ties keep their order", wide({2, 1, 2, 1}), wide({1, 2, 8, 16}), wide({4, 1, 8, 2}),
              up),
      edge_of("ties keep their order downwards", wide({2, 1, 2, 1}), wide({2, 4, 4, 8}),
              wide({1, 4, 2, 8}), down),
      edge_of("NaN last, limits first and before it", wide({not_a_number, infinity, -infinity, 0}),
              wide({-infinity, 0, infinity, not_a_number}), wide({8, 4, 1, 2}), up),
      edge_of("NaN last downwards", wide({not_a_number, -huge, infinity, tiny}),
              wide({infinity, 2 * tiny, -4 * huge, not_a_number}), wide({8, 4, 1, 2}), down),
      edge_of("zeros of both signs are equal", wide({0, -0.0, -tiny, 0}), wide({-tiny, 0, 0, 0}),
              wide({2, 4, 1, 8}), up),
      edge_of("one element", wide({7}), wide({7}), wide({1}), [](Var x) { return sort(x).values; }),
      edge_of("nothing", empty(), empty(), empty(), [](Var x) { return sort(x).values; })};
}
std::vector<Edge> of_argsort() {
  const auto at = [](std::string name, std::vector<double> x, std::vector<double> places,
                     bool descending) {
    return edge_of(std::move(name), wide(x), wide(places), empty(),
                   [descending](Var v) { return argsort(v, -1, descending); });
  };
  return {at("ties", {2, 1, 2, 1}, {1, 3, 0, 2}, false),
          at("ties downwards", {2, 1, 2, 1}, {0, 2, 1, 3}, true),
          at("NaN and limits", {not_a_number, infinity, -infinity, -0.0}, {2, 3, 1, 0}, false),
          at("nothing", {}, {}, false)};
}
std::vector<Edge> of_top_k() {
  const auto largest = [](Var x) { return top_k(x, 2).values * Tensor{1, 2}; };
  return {edge_of("a tie at the end: the first", wide({1, 3, 3, 3}), wide({3, 6}),
                  wide({0, 1, 2, 0}), largest),
          edge_of("NaN when numbers run out", wide({not_a_number, -infinity, not_a_number}),
                  wide({-infinity, not_a_number}), wide({2, 1, 0}), largest),
          edge_of("smallest", wide({infinity, -0.0, 0, huge}), wide({0, 0}), wide({0, 1, 2, 0}),
                  [](Var x) {
                    return top_k(x, 2, -1, false).values * Tensor{1, 2};
                  }),
          edge_of("none", wide({1, 2}), empty(), wide({0, 0}),
                  [](Var x) { return top_k(x, 0).values; })};
}

std::vector<Edge> of_prod() {
  const auto f = [](Var x) { return prod(x); };
  const auto of = [&](std::string name, std::vector<double> x, double y,
                      std::vector<double> slopes) {
    return edge_of(std::move(name), wide(x), number(y), wide(slopes), f);
  };
  return {
      of("one zero", {0, 2, 3}, 0, {6, 0, 0}),
      of("two zeros", {0, 2, 0}, 0, {0, 0, 0}),
      of("zeros of both signs", {-0.0, -1, 5}, 0, {-5, 0, 0}),
      of("huge and tiny in turn", {huge, tiny, 4, 2}, 8, {8 * tiny, 8 * huge, 2, 4}),
      of("partial products beyond float32", {huge, tiny, huge, tiny}, 1, {tiny, huge, tiny, huge}),
      of("the same in a row", {huge, huge, tiny, tiny}, 1, {tiny, tiny, huge, huge}),
      of("beyond float64", {0x1p700, 0x1p-700, 0x1p700, 0x1p-700}, 1,
         {0x1p-700, 0x1p700, 0x1p-700, 0x1p700}),
      of("below float64 in a longer row", {0x1p-700, 1, 0x1p700, 1, 0x1p-700, 0x1p700}, 1,
         {0x1p700, 1, 0x1p-700, 1, 0x1p700, 0x1p-700}),
      of("beyond float32 and a zero", {huge, tiny, 0, 1, huge, tiny}, 0, {0, 0, 1, 0, 0, 0}),
      value_of("limit", wide({infinity, -2}), number(-infinity), f),
      of("limit and zero", {infinity, 0}, not_a_number, {not_a_number, not_a_number}),
      of("not a number", {not_a_number, 2}, not_a_number, {not_a_number, not_a_number}),
      of("not a number behind a zero", {0, 3, not_a_number}, not_a_number,
         {not_a_number, not_a_number, not_a_number}),
      of("one element", {7}, 7, {1}),
      of("nothing", {}, 1, {})};
}
std::vector<Edge> of_cumsum() {
  const auto f = [](Var x) { return cumsum(x); };
  return {edge_of("large ones that cancel", wide({0x1p127, 0x1p127, -0x1p127}),
                  wide({0x1p127, 0x1p128, 0x1p127}), wide({3, 2, 1}), f),
          edge_of("small ones beside a large one", wide({0x1p24, 1, 1, 2}),
                  wide({0x1p24, 0x1p24 + 1, 0x1p24 + 2, 0x1p24 + 4}), wide({4, 3, 2, 1}), f),
          edge_of("limits", wide({1, infinity, -infinity, 2}),
                  wide({1, infinity, not_a_number, not_a_number}), wide({4, 3, 2, 1}), f),
          edge_of("exclusive, of one element", wide({not_a_number}), wide({0}), wide({0}),
                  [](Var x) { return cumsum(x, 0, true); }),
          edge_of("from the end", wide({1, not_a_number, 2}), wide({not_a_number, not_a_number, 2}),
                  wide({1, 2, 3}), [](Var x) { return cumsum(x, 0, false, true); }),
          edge_of("nothing", empty(), empty(), empty(), f)};
}
std::vector<Edge> of_cumprod() {
  const auto f = [](Var x) { return cumprod(x); };
  const auto last = [](Var x) { return slice(cumprod(x), 0, x.shape()[0] - 1, x.shape()[0]); };
  return {
      edge_of("zeros", wide({2, 0, 3, 0, 5}), wide({2, 0, 0, 0, 0}), wide({1, 8, 0, 0, 0}), f),
      edge_of("huge and tiny in turn", wide({huge, tiny, 4}), wide({huge, 1, 4}),
              wide({1 + 5 * tiny, 5 * huge, 1}), f),
      edge_of("products beyond float32 on the way", wide({huge, huge, tiny, tiny}), wide({1}),
              wide({tiny, tiny, huge, huge}), last),
      edge_of("and a zero", wide({huge, huge, 0, tiny, tiny}), wide({0}), wide({0, 0, 1, 0, 0}),
              last),
      edge_of("products beyond float64 on the way", wide({0x1p700, 0x1p700, 0x1p-700, 0x1p-700}),
              wide({0x1p700, infinity, 0x1p700, 1}), wide({0x1p700, 0x1p700, infinity, 0x1p700}),
              f),
      edge_of("products below float64 on the way", wide({0x1p-700, 0x1p-700, 0x1p700, 0x1p700}),
              wide({0x1p-700, 0, 0x1p-700, 1}), wide({0x1p700, 0x1p700, 0x1p-700, 0x1p-700}), f),
      value_of("limits", wide({2, infinity, -1, 0}), wide({2, infinity, -infinity, not_a_number}),
               f),
      edge_of("one element", wide({-3}), wide({-3}), wide({1}), f),
      edge_of("nothing", empty(), empty(), empty(), f)};
}

std::vector<Edge> of_recurrence() {
  const auto f = [](Var a, Var b) { return linear_recurrence(a, b); };
  return {
      edge_of("the first factor is not used", {wide({not_a_number, 2}), wide({1, 1})}, wide({1, 3}),
              {wide({0, 1}), wide({3, 1})}, f),
      edge_of("a factor of zero starts anew", {wide({1, 0, 2}), wide({3, 5, 1})}, wide({3, 5, 11}),
              {wide({0, 9, 5}), wide({1, 3, 1})}, f),
      edge_of("huge and tiny in turn", {wide({1, tiny, 0.25}), wide({huge, 0, 0})},
              wide({huge, 1, 0.25}), {wide({0, 1.25 * huge, 1}), wide({1 + 1.25 * tiny, 1.25, 1})},
              f),
      edge_of("from the end, the last is not used", {wide({2, infinity}), wide({1, 1})},
              wide({3, 1}), {wide({1, 0}), wide({1, 3})},
              [](Var a, Var b) { return linear_recurrence(a, b, 0, true); }),
      edge_of("beyond float32 on the way", {wide({1, huge, tiny, tiny}), wide({huge, 0, 0, 0})},
              wide({1}), {wide({0, tiny, huge, huge}), wide({tiny, tiny * tiny, tiny, 1})},
              [](Var a, Var b) { return slice(linear_recurrence(a, b), 0, 3, 4); }),
      edge_of("below float64 on the way, from the end",
              {wide({0x1p700, 0x1p700, 0x1p-700, 1}), wide({0, 0, 0, 0x1p-700})},
              wide({1, 0x1p-700, 0, 0x1p-700}),
              {wide({0x1p-700, 0x1p-700, 0x1p700, 0}), wide({1, 0x1p700, infinity, 0x1p700})},
              [](Var a, Var b) { return linear_recurrence(a, b, 0, true); }),
      value_of("a NaN goes on", wide({1, not_a_number, 1}), wide({1, not_a_number, not_a_number}),
               [](Var b) {
                 return linear_recurrence(Tensor{1, 2, 0}, b);
               }),
      edge_of("one element", {wide({5}), wide({3})}, wide({3}), {wide({0}), wide({1})}, f),
      edge_of("nothing", {empty(), empty()}, empty(), {empty(), empty()}, f)};
}

template <class F>
Edge edge_of_three(std::string name, std::vector<Tensor> at, Tensor value,
                   std::vector<Tensor> slopes, F f) {
  Edge edge = edge_of(std::move(name), std::move(at), std::move(value), std::move(slopes),
                      [](Var a, Var) { return a; });
  edge.build = [f](std::span<const Var> in) { return std::vector<Var>{f(in[0], in[1], in[2])}; };
  return edge;
}
std::vector<Edge> of_recurrence_change() {
  const auto f = [](Var a, Var b, Var t) { return recurrence_change(a, b, t); };
  return {
      edge_of_three("the first factor is not used",
                    {wide({not_a_number, 2}), wide({1, 1}), wide({5, 3})}, wide({0, 3}),
                    {wide({0, 0}), wide({3, 0}), wide({0, 1})}, f),
      edge_of_three(
          "beyond float32 on the way",
          {wide({1, huge, tiny, tiny}), wide({huge, 0, 0, 0}), wide({0, 0, 0, 1})}, wide({huge}),
          {wide({0, 1, huge * huge, 0}), wide({1, tiny, 1, 0}), wide({0, tiny, huge, huge})},
          [](Var a, Var b, Var t) { return slice(recurrence_change(a, b, t), 0, 3, 4); }),
      edge_of_three("one element, from the end", {wide({5}), wide({3}), wide({2})}, wide({0}),
                    {wide({0}), wide({0}), wide({0})},
                    [](Var a, Var b, Var t) { return recurrence_change(a, b, t, 0, true); }),
      edge_of_three("nothing", {empty(), empty(), empty()}, empty(), {empty(), empty(), empty()},
                    f)};
}
std::vector<Edge> of_recurrence_slope() {
  const auto f = [](Var a, Var b, Var c) { return recurrence_slope(a, b, c); };
  return {edge_of_three("the first factor is not used",
                        {wide({not_a_number, 2}), wide({3, 1}), wide({1, 5})}, wide({0, 15}),
                        {wide({0, 0}), wide({5, 0}), wide({0, 3})}, f),
          edge_of_three("beyond float32 on the way",
                        {wide({1, huge, tiny, tiny}), wide({huge, 0, 0, 0}), wide({0, 0, 0, 1})},
                        wide({0, tiny, huge, huge}),
                        {wide({0, 2, huge * huge, huge * huge}), wide({2, 2 * tiny, 1, 0}),
                         wide({0, huge, huge * huge, 2 * huge})},
                        f),
          edge_of_three("one element, from the end", {wide({5}), wide({3}), wide({2})}, wide({0}),
                        {wide({0}), wide({0}), wide({0})},
                        [](Var a, Var b, Var c) { return recurrence_slope(a, b, c, 0, true); }),
          edge_of_three("nothing", {empty(), empty(), empty()}, empty(),
                        {empty(), empty(), empty()}, f)};
}

std::vector<Edge> of_logcumsumexp() {
  const auto f = [](Var x) { return logcumsumexp(x); };
  const double ln2 = std::numbers::ln2;
  const double e = std::exp(-1.0);
  std::vector<Edge> edges = {
      edge_of("far from 0, and a limit", wide({1000, 1000, -infinity, 0}),
              wide({1000, 1000 + ln2, 1000 + ln2, 1000 + ln2}), wide({2.5, 1.5, 0, 0}), f),
      edge_of("weights that rounded results do not hold", wide({1e8, 1e8, 1e8}),
              wide({1e8, 1e8 + ln2, 1e8 + std::log(3.0)}),
              wide({1 + 0.5 + 1.0 / 3, 0.5 + 1.0 / 3, 1.0 / 3}), f),
      edge_of("the same below", wide({-123456, -123457}), wide({-123456, -123456 + std::log1p(e)}),
              wide({1 + 1 / (1 + e), e / (1 + e)}), f),
      edge_of("what comes in counts little", wide({0, -80}), wide({0, std::exp(-80.0)}),
              wide({2, std::exp(-80.0)}), f),
      edge_of("what was there counts little", wide({-80, 0}), wide({-80, std::exp(-80.0)}),
              wide({1 + std::exp(-80.0), 1}), f),
      edge_of("nothing so far", wide({-infinity, 3}), wide({-infinity, 3}), wide({0, 1}), f),
      edge_of("infinite", wide({infinity, 3}), wide({infinity, infinity}), wide({0, 0}), f),
      edge_of("one element", wide({-5}), wide({-5}), wide({1}), f),
      edge_of("nothing", empty(), empty(), empty(), f)};
  return edges;
}

std::vector<Edge> of_cummax() {
  const auto f = [](Var x) { return weighted(cummax(x).values); };
  return {edge_of("of equal ones the first", wide({2, 2, 1, 3}), wide({2, 4, 8, 24}),
                  wide({7, 0, 0, 8}), f),
          edge_of("once NaN, all NaN", wide({1, not_a_number, 3, not_a_number}),
                  wide({1, not_a_number, not_a_number, not_a_number}), wide({1, 14, 0, 0}), f),
          edge_of("limits", wide({-infinity, -infinity, -huge, infinity}),
                  wide({-infinity, -infinity, -4 * huge, infinity}), wide({3, 0, 4, 8}), f),
          edge_of("nothing", empty(), empty(), empty(), [](Var x) { return cummax(x).values; })};
}
std::vector<Edge> of_cummin() {
  const auto f = [](Var x) { return weighted(cummin(x).values); };
  return {edge_of("of equal ones the first", wide({2, 2, 3, 1}), wide({2, 4, 8, 8}),
                  wide({7, 0, 0, 8}), f),
          edge_of("once NaN, all NaN", wide({1, not_a_number, 0, not_a_number}),
                  wide({1, not_a_number, not_a_number, not_a_number}), wide({1, 14, 0, 0}), f),
          edge_of("zeros of both signs are equal", wide({0, -0.0, -tiny, -infinity}),
                  wide({0, 0, -4 * tiny, -infinity}), wide({3, 0, 4, 8}), f),
          edge_of("nothing", empty(), empty(), empty(), [](Var x) { return cummin(x).values; })};
}

std::vector<Edge> of_diff() {
  const auto f = [](Var x) { return diff(x); };
  return {
      edge_of("limits", wide({infinity, infinity, 1, not_a_number}),
              wide({not_a_number, -infinity, not_a_number}), wide({-1, 0, 0, 1}), f),
      edge_of("too far apart", wide({0x1.8p127, -0x1.8p127}), wide({-0x1.8p128}), wide({-1, 1}), f),
      edge_of("near each other", wide({0x1p24, 0x1p24 + 2}), wide({2}), wide({-1, 1}), f),
      edge_of("one element", wide({3}), empty(), wide({0}), f),
      edge_of("nothing", empty(), empty(), empty(), f)};
}
std::vector<Edge> of_trapz() {
  const auto f = [](Var y) { return trapz(y); };
  return {edge_of("values whose sum is too large", wide({0x1.8p127, 0x1.8p127}), number(0x1.8p127),
                  wide({0.5, 0.5}), f),
          edge_of("the largest number twice",
                  wide({std::numeric_limits<double>::max(), std::numeric_limits<double>::max()}),
                  number(std::numeric_limits<double>::max()), wide({0.5, 0.5}), f),
          edge_of("limit", wide({1, infinity}), number(infinity), wide({0.5, 0.5}), f),
          edge_of("one place", wide({3}), number(0.0), wide({0}), f),
          edge_of("no place", empty(), number(0.0), empty(), f),
          edge_of("no distance", {wide({2, 4}), number(0.0)}, number(0.0),
                  {wide({0, 0}), number(3.0)}, [](Var y, Var x) { return trapz(y, x); })};
}

constexpr NamedEdges table[] = {{"sort", of_sort},
                                {"argsort", of_argsort},
                                {"top_k", of_top_k},
                                {"prod", of_prod},
                                {"cumsum", of_cumsum},
                                {"cumprod", of_cumprod},
                                {"cummax", of_cummax},
                                {"cummin", of_cummin},
                                {"linear_recurrence", of_recurrence},
                                {"recurrence_change", of_recurrence_change},
                                {"recurrence_slope", of_recurrence_slope},
                                {"logcumsumexp", of_logcumsumexp},
                                {"diff", of_diff},
                                {"trapz", of_trapz}};

}  // namespace

std::vector<Edge> line_edges(std::string_view name) { return find_edges(table, name); }

}  // namespace dualtape::detail
