// Three transformations nested in every order, on functions of many operators. Each takes a scalar
// function to another one: forward and reverse mode to its slope along a direction, a batch or a
// loop over members to their weighted sum, a checkpoint to itself. So all words that differ only in
// which of two ways they take must give the same number.
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <dualtape/dualtape.hpp>
#include <tests/modes/drawn.hpp>

namespace dt = dualtape;
using dualtape::testing::numbers;

namespace {

constexpr std::int64_t size = 6;
using Scalar = std::function<dt::Var(dt::Var)>;  // (size) -> ()

// ---- the functions ------------------------------------------------------------------------------

dt::Var net(dt::Var x) {
  const dt::Var h =
      dt::tanh(dt::matmul(dt::reshape(x, {2, 3}), numbers({3, 5}, 1)) + numbers({5}, 2));
  const dt::Var logits = dt::matmul(dt::layer_norm(h), numbers({5, 4}, 3));
  return dt::cross_entropy(logits, dt::Tensor::of({1, 3}, dt::int64));
}
dt::Var images(dt::Var x) {
  const dt::Var image = dt::reshape(dt::matmul(x, numbers({size, 36}, 4)), {1, 1, 6, 6});
  const dt::Var seen = dt::conv2d(image, numbers({2, 1, 3, 3}, 5), {.padding = 1});
  return dt::mean(dt::softplus(dt::avg_pool2d(seen, 2)));
}
dt::Var loop(dt::Var x) {
  const dt::Var w = 0.7 * x.graph().constant(numbers({size, size}, 6));
  const auto run = dt::scan(
      [&](dt::Var h, dt::Var t) {
        const dt::Var next = dt::tanh(dt::matmul(h, w) + t * x);
        return std::pair{next, dt::sum(next)};
      },
      dt::sin(x), numbers({5}, 7));
  return dt::sum(run.state) + dt::sum(dt::square(run.out));
}
dt::Var kept_loop(dt::Var x) {
  return dt::sum(dt::fori(
      0, 7, x,
      [&](dt::Var i, dt::Var s) { return dt::sin(s) + 0.1 * dt::cast(i, dt::float64) * x; },
      {.states = 2}));
}
dt::Var stopping(dt::Var x) {
  const dt::Var a = 1.5 + dt::square(x[0]);
  return dt::while_loop([&](dt::Var y) { return dt::abs(y * y - a) > 1e-13; },
                        [&](dt::Var y) { return (y + a / y) / 2; }, a, {.most = 30})
             .state *
         dt::prod(1.0 + 0.1 * x);
}
dt::Var branches(dt::Var x) {
  return dt::cond(
      dt::sum(x) > 0, [&] { return dt::logsumexp(x); }, [&] { return dt::sum(dt::exp(x) * x); });
}
dt::Var solved(dt::Var x) {
  const dt::Var d = 3.0 + dt::square(x);
  return dt::sum(dt::square(dt::linear_solve(
      [&](dt::Var v) { return d * v + 0.2 * dt::sum(v) * dt::ones({size}, dt::float64); },
      dt::cos(x), {.tolerance = 1e-14})));
}
dt::Var factored(dt::Var x) {
  const dt::Var a = dt::reshape(dt::matmul(x, numbers({size, 9}, 8)), {3, 3});
  const dt::Var spd = dt::matmul(a, dt::transpose(a, 0, 1)) + dt::eye(3, 3, 0, dt::float64);
  return dt::slogdet(spd).log_abs_det + dt::sum(dt::solve(spd, dt::slice(x, 0, 0, 3)));
}
dt::Var moved(dt::Var x) {
  const dt::Var sorted = dt::cumsum(dt::sort(x, 0).values, 0);
  return dt::sum(dt::softmax(dt::roll(sorted, 2, 0), 0) * dt::flip(x, {0})) +
         dt::max(x) * dt::norm(x);
}

// ---- the transformations ------------------------------------------------------------------------

const dt::Tensor direction = numbers({size}, 20);
constexpr std::int64_t members = 2;
const dt::Tensor shifts = dt::uniform(dt::Key{21}, {members, size}, -0.1, 0.1, dt::float64);
const dt::Tensor weights = numbers({members}, 22);

Scalar by_forward(const Scalar& f) {
  return [f](dt::Var x) {
    const dt::Var along = x.graph().constant(direction);
    return dt::forward(f(x), {x}, {along});
  };
}
Scalar by_reverse(const Scalar& f) {
  return [f](dt::Var x) { return dt::sum(dt::reverse(f(x), {x})[x] * direction); };
}
Scalar by_batch(const Scalar& f) {
  return [f](dt::Var x) {
    const dt::Var all = x + shifts;
    return dt::sum(dt::vmap([&](dt::Var one) { return f(one); })(all) * weights);
  };
}
Scalar by_turns(const Scalar& f) {
  return [f](dt::Var x) {
    dt::Var total;
    for (std::int64_t m = 0; m < members; ++m) {
      const dt::Var one = f(x + shifts.row(m).copy()) * weights.at({m});
      total = m == 0 ? one : total + one;
    }
    return total;
  };
}
Scalar by_checkpoint(const Scalar& f) {
  return [f](dt::Var x) {
    return dt::checkpoint(
        [&](std::span<const dt::Var> in) { return std::vector<dt::Var>{f(in[0])}; }, {x})[0];
  };
}
Scalar by_itself(const Scalar& f) { return f; }

struct Transformation {
  const char* name;
  Scalar (*apply)(const Scalar&);
  Scalar (*canonical)(const Scalar&);
};
constexpr std::array<Transformation, 4> transformations{{
    {"forward", by_forward, by_forward},
    {"reverse", by_reverse, by_forward},
    {"batch", by_batch, by_turns},
    {"checkpoint", by_checkpoint, by_itself},
}};

}  // namespace

TEST_CASE("three transformations nested in every order give one number") {
  const std::vector<std::pair<const char*, Scalar>> functions{{"net", net},
                                                              {"images", images},
                                                              {"loop", loop},
                                                              {"kept loop", kept_loop},
                                                              {"while", stopping},
                                                              {"branches", branches},
                                                              {"linear_solve", solved},
                                                              {"factors", factored},
                                                              {"moves", moved}};
  const dt::Tensor x = numbers({size}, 30);
  for (const auto& [name, f] : functions)
    for (const Transformation& a : transformations)
      for (const Transformation& b : transformations)
        for (const Transformation& c : transformations) {
          const std::string word =
              std::string(a.name) + " of " + b.name + " of " + c.name + " of " + name;
          CAPTURE(word);
          const double found = dt::eval(a.apply(b.apply(c.apply(f))), x).item();
          const double wanted = dt::eval(a.canonical(b.canonical(c.canonical(f))), x).item();
          CHECK(std::abs(found - wanted) <= 1e-9 * (1 + std::abs(wanted)));
        }
}
