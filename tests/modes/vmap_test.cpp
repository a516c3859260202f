// A function of one member as a function of a batch, held to a loop over members.
#include <dualtape/modes/vmap.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include <dualtape/dualtape.hpp>
#include <tests/errors.hpp>
#include <tests/modes/drawn.hpp>

namespace dt = dualtape;
using dualtape::testing::error_of;
using dualtape::testing::has;
using dualtape::testing::numbers;

namespace {

// A user's operator that says nothing of batches.
struct Half {
  static constexpr auto name = "test_half_of_all";
  static constexpr auto doc = "half of the sum of all elements, and twice each";
  static void infer(dt::Inference& inference) {
    inference.require_count(1);
    inference.out = {{dt::Shape{}, inference.dtype(0)}, inference.in[0]};
  }
  static void apply(std::span<const dt::Tensor> in, std::span<dt::Tensor> out,
                    const dt::Attributes&) {
    double total = 0;
    const dt::Tensor x = in[0].to(dt::float64);
    for (const double value : x.data<double>()) total += value;
    out[0].fill(total / 2);
    dt::Tensor twice = x.copy();
    for (double& value : twice.data<double>()) value *= 2;
    out[1].assign(twice.to(out[1].dtype()));
  }
  static dt::MaybeVar transpose(const dt::NodeView& node, std::size_t,
                                std::span<const dt::MaybeVar> c) {
    dt::MaybeVar total;
    if (c[0]) total = dt::broadcast_to(*c[0] * 0.5, node.in[0].shape());
    if (c[1]) total = total ? *total + *c[1] * 2 : *c[1] * 2;
    return total;
  }
  static std::vector<dt::Case> cases() {
    return {{"matrix", {dt::Arg{{2, 3}}}, [](std::span<const dt::Var> in) {
               return dt::apply_all(dt::require_op(name), std::vector<dt::In>{in[0]});
             }}};
  }
};
constexpr dt::Linear<Half> half;

}  // namespace

TEST_CASE("vmap runs a function of a row on every row, over any axis") {
  const dt::Tensor rows = numbers({4, 3}, 1);
  const auto norm = [](dt::Var row) { return dt::sqrt(dt::sum(row * row)); };
  const dt::Tensor all = dt::vmap(norm)(rows);
  CHECK(all.shape() == dt::Shape{4});
  for (std::int64_t i = 0; i < 4; ++i)
    CHECK(all.at({i}) == doctest::Approx(dt::eval(norm, rows.row(i)).item()));
  const dt::Tensor columns = dt::vmap(norm, {.in = {1}})(rows);
  CHECK(columns.shape() == dt::Shape{3});
  const dt::Tensor last = dt::vmap(norm, {.in = {-1}})(rows);
  CHECK(dt::identical(columns, last));

  const auto twice = [](dt::Var row) { return 2 * row; };
  const dt::Tensor turned = dt::vmap(twice, {.out = {1}})(rows);
  CHECK(turned.shape() == dt::Shape{3, 4});
  CHECK(turned.at({2, 1}) == 2 * rows.at({1, 2}));
}

TEST_CASE("arguments without an axis, captured Vars and Parameters are the same for all members") {
  const dt::Parameter w{"w", numbers({3, 2}, 2)};
  const dt::Tensor x = numbers({5, 3}, 3);
  const dt::Tensor shift = numbers({2}, 4);
  const auto layer = [&](dt::Var row, dt::Var b) {
    return dt::reshape(dt::matmul(dt::reshape(row, {1, 3}), w), {2}) + b;
  };
  const dt::Tensor all = dt::vmap(layer, {.in = {0, std::nullopt}})(x, shift);
  const dt::Tensor plain =
      dt::eval([&](dt::Var a, dt::Var b) { return dt::matmul(a, w) + b; }, {x, shift});
  CHECK(dt::all_close(all, plain, 1e-13, 1e-13));
}

TEST_CASE("per-example gradients are the gradients of the examples") {
  const dt::Tensor w = numbers({3, 2}, 5);
  const dt::Tensor x = numbers({4, 2, 3}, 6);
  const auto loss = [](dt::Var a, dt::Var b) { return dt::sum(dt::tanh(dt::matmul(b, a))); };
  const auto [by_w, by_x] = dt::vmap(dt::grad(loss), {.in = {std::nullopt, 0}})(w, x);
  REQUIRE(by_w.shape() == dt::Shape{4, 3, 2});
  REQUIRE(by_x.shape() == x.shape());
  for (std::int64_t i = 0; i < 4; ++i) {
    const auto [gw, gx] = dt::grad(loss)(w, x.row(i));
    CHECK(dt::all_close(by_w.row(i), gw, 1e-12, 1e-13));
    CHECK(dt::all_close(by_x.row(i), gx, 1e-12, 1e-13));
  }
  const auto values = dt::vmap(dt::value_and_grad([&](dt::Var b) { return dt::sum(b * b); }))(x);
  CHECK(values.value.shape() == dt::Shape{4});
  CHECK(dt::all_close(values.gradient, dt::eval([](dt::Var b) { return 2 * b; }, x)));
}

TEST_CASE("vmap nests with itself and with both modes") {
  const dt::Tensor a = numbers({4, 3}, 7);
  const dt::Tensor b = numbers({5, 3}, 8);
  const auto distance = [](dt::Var p, dt::Var q) { return dt::sum(dt::square(p - q)); };
  const auto pairs =
      dt::vmap(dt::vmap(distance, {.in = {std::nullopt, 0}}), {.in = {0, std::nullopt}});
  const dt::Tensor all = pairs(a, b);
  REQUIRE(all.shape() == dt::Shape{4, 5});
  double total = 0;
  for (std::int64_t i = 0; i < 4; ++i)
    for (std::int64_t j = 0; j < 5; ++j) {
      const double one = dt::eval(distance, {a.row(i), b.row(j)}).item();
      CHECK(all.at({i, j}) == doctest::Approx(one));
      total += one;
    }
  const auto sum_of_pairs = [&](dt::Var p, dt::Var q) { return dt::sum(pairs(p, q)); };
  CHECK(dt::eval(sum_of_pairs, {a, b}).item() == doctest::Approx(total));
  const dt::CheckReport report = dt::check_gradients(
      [&](std::span<const dt::Var> in) -> std::vector<dt::Var> { return {pairs(in[0], in[1])}; },
      {dt::Arg{{2, 3}}, dt::Arg{{3, 3}}});
  CHECK_MESSAGE(report.ok(), dt::to_string(report));
  // Derivatives inside, derivatives outside, and a batch around both.
  const auto slope = [&](dt::Var p) {
    return dt::vmap(dt::grad([](dt::Var q) { return dt::sum(dt::exp(q) * q); }))(p);
  };
  const dt::CheckReport nested = dt::check_gradients(
      [&](std::span<const dt::Var> in) -> std::vector<dt::Var> { return {slope(in[0])}; },
      {dt::Arg{{2, 3}}});
  CHECK_MESSAGE(nested.ok(), dt::to_string(nested));
}

TEST_CASE("one net with many sets of weights is an ensemble") {
  const dt::Mlp mlp({3, 4, 2}, dt::Key{1});
  const std::vector<dt::Parameter> weights = mlp.parameters();
  const auto net = dt::functional([&](dt::Var x) { return mlp(x); }, weights);
  const dt::Tensor x = dt::normal(dt::Key{2}, {5, 3});
  std::vector<dt::Tensor> in;
  dt::VmapOptions options;
  for (const dt::Parameter& weight : weights) {
    dt::Ints sizes = weight.shape().vector();
    sizes.insert(sizes.begin(), 2);
    in.push_back(dt::normal(dt::Key{3}.fold(in.size()), dt::Shape(sizes)));
    options.in.emplace_back(0);
  }
  in.push_back(x);
  options.in.emplace_back(std::nullopt);
  const dt::Tensor all = dt::vmap(net, options)(in);
  REQUIRE(all.shape() == dt::Shape{2, 5, 2});
  for (std::int64_t member = 0; member < 2; ++member) {
    for (std::size_t i = 0; i < weights.size(); ++i) {
      dt::Parameter weight = weights[i];
      weight.set(in[i].row(member));
    }
    const dt::Tensor alone = dt::eval([&](dt::Var v) { return mlp(v); }, x);
    CHECK(dt::all_close(all.row(member), alone, 1e-5, 1e-6));
  }
  dt::Graph g;
  const dt::Var a = g.input("a", {2}), b = g.input("b", {2}), c = g.input("c", {3});
  const dt::Var y = dt::exp(a) + 1;
  CHECK(dt::substitute({y}, {b}, {a})[0] == y);
  CHECK(has(error_of<dt::ShapeError>([&] { dt::substitute({y}, {a}, {c}); }), "vmap_test.cpp"));
}

TEST_CASE("draws are the same for all members unless each has a key of its own") {
  const dt::Tensor x = dt::zeros({3, 2}, dt::float64);
  const auto shared = [](dt::Var row) {
    return row + dt::random_normal(row.graph(), dt::Key{3}, {2}, 0, 1, dt::float64);
  };
  const dt::Tensor same = dt::vmap(shared)(x);
  CHECK(dt::identical(same.row(0), same.row(2)));
  const dt::Tensor keys = dt::Tensor::of({11, 12, 13});
  const auto own = [](dt::Var key) { return dt::random_normal(key, {2}, 0, 1, dt::float64); };
  const dt::Tensor each = dt::vmap(own)(keys);
  for (std::int64_t i = 0; i < 3; ++i)
    CHECK(dt::identical(each.row(i), dt::eval(own, keys.row(i))));
  CHECK(!dt::identical(each.row(0), each.row(1)));
}

TEST_CASE("an operator without a rule loops over the members, in every mode") {
  const auto both = [](dt::Var x) -> std::vector<dt::Var> {
    return dt::apply_all(half.op(), std::vector<dt::In>{x * x});
  };
  const dt::Tensor x = numbers({3, 2, 2}, 9);
  const std::vector<dt::Tensor> all = dt::vmap(both)(x);
  CHECK(all[0].shape() == dt::Shape{3});
  CHECK(all[1].shape() == x.shape());
  CHECK(all[1].at({1, 0, 1}) == doctest::Approx(2 * x.at({1, 0, 1}) * x.at({1, 0, 1})));
  const dt::CheckReport report = dt::check_gradients(
      [&](std::span<const dt::Var> in) -> std::vector<dt::Var> { return dt::vmap(both)(in[0]); },
      {dt::Arg{{3, 2}}});
  CHECK_MESSAGE(report.ok(), dt::to_string(report));
  const dt::CheckReport op = dt::check_entry(dt::entry_of(half.op()));
  CHECK_MESSAGE(op.ok(), dt::to_string(op));
}

TEST_CASE("checkpoints keep their node inside of vmap") {
  const dt::Tensor x = numbers({3, 4}, 10);
  const auto f = [](dt::Var row) {
    return dt::checkpoint(
        [](std::span<const dt::Var> in) -> std::vector<dt::Var> {
          return {dt::sum(dt::exp(in[0]) * in[0])};
        },
        {row})[0];
  };
  const dt::Tensor slopes = dt::vmap(dt::grad(f))(x);
  for (std::int64_t i = 0; i < 3; ++i)
    CHECK(dt::all_close(slopes.row(i), dt::grad(f)(x.row(i)), 1e-12, 1e-12));
}

TEST_CASE("batches of one member, of none, and results that depend on no member") {
  const auto f = [](dt::Var row) -> std::vector<dt::Var> {
    return {dt::sum(row), row.graph().constant(dt::ones({2}, dt::float64))};
  };
  for (const std::int64_t size : {0, 1}) {
    const std::vector<dt::Tensor> all = dt::vmap(f)(numbers({size, 3}, 11));
    CHECK(all[0].shape() == dt::Shape{size});
    CHECK(all[1].shape() == dt::Shape{size, 2});
  }
  const std::vector<dt::Tensor> once = dt::vmap(f, {.out = {0, std::nullopt}})(numbers({4, 3}, 11));
  CHECK(once[1].shape() == dt::Shape{2});
  const dt::Tensor none =
      dt::vmap([](dt::Var key) { return dt::random_uniform(key, {2}); })(dt::zeros({0}, dt::int64));
  CHECK(none.shape() == dt::Shape{0, 2});
}

TEST_CASE("operators without a derivative are batched like all others") {
  const dt::Tensor x = numbers({4, 5}, 12);
  const dt::Tensor places = dt::vmap([](dt::Var row) { return dt::argmax(row, 0); })(x);
  const dt::Tensor wanted = dt::eval([](dt::Var all) { return dt::argmax(all, 1); }, x);
  CHECK(dt::identical(places, wanted));
  const dt::Tensor floors = dt::vmap([](dt::Var row) { return dt::floor(3 * row); })(x);
  CHECK(dt::identical(floors, dt::eval([](dt::Var all) { return dt::floor(3 * all); }, x)));
}

TEST_CASE("what the library's transformations return is a function for the others") {
  const auto f = [](dt::Var a, dt::Var b) { return dt::sum(a * a * b); };
  const dt::Tensor a = numbers({3}, 20), b = numbers({3}, 21);
  const auto compiled = dt::jit(f);
  const auto [by_a, by_b] = dt::grad(compiled)(a, b);
  CHECK(dt::all_close(by_a, dt::grad(f)(a, b)[0]));
  CHECK(dt::all_close(by_b, dt::grad(f)(a, b)[1]));
  const auto rows = dt::vmap(f);
  const dt::Tensor p = numbers({2, 3}, 22), q = numbers({2, 3}, 23);
  CHECK(dt::identical(dt::jit(rows)(p, q), rows(p, q)));
  const auto product = [](dt::Var x, dt::Var y) { return x * y; };
  const auto custom =
      dt::custom_jvp(product, [](std::span<const dt::Var> x, dt::Var, std::span<const dt::Var> dx) {
        return x[1] * dx[0] + x[0] * dx[1];
      });
  CHECK(dt::identical(dt::eval(custom, {a, b}), dt::eval(product, {a, b})));
  const auto [ja, jb] = dt::jacobian(custom)(a, b);
  CHECK(ja.at({1, 1}) == b.at({1}));
  CHECK(jb.at({2, 2}) == a.at({2}));
}

TEST_CASE("one matrix for all members meets their vectors in one product, and is factored once") {
  const dt::Tensor m = numbers({4, 3}, 24);
  const dt::Tensor square = numbers({3, 3}, 25);
  const dt::Tensor x = numbers({5, 3}, 26);
  const auto product = [](dt::Var a, dt::Var v) { return dt::matmul(a, v); };
  const auto solution = [](dt::Var a, dt::Var v) { return dt::solve(a, v); };
  const dt::VmapOptions one{.in = {std::nullopt, 0}};
  const dt::Tensor products = dt::vmap(product, one)(m, x);
  const dt::Tensor solutions = dt::vmap(solution, one)(square, x);
  for (std::int64_t i = 0; i < 5; ++i) {
    CHECK(dt::all_close(products.row(i), dt::eval(product, {m, x.row(i)}), 1e-13, 1e-14));
    CHECK(dt::all_close(solutions.row(i), dt::eval(solution, {square, x.row(i)}), 1e-11, 1e-12));
  }
}

TEST_CASE("a member depends on nothing that lies before its batch") {
  dt::Graph g;
  const dt::Var x = g.input("x", {2, 3}, dt::float64), w = g.input("w", {3, 3}, dt::float64);
  const dt::Var h = dt::matmul(x, w);
  const auto by_w = [&](dt::Var row) {
    return dt::reverse(dt::sum(row * row), {w}, dt::Unreachable::zero)[w];
  };
  const dt::Var slopes = dt::vmap(by_w)(h);
  const dt::Outputs out =
      dt::compile({slopes}).run({{x, numbers({2, 3}, 30)}, {w, numbers({3, 3}, 31)}});
  CHECK(dt::identical(out[slopes], dt::zeros({2, 3, 3}, dt::float64)));
  dt::Var leaked;
  dt::vmap([&](dt::Var row) { return leaked = 2 * row; })(h);
  CHECK(has(error_of<dt::GraphError>([&] { dt::compile({leaked}); }), "taken out of the function"));
}

TEST_CASE("a function of weights leaves its arguments alone, though they depend on the weights") {
  const dt::Parameter w{"w", numbers({3}, 32)};
  const auto net = dt::functional([&](dt::Var q) { return q * w; }, {w});
  const dt::Tensor a = numbers({3}, 33), q = numbers({3}, 34);
  const dt::Tensor y = dt::eval([&](dt::Var now, dt::Var v) { return net(now, v * w); }, {a, q});
  CHECK(dt::all_close(y, dt::eval([&](dt::Var now, dt::Var v) { return now * (v * w); }, {a, q})));
}

TEST_CASE("one table for all members is not repeated for their indices") {
  const dt::Tensor table = numbers({50, 4}, 35);
  dt::Graph g;
  const dt::Var t = g.input("t", {50, 4}, dt::float64), i = g.input("i", {100, 2, 4}, dt::int64);
  const dt::Var y = dt::vmap([&](dt::Var index) { return dt::gather(t, index, 0); })(i);
  dt::Program program = dt::compile({y});
  const auto all = static_cast<std::size_t>(table.bytes()) * 100;
  CHECK(program.memory().arena_bytes < all / 2);
}

TEST_CASE("layers of windows take batches of no members") {
  const auto f = [](dt::Var x) { return dt::max_pool2d(dt::avg_pool2d(x, 2), 1); };
  CHECK(dt::vmap(f)(dt::zeros({0, 1, 2, 4, 4})).shape() == dt::Shape{0, 1, 2, 2, 2});
  const auto norm = [](dt::Var x) {
    const dt::Var one = x.graph().constant(dt::ones({2}));
    return dt::batch_norm(x, one, one).y;
  };
  CHECK(dt::vmap(norm)(dt::zeros({0, 3, 2})).shape() == dt::Shape{0, 3, 2});
}

TEST_CASE("a function of a net's weights says which parameters it does not read") {
  const dt::Mlp mlp({3, 2}, dt::Key{1}), other({3, 2}, dt::Key{2});
  const auto wrong = dt::functional([&](dt::Var x) { return mlp(x); }, other.parameters());
  const std::string text = error_of<dt::GraphError>([&] {
    dt::vmap(wrong)({dt::zeros({1, 3, 2}), dt::zeros({1, 2}), dt::zeros({1, 4, 3})});
  });
  CHECK(has(text, "does not read"));
  CHECK(has(text, "vmap_test.cpp"));
}

TEST_CASE("misuse of vmap names the user's line") {
  const dt::Tensor a = numbers({4, 3}, 13);
  const dt::Tensor b = numbers({5, 3}, 14);
  const auto add = [](dt::Var x, dt::Var y) { return x + y; };
  const auto refused = [](auto&& act, const char* part) {
    const std::string text = error_of<dt::Error>(act);
    CHECK(has(text, part));
    CHECK(has(text, "vmap_test.cpp"));
  };
  refused([&] { dt::vmap(add)(a, b); }, "5 members on axis 0, the first batch 4");
  refused([&] { dt::vmap(add, {.in = {2, 0}})(a, a); }, "axis 2 is asked for");
  refused([&] { dt::vmap(add, {.in = {0}})(a, a); }, "1 axes for 2 arguments");
  refused([&] { dt::vmap(add, {.in = {std::nullopt, std::nullopt}})(a, a); }, "no argument");
  refused([&] { dt::vmap(add, {.out = {std::nullopt}})(a, a); }, "is not the same for all");
  refused([&] { dt::vmap(add, {.out = {5}})(a, a); }, "axis 5 is asked for");
  refused([&] { dt::vmap(add)(dt::zeros({}), dt::zeros({})); }, "which has 0 axes");
  dt::Graph other;
  const dt::Var foreign = other.constant(dt::ones({3}, dt::float64));
  refused([&] { dt::vmap([&](dt::Var) { return foreign; })(a); }, "does not belong");
  refused([&] { dt::vmap([](dt::Var) { return dt::Var{}; })(a); }, "what the function returns");
  dt::Var (*null)(dt::Var) = nullptr;
  CHECK_THROWS_AS(dt::vmap(null), dt::GraphError);
  auto moved = dt::vmap(add);
  const auto kept = std::move(moved);
  CHECK(kept(a, a).shape() == a.shape());
}
