#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include <dualtape/dualtape.hpp>
#include <tests/errors.hpp>

namespace dt = dualtape;

namespace {

// A body with what each kind of operand can do: values that move and do not, products, captures.
std::pair<dt::Var, dt::Var> cell(dt::Var h, dt::Var x, dt::Var w) {
  const dt::Var next = dt::tanh(dt::matmul(h, w) + x);
  return {next, next * next + x};
}

dt::Var by_scan(std::span<const dt::Var> in) {
  const auto [last, out] =
      dt::scan([&](dt::Var h, dt::Var x) { return cell(h, x, in[2]); }, in[0], in[1]);
  return dt::sum(last * last) + dt::sum(dt::sin(out));
}

dt::Var unrolled(std::span<const dt::Var> in) {
  dt::Var h = in[0];
  std::vector<dt::Var> out;
  for (std::int64_t t = 0; t < in[1].shape()[0]; ++t) {
    const auto [next, y] = cell(h, in[1][t], in[2]);
    h = next;
    out.push_back(y);
  }
  return dt::sum(h * h) + dt::sum(dt::sin(dt::stack(out)));
}

dt::Tensor drawn(std::uint64_t number, dt::Shape shape) {
  return dt::normal(dt::Key{7}.fold(number), std::move(shape), 0.0, 1.0, dt::float64);
}
std::vector<dt::Tensor> point() {
  return {drawn(0, {2, 3}), drawn(1, {5, 2, 3}), drawn(2, {3, 3})};
}
// The tensor and two others of its kind.
dt::Tensor three(const dt::Tensor& t) {
  return dt::eval([](dt::Var x) { return dt::stack(std::vector{x, x * 0.5, x - 1.0}); }, t);
}

void check_close(const std::vector<dt::Tensor>& a, const std::vector<dt::Tensor>& b,
                 double tolerance = 1e-12) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(dt::all_close(a[i], b[i], tolerance, tolerance));
}

}  // namespace

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

namespace {

// sin(x w), which counts how often it is run for its value alone and for a step back.
std::vector<dt::Tensor> gradients(const dt::Keep& keep, std::int64_t steps) {
  const auto f = [&](std::span<const dt::Var> in) {
    return dt::sum(dt::scan([&](dt::Var h, dt::Var x) { return dt::sin(h * in[2]) + x; }, in[0],
                            in[1], {.keep = keep}));
  };
  return dt::grad(f)(std::vector<dt::Tensor>{drawn(3, {4}), drawn(4, {steps, 4}), drawn(5, {4})});
}

}  // namespace

TEST_CASE("gradients are the same whatever states are kept") {
  for (const std::int64_t steps : {1, 2, 3, 7, 30}) {
    const std::vector<dt::Tensor> all = gradients({}, steps);
    for (const std::int64_t states : {1, 2, 3, 5, 40})
      check_close(gradients({.states = states}, steps), all, 1e-13);
    for (const std::int64_t every : {1, 2, 7, 50})
      check_close(gradients({.every = every}, steps), all, 1e-13);
    check_close(gradients({.bytes = 200}, steps), all, 1e-13);
  }
}

TEST_CASE("schedules hold in every nesting of modes") {
  const auto scheduled = [](std::span<const dt::Var> in) {
    const auto [last, out] = dt::scan([&](dt::Var h, dt::Var x) { return cell(h, x, in[2]); },
                                      in[0], in[1], {.keep = {.states = 2}});
    return dt::sum(last * last) + dt::sum(dt::sin(out));
  };
  const auto x = point();
  check_close(dt::grad(scheduled)(x), dt::grad(unrolled)(x));
  const auto slope = [](auto f) {
    return [f](std::span<const dt::Var> in) {
      const dt::Var y = f(in);
      dt::Var total;
      for (std::size_t i = 0; i < in.size(); ++i) {
        const dt::Var part = dt::sum(dt::sin(dt::reverse(y, {in[i]})[in[i]]));
        total = i == 0 ? part : total + part;
      }
      return total;
    };
  };
  check_close(dt::grad(slope(scheduled))(x), dt::grad(slope(unrolled))(x), 1e-10);
  std::vector<dt::Tensor> v;
  for (const dt::Tensor& t : x) v.push_back(drawn(20 + v.size(), t.shape()));
  CHECK(dt::all_close(dt::jvp(slope(scheduled), x, v).tangent,
                      dt::jvp(slope(unrolled), x, v).tangent, 1e-10));
  check_close(dt::grad(slope(slope(scheduled)))(x), dt::grad(slope(slope(unrolled)))(x), 1e-8);
  // Each node's own rules, too: no schedule was lost on the way.
  dt::Graph g;
  std::vector<dt::Var> in;
  for (const dt::Tensor& t : x)
    in.push_back(g.input("x" + std::to_string(in.size()), t.shape(), t.dtype()));
  const dt::Program program = dt::compile({dt::reverse(slope(scheduled)(in), {in[0]})[in[0]]});
  CHECK(program.explain().find("states kept") != std::string::npos);
  std::vector<dt::Tensor> many;
  for (const dt::Tensor& t : x) many.push_back(three(t));
  const auto by_w = [](auto f) {
    return [f](std::span<const dt::Var> in2) { return dt::reverse(f(in2), {in2[2]})[in2[2]]; };
  };
  CHECK(dt::all_close(dt::vmap(by_w(scheduled))(many), dt::vmap(by_w(unrolled))(many), 1e-12));
}

TEST_CASE("a while loop that keeps a few states has the same derivatives") {
  const auto loop = [](const dt::Keep& keep) {
    return [keep](dt::Var a) {
      return dt::while_loop([&](dt::Var x) { return x < 50.0; },
                            [&](dt::Var x) { return x + dt::sin(x * a) * 0.1 + a; }, a * 0.5,
                            {.most = 500, .keep = keep})
          .state;
    };
  };
  const dt::Tensor at = dt::Tensor::of({0.7}, dt::float64).reshape({});
  const dt::Tensor slope = dt::grad(loop({}))(at);
  const dt::Tensor second = dt::grad(dt::grad(loop({})))(at);
  for (const std::int64_t states : {1, 3, 8, 200}) {
    CHECK(dt::all_close(dt::grad(loop({.states = states}))(at), slope, 1e-12));
    CHECK(dt::all_close(dt::grad(dt::grad(loop({.states = states})))(at), second, 1e-10));
  }
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

namespace {

// sin(x), which counts its runs. Its derivative does not run it.
std::int64_t runs = 0;
struct Watched {
  static constexpr auto name = "test_watched";
  static constexpr auto doc = "sin(x), counted";
  static void infer(dt::Inference& inference) { inference.out = {inference.in[0]}; }
  static void apply(std::span<const dt::Tensor> in, std::span<dt::Tensor> out,
                    const dt::Attributes&) {
    ++runs;
    const auto x = in[0].data<double>();
    const auto y = out[0].data<double>();
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = std::sin(x[i]);
  }
  static std::vector<dt::MaybeVar> jvp(const dt::NodeView& node,
                                       std::span<const dt::MaybeVar> tangents) {
    return {dt::cos(node.in[0]) * *tangents[0]};
  }
  static std::vector<dt::Case> cases() { return {}; }
};
constexpr dt::General<Watched> watched;

// Of a gradient alone, whose value nobody asks for.
std::int64_t runs_of_gradient(const std::function<dt::Var(dt::Var)>& f) {
  dt::Graph g;
  const dt::Var x = g.input("x", {2}, dt::float64);
  dt::Program program = dt::compile({dt::reverse(dt::sum(f(x)), {x})[x]});
  runs = 0;
  program.run({{x, dt::Tensor::of({0.5, 1.0}, dt::float64)}});
  return runs;
}

}  // namespace

TEST_CASE("reverse mode from few states runs as few steps again as can be") {
  const auto loop = [](std::int64_t steps, const dt::Keep& keep) {
    return runs_of_gradient([&](dt::Var x) {
      return dt::fori(
          0, steps, x, [](dt::Var, dt::Var s) { return watched(s); }, keep);
    });
  };
  CHECK(loop(256, {.states = 10}) == 690);
  CHECK(loop(256, {.states = 16}) == 597);
  CHECK(loop(256, {.states = 24}) == 486);
  CHECK(loop(100, {.states = 5}) == 316);
  CHECK(loop(256, {}) == 256);  // the recording loop runs each once
  CHECK(loop(256, {.every = 16}) == 15 * 16 + 256 - 16);
  const auto open = [](std::int64_t steps, std::int64_t states) {
    return runs_of_gradient([&](dt::Var x) {
      return dt::while_loop([&](std::span<const dt::Var> s) { return s[0] < steps; },
                            [](std::span<const dt::Var> s) {
                              return std::vector<dt::Var>{s[0] + 1, watched(s[1])};
                            },
                            {x.graph().constant(dt::Tensor(std::int64_t{0})), x},
                            {.most = 100000, .keep = {.states = states}})
          .state[1];
    });
  };
  // Only the end of the loop tells that there is no other step: the last is run for that, too.
  for (const std::int64_t states : {2, 3, 5, 8})
    for (std::int64_t steps = 1; steps <= (states + 1) * (states + 2) / 2; ++steps)
      CHECK(open(steps, states) == loop(steps, {.states = states}) + 1);
}

TEST_CASE("a chain of layers keeps what it is told to") {
  const auto f = [](std::int64_t layers, const dt::Keep& keep) {
    return [layers, keep](dt::Var x) {
      const std::vector<dt::Layer> all(
          static_cast<std::size_t>(layers),
          [&](std::span<const dt::Var> h) { return std::vector<dt::Var>{watched(h[0]) * 1.1}; });
      return dt::chain(all, {x}, keep)[0];
    };
  };
  const dt::Tensor at = dt::Tensor::of({0.5, 1.0}, dt::float64);
  const auto slope = [&](const dt::Keep& keep) {
    return dt::grad([&](dt::Var x) { return dt::sum(f(20, keep)(x)); })(at);
  };
  for (const dt::Keep& keep : std::vector<dt::Keep>{{.states = 1}, {.states = 4}, {.every = 3}})
    CHECK(dt::all_close(slope(keep), slope({}), 1e-14));
  CHECK(runs_of_gradient(f(20, {})) == 19);  // nobody asks for the value of the last
  for (const std::int64_t states : {1, 2, 4, 6})
    CHECK(runs_of_gradient(f(20, {.states = states})) == runs_of_gradient([&](dt::Var x) {
            return dt::fori(0, 20, x, [](dt::Var, dt::Var s) { return watched(s) * 1.1; },
                            {.states = states});
          }));
}
