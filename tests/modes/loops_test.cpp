#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include <dualtape/dualtape.hpp>
#include <tests/errors.hpp>
#include <tests/modes/loops.hpp>

namespace dt = dualtape;
using namespace loops;
using dualtape::testing::has;

TEST_CASE("a scan computes what its body computes step by step") {
  const auto x = point();
  CHECK(dt::all_close(dt::eval(by_scan, x), dt::eval(unrolled, x), 1e-14));
}

TEST_CASE("every mode goes through a scan, and through each other") {
  const auto x = point();
  const auto v = [&] {
    std::vector<dt::Tensor> made;
    for (const dt::Tensor& t : x) made.push_back(drawn(10 + made.size(), t.shape()));
    return made;
  }();
  SUBCASE("forward") {
    CHECK(dt::all_close(dt::jvp(by_scan, x, v).tangent, dt::jvp(unrolled, x, v).tangent, 1e-12));
  }
  SUBCASE("reverse") { check_close(dt::grad(by_scan)(x), dt::grad(unrolled)(x)); }
  SUBCASE("second order, all nestings") {
    const auto along = [&](auto f) {
      return [f, &v](std::span<const dt::Var> in) {
        std::vector<dt::Var> tangents;
        for (const dt::Tensor& t : v) tangents.push_back(in[0].graph().constant(t));
        return dt::forward(f(in), {in.begin(), in.end()}, tangents);
      };
    };
    const auto slope = [&](auto f) {
      return [f, &v](std::span<const dt::Var> in) {
        const dt::Var y = f(in);
        dt::Var total;
        for (std::size_t i = 0; i < in.size(); ++i) {
          const dt::Var part =
              dt::sum(dt::reverse(y, {in[i]})[in[i]] * in[0].graph().constant(v[i]));
          total = i == 0 ? part : total + part;
        }
        return total;
      };
    };
    const dt::Tensor wanted = dt::eval(along(along(unrolled)), x);
    CHECK(dt::all_close(dt::eval(along(along(by_scan)), x), wanted, 1e-10));
    CHECK(dt::all_close(dt::eval(along(slope(by_scan)), x), wanted, 1e-10));
    CHECK(dt::all_close(dt::eval(slope(along(by_scan)), x), wanted, 1e-10));
    CHECK(dt::all_close(dt::eval(slope(slope(by_scan)), x), wanted, 1e-10));
    check_close(dt::grad(slope(by_scan))(x), dt::grad(slope(unrolled))(x), 1e-10);
  }
  SUBCASE("batched") {
    std::vector<dt::Tensor> many;
    for (const dt::Tensor& t : x) many.push_back(three(t));
    for (const auto& axes : std::vector<std::vector<dt::BatchAxis>>{
             {0, 0, 0}, {0, {}, {}}, {{}, 0, {}}, {{}, {}, 0}, {0, 0, {}}}) {
      std::vector<dt::Tensor> given;
      for (std::size_t i = 0; i < 3; ++i) given.push_back(axes[i] ? many[i] : x[i]);
      CHECK(dt::all_close(dt::vmap(by_scan, {.in = axes})(given),
                          dt::vmap(unrolled, {.in = axes})(given), 1e-12));
      const auto by_w = [](auto f) {
        return [f](std::span<const dt::Var> in) { return dt::reverse(f(in), {in[2]})[in[2]]; };
      };
      CHECK(dt::all_close(dt::vmap(by_w(by_scan), {.in = axes})(given),
                          dt::vmap(by_w(unrolled), {.in = axes})(given), 1e-10));
    }
  }
}

TEST_CASE("a scan may run backwards, over several values, without slices, and no step at all") {
  dt::Graph g;
  const dt::Var xs = g.constant(dt::Tensor{1.0, 2.0, 3.0});
  const auto back = dt::scan(
      [](dt::Var s, dt::Var x) {
        return std::pair{s * 2.0 + x, s};
      },
      0.0, xs, {.reverse = true});
  CHECK(dt::eval(back.state).item() == 17);
  CHECK(dt::identical(dt::eval(back.out), dt::Tensor{8.0, 3.0, 0.0}));
  const dt::Scanned both = dt::scan(
      [](std::span<const dt::Var> s, std::span<const dt::Var>) -> dt::Step {
        return {{s[1], s[0] + s[1]}, {s[0], s[0]}};
      },
      {xs[0] * 0.0, xs[0]}, {}, {.length = 8});
  CHECK(dt::identical(dt::eval(both.out[0]), dt::Tensor{0.0, 1.0, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0}));
  CHECK(dt::identical(dt::eval(both.out[1]), dt::eval(both.out[0])));
  const dt::Var none = dt::fori(3, 3, xs, [](dt::Var, dt::Var s) { return s * 2.0; });
  CHECK(dt::identical(dt::eval(none), dt::eval(xs)));
  CHECK(dt::identical(dt::eval(dt::reverse(dt::sum(none), {xs})[xs]), dt::Tensor{1.0, 1.0, 1.0}));
  const dt::Var sum = dt::fori(2, 6, g.constant(dt::Tensor(std::int64_t{0})),
                               [](dt::Var i, dt::Var s) { return s + i; });
  CHECK(dt::eval(sum).item<std::int64_t>() == 14);
}

TEST_CASE("a loop inside a loop, and one that captures the other's values") {
  const auto nested = [](dt::Var x) {
    return dt::fori(0, 3, x, [&](dt::Var, dt::Var y) {
      return dt::fori(0, 2, y, [&](dt::Var, dt::Var z) { return dt::sin(z) + x * y; });
    });
  };
  const auto plain = [](dt::Var x) {
    dt::Var y = x;
    for (int i = 0; i < 3; ++i) {
      dt::Var z = y;
      for (int j = 0; j < 2; ++j) z = dt::sin(z) + x * y;
      y = z;
    }
    return y;
  };
  const dt::Tensor at = dt::Tensor::of({0.7}, dt::float64).reshape({});
  CHECK(dt::all_close(dt::eval(nested, at), dt::eval(plain, at), 1e-14));
  CHECK(dt::all_close(dt::grad(nested)(at), dt::grad(plain)(at), 1e-12));
  CHECK(dt::all_close(dt::grad(dt::grad(nested))(at), dt::grad(dt::grad(plain))(at), 1e-11));
  CHECK(dt::all_close(dt::grad(dt::grad(dt::grad(nested)))(at),
                      dt::grad(dt::grad(dt::grad(plain)))(at), 1e-10));
}

TEST_CASE("a while loop ends where its condition says, in every mode") {
  // Newton's method for a square root: the derivatives are those of the root.
  const auto root = [](dt::Var a) {
    return dt::while_loop([&](dt::Var x) { return dt::abs(x * x - a) > 1e-13; },
                          [&](dt::Var x) { return (x + a / x) / 2.0; }, a, {.most = 50})
        .state;
  };
  const dt::Tensor at = dt::Tensor::of({2.0}, dt::float64).reshape({});
  CHECK(dt::eval(root, at).item() == doctest::Approx(std::sqrt(2.0)).epsilon(1e-14));
  const double slope = 0.5 / std::sqrt(2.0);
  CHECK(dt::jvp(root, at, dt::Tensor::of({1.0}, dt::float64).reshape({})).tangent.item() ==
        doctest::Approx(slope).epsilon(1e-10));
  CHECK(dt::grad(root)(at).item() == doctest::Approx(slope).epsilon(1e-10));
  CHECK(dt::grad(dt::grad(root))(at).item() ==
        doctest::Approx(-0.25 / std::pow(2.0, 1.5)).epsilon(1e-8));
  const dt::Tensor many = dt::Tensor::of({2.0, 100.0, 1e-4, 3.0}, dt::float64);
  const dt::Tensor roots = dt::vmap(root)(many);
  const dt::Tensor slopes = dt::vmap(dt::grad(root))(many);
  for (std::int64_t i = 0; i < 4; ++i) {
    const double a = many.at({i});
    CHECK(roots.at({i}) == doctest::Approx(std::sqrt(a)).epsilon(1e-8));
    CHECK(slopes.at({i}) == doctest::Approx(0.5 / std::sqrt(a)).epsilon(1e-6));
  }
  const auto steps = [&](dt::Var a) {
    return dt::while_loop([&](dt::Var x) { return dt::abs(x * x - a) > 1e-13; },
                          [&](dt::Var x) { return (x + a / x) / 2.0; }, a, {.most = 50})
        .steps;
  };
  const dt::Tensor each = dt::vmap(steps)(many);
  for (std::int64_t i = 0; i < 4; ++i) {
    const dt::Tensor alone = dt::eval(steps, many.row(i));
    CHECK(each.at<std::int64_t>({i}) == alone.item<std::int64_t>());
  }
}

TEST_CASE("a branch is taken, and only that one") {
  const auto f = [](dt::Var x) {
    return dt::cond(
        x > 0.0, [&] { return dt::log(x) * x; }, [&] { return x * x; });
  };
  for (const double number : {2.0, -3.0}) {
    const dt::Tensor at = dt::Tensor::of({number}, dt::float64).reshape({});
    const double value = number > 0 ? std::log(number) * number : number * number;
    const double slope = number > 0 ? std::log(number) + 1 : 2 * number;
    const double second = number > 0 ? 1 / number : 2;
    CHECK(dt::eval(f, at).item() == doctest::Approx(value));
    CHECK(dt::grad(f)(at).item() == doctest::Approx(slope));
    CHECK(dt::grad(dt::grad(f))(at).item() == doctest::Approx(second));
    CHECK(dt::jvp(dt::grad(f), at, dt::Tensor::of({1.0}, dt::float64).reshape({})).tangent.item() ==
          doctest::Approx(second));
  }
  const dt::Tensor both = dt::Tensor::of({2.0, -3.0}, dt::float64);
  const dt::Tensor slopes = dt::vmap(dt::grad(f))(both);
  CHECK(slopes.at({0}) == doctest::Approx(std::log(2.0) + 1));
  CHECK(slopes.at({1}) == doctest::Approx(-6));
}

TEST_CASE("forward mode through a scan takes memory that does not grow with the steps") {
  const auto peak = [](std::int64_t steps) {
    dt::Graph g;
    const dt::Var x = g.input("x", {64});
    const dt::Var v = g.input("v", {64});
    const dt::Var y = dt::fori(0, steps, x, [](dt::Var, dt::Var s) { return dt::sin(s) * 1.1; });
    const dt::Var dy = dt::forward(y, {x}, {v});
    return dt::compile({y, dy}).memory().arena_bytes;
  };
  CHECK(peak(10) == peak(10000));
}

TEST_CASE("a loop that is differentiated runs once for its values") {
  dt::Graph g;
  const dt::Var x = g.input("x", {8});
  const dt::Var y = dt::sum(dt::fori(0, 5, x, [](dt::Var, dt::Var s) { return dt::sin(s); }));
  const auto loops = [](const dt::Program& program) {
    std::size_t count = 0;
    for (const dt::PlanNode& node : program.plan().nodes) count += node.op->name() == "scan";
    return count;
  };
  const dt::Var slope = dt::reverse(y, {x})[x];
  const dt::Var moved = dt::forward(y, {x}, {x});
  CHECK(loops(dt::compile({y})) == 1);
  CHECK(loops(dt::compile({y, slope})) == 2);
  CHECK(loops(dt::compile({y, moved})) == 1);
}

TEST_CASE("a constant that a body captures is an operand, and has a derivative") {
  dt::Graph g;
  const dt::Var c = g.constant(0.5, dt::float64);
  const dt::Var s = g.constant(dt::Tensor::of({1.0, 2.0}, dt::float64));
  const dt::Var y =
      dt::sum(dt::fori(0, 3, s, [&](dt::Var, dt::Var x) { return x * c * 0.25 + c; })) + c;
  // x/8 + 1/2 three times; by c: 1 + sum over steps of (x_t / 4 + 1) (1/8)^(2 - t).
  double expected = 1;
  for (double x : {1.0, 2.0})
    for (int t = 0; t < 3; ++t, x = x / 8 + 0.5) expected += (x / 4 + 1) * std::pow(0.125, 2 - t);
  CHECK(dt::eval(dt::reverse(y, {c})[c]).item() == doctest::Approx(expected).epsilon(1e-14));
  CHECK(dt::eval(dt::forward(y, {c}, {g.constant(1.0, dt::float64)})).item() ==
        doctest::Approx(expected).epsilon(1e-14));
}

TEST_CASE("a function with a rule of its own in a body, of which not all arguments move") {
  const auto product =
      dt::custom_jvp([](dt::Var a, dt::Var b) { return a * b; },
                     [](std::span<const dt::Var> x, dt::Var, std::span<const dt::Var> v) {
                       return v[0] * x[1] + x[0] * v[1];
                     });
  const auto f = [&](const dt::Keep& keep) {
    return [&, keep](dt::Var x) {
      const dt::Var c = x.graph().constant(dt::Tensor::of({0.5, 2.0}, dt::float64));
      return dt::sum(dt::fori(
          0, 4, x, [&](dt::Var, dt::Var s) { return dt::sin(product(s, c)); }, keep));
    };
  };
  const auto plain = [](dt::Var x) {
    const dt::Var c = x.graph().constant(dt::Tensor::of({0.5, 2.0}, dt::float64));
    for (int i = 0; i < 4; ++i) x = dt::sin(x * c);
    return dt::sum(x);
  };
  const dt::Tensor at = dt::Tensor::of({0.3, 0.6}, dt::float64);
  CHECK(dt::all_close(dt::grad(f({}))(at), dt::grad(plain)(at), 1e-14));
  CHECK(dt::all_close(dt::grad(f({.states = 2}))(at), dt::grad(plain)(at), 1e-14));
}

TEST_CASE("a loop is linearized once, and its linear map has a transpose") {
  const auto x = point();
  for (const dt::Keep& keep : std::vector<dt::Keep>{{}, {.states = 2}}) {
    const auto loop = [&](std::span<const dt::Var> in) {
      return dt::scan([&](dt::Var h, dt::Var v) { return cell(h, v, in[2]).first; }, in[0], in[1],
                      {.keep = keep});
    };
    const auto plain = [](std::span<const dt::Var> in) {
      dt::Var h = in[0];
      for (std::int64_t t = 0; t < in[1].shape()[0]; ++t) h = cell(h, in[1][t], in[2]).first;
      return h;
    };
    const dt::Linearization linear = dt::linearize(loop, x);
    std::vector<dt::Tensor> v;
    for (const dt::Tensor& t : x) v.push_back(drawn(30 + v.size(), t.shape()));
    const dt::Tensor c = drawn(40, x[0].shape());
    CHECK(dt::all_close(linear.linear(v), dt::jvp(plain, x, v).tangent, 1e-12));
    const auto by_all = linear.linear.transpose_all(c);
    const auto pulled = dt::vjp(plain, x).pullback.all(c);
    check_close(by_all, pulled, 1e-12);
  }
}

TEST_CASE("members of a batch that have ended do no harm to matrices of their steps") {
  const auto f = [](dt::Var x) {
    const dt::Var eye = x.graph().constant(dt::eye(2).to(dt::float64));
    return dt::while_loop([](dt::Var s) { return s < 4.0; },
                          [&](dt::Var s) { return dt::sum(dt::qr(eye * s).r) + s * 0.3; }, x,
                          {.most = 6})
        .state;
  };
  const dt::Tensor x = dt::Tensor::of({1, 3, 5}, dt::float64);
  const dt::Tensor slopes = dt::vmap(dt::grad(f))(x);
  for (std::int64_t i = 0; i < 3; ++i)
    CHECK(slopes.at({i}) == doctest::Approx(dt::grad(f)(x.row(i)).item()).epsilon(1e-12));
}

TEST_CASE("loops: explain and profile tell the steps of bodies, and their time once") {
  dt::Graph g;
  const dt::Var x = g.input("x", {64, 64}, dt::float64);
  const dt::Var y = dt::fori(0, 5, {x}, [&](dt::Var, std::span<const dt::Var> s) {
    const dt::Var next = dt::fori(0, 3, {s[0]}, [&](dt::Var, std::span<const dt::Var> t) {
      return std::vector<dt::Var>{dt::matmul(t[0], x)};
    })[0];
    return std::vector<dt::Var>{dt::tanh(next)};
  })[0];
  dt::Program program = dt::compile({y});
  const std::string text = program.explain();
  CHECK_MESSAGE(has(text, "0.0.0"), text);
  CHECK(has(text, "up to 5 times 2 steps"));
  program.profile(true);
  for (int i = 0; i < 2; ++i) program.run({{x, dt::zeros({64, 64}, dt::float64)}});
  const dt::Profile profile = program.profiled();
  REQUIRE(profile.steps.size() == 4);
  const auto at = [&](std::size_t i) {
    return std::pair(profile.steps[i].depth, profile.steps[i].calls);
  };
  CHECK(at(0) == std::pair<std::uint32_t, std::uint64_t>(0, 2));
  CHECK(at(1) == std::pair<std::uint32_t, std::uint64_t>(1, 10));
  CHECK(at(2) == std::pair<std::uint32_t, std::uint64_t>(2, 30));
  CHECK(at(3) == std::pair<std::uint32_t, std::uint64_t>(1, 10));
  CHECK(profile.total_ns() == profile.steps[0].total_ns);
  CHECK(profile.steps[1].total_ns + profile.steps[3].total_ns <= profile.steps[0].total_ns);
  double sum = 0, flops = 0;
  for (const dt::OperatorProfile& entry : profile.operators()) {
    sum += entry.total_ns;
    flops += entry.cost.flops;
  }
  CHECK(sum == doctest::Approx(profile.total_ns()));
  CHECK(flops >= 30 * 2.0 * 64 * 64 * 64);
  CHECK(flops < 31 * 2.0 * 64 * 64 * 64);
  CHECK(has(profile.table(), "> > matmul"));
  CHECK(profile.events.size() == 2 + 20 + 30);
  CHECK(has(profile.trace(), "\"name\":\"matmul\""));
}
