#include <dualtape/ops/dropout.hpp>

#include <dualtape/core/composite.hpp>
#include <dualtape/core/kinds.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/declare/edge_calls.hpp>
#include <dualtape/ops/declare/families.hpp>

#include <dualtape/ops/math.hpp>
#include <dualtape/ops/random.hpp>

namespace dualtape {
namespace {

struct Dropout {
  static constexpr auto name = "dropout";
  static constexpr auto doc = "elements dropped at random, the others scaled up";
  static constexpr auto math =
      "y_i = m_i x_i / (1 - p) with m_i = 0 with probability p, else 1, so that the mean of y is "
      "x; the m come from the key and are held constant: dy_i = m_i dx_i / (1 - p).";
  static constexpr Example example{"dropout(g.constant(Tensor{0, 0}), 0.5, Key{1})", "[0. 0.]"};

  static Var body(const Composite& c, double p, bool training) {
    if (!(p >= 0 && p < 1))
      fail<ValueError>({.op = name,
                        .what = "p is " + std::to_string(p) + ", the probability to be dropped",
                        .where = c.where(),
                        .help = "give 0 <= p < 1: with 1 nothing would be left"});
    const Var x = c[0];
    if (p == 0 || !training) return x;
    // In float32 for every dtype of x, so that all drop alike.
    const Var draw = random_uniform(c[1], x.shape());
    return where(draw >= p, x * (1 / (1 - p)), 0.0);
  }
  static std::vector<Edge> edges() {
    using namespace detail;
    const auto all = [](std::span<const Var> in) {
      return std::vector<Var>{dropout(in[0], 0.5, Key{3}, false) * 1.0};
    };
    const auto some = [](std::span<const Var> in) {
      // Whatever is drawn, elements are 0, infinite and NaN ones too, or twice what they were.
      const Var y = dropout(in[0], 0.5, Key{3});
      const Var scaled = 2 * in[0];
      const Var kept = logical_or(equal(y, scaled), logical_and(isnan(y), isnan(scaled)));
      return std::vector<Var>{logical_or(equal(y, 0), kept), y};
    };
    const Tensor right = row(std::vector<double>(16, 1));
    return joined(
        {edges_of(all, {{"evaluation",
                         {row({infinity, not_a_number, 0x1p-126})},
                         {row({infinity, not_a_number, 0x1p-126})},
                         {row({1, 1, 1})}}}),
         edges_of(
             some,
             {{"infinities", {row(std::vector<double>(16, infinity))}, {right}},
              {"NaN", {row(std::vector<double>(16, not_a_number))}, {right}},
              {"huge and tiny", {row({0x1p126, 0x1p-126, -0x1p126, 0})}, {row({1, 1, 1, 1})}}})});
  }
  static std::vector<Case> cases() {
    std::vector<Case> cases;
    const auto add = [&](const std::string& name, const Shape& shape, double p, bool training) {
      cases.push_back({name, {Arg{shape}}, [=](std::span<const Var> in) {
                         return std::vector<Var>{dropout(in[0], p, Key{3}, training) * 1.0};
                       }});
    };
    add("a third", {4, 5}, 1.0 / 3, true);
    add("nothing dropped", {3}, 0, true);
    add("evaluation", {3}, 0.5, false);
    add("a scalar", {}, 0.25, true);
    add("nothing", {0, 2}, 0.5, true);
    return cases;
  }
};

}  // namespace

Var dropout(In x, double p, In key, bool training) {
  return Dropout::body({Dropout::name, {x, key}}, p, training);
}
Var dropout(In x, double p, Key key, bool training) {
  const Tensor value = key.to_tensor();
  return dropout(x, p, In(value, x.where()), training);
}

void detail::register_dropout() { register_composite<Dropout>(); }

}  // namespace dualtape
