#include <dualtape/models/sequential.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <string>

#include <dualtape/core/program.hpp>
#include <dualtape/models/layers.hpp>
#include <dualtape/models/normalise.hpp>
#include <dualtape/models/trainer.hpp>
#include <dualtape/ops/activations.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/losses.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/random.hpp>
#include <tests/errors.hpp>

using namespace dualtape;
using dualtape::testing::error_of;

namespace {

// Layers of one's own: the least there can be, and one with all there is.
struct Twice {
  Var operator()(Var x) const { return 2 * x; }
};

struct Everything {
  Parameter scale{"scale", Tensor(3.0)};
  Parameter seen{"seen", Tensor(0.0)};

  Var operator()(Var x, nn::Context& context) const {
    if (!context.training) return x + x.graph().read(seen);
    context.updates.push_back(assign(seen, x.graph().read(seen) + 1));
    return x * scale + random_rademacher(context.next_key(), x.shape());
  }
  std::vector<Parameter> parameters() const { return {scale}; }
  std::vector<Parameter> buffers() const { return {seen}; }
};

}  // namespace

static_assert(nn::LayerLike<Twice> && nn::LayerLike<Everything> && nn::LayerLike<nn::Linear>);
static_assert(nn::LayerLike<nn::Sequential> && nn::LayerLike<nn::Residual>);
static_assert(!nn::LayerLike<std::string>);

TEST_CASE("a sequence runs structs and functions one after the other") {
  const auto shift = [](Var x) { return x + 1; };
  const nn::Sequential net{Twice{}, dualtape::tanh, shift, nn::Sequential{relu, Twice{}}};
  Graph g;
  CHECK(eval(net(g.constant(Tensor(0.3)))).item() == doctest::Approx(2 * (std::tanh(0.6) + 1)));
  CHECK(net.parameters().empty());
  const Var x = g.constant(Tensor{1, 2});
  CHECK(nn::Sequential({})(x) == x);
}

TEST_CASE("training and evaluation differ where a layer wants them to") {
  const Everything layer;
  const nn::Sequential net{layer, Twice{}};
  CHECK(net.parameters() == std::vector<Parameter>{layer.scale});
  CHECK(net.buffers() == std::vector<Parameter>{layer.seen});
  CHECK(nn::state_of(net) == std::vector<Parameter>{layer.scale, layer.seen});
  CHECK(net.parameter_count() == 1);

  Graph g;
  const Var x = g.input("x", {4});
  nn::Context context{.training = true, .key = g.input("key", {}, int64)};
  const Var y = net(x, context);
  REQUIRE(context.updates.size() == 1);
  Program step = compile({y}, context.updates);
  const Tensor ones_now = ones({4});
  const auto run = [&](std::int64_t key) {
    return step.run({{x, ones_now}, {context.key, Tensor(key)}})[y].copy();
  };
  const Tensor first = run(1);
  for (const float value : first.data<float>()) CHECK((value == 8 || value == 4));
  CHECK(identical(first, run(1)));
  bool differs = false;
  for (std::int64_t key = 2; key < 10; ++key) differs |= !identical(first, run(key));
  CHECK(differs);
  CHECK(layer.seen.value().item() == 10);
  // Evaluation reads what training left.
  CHECK(identical(eval(net.evaluate(g.constant(ones_now))), Tensor{22, 22, 22, 22}));
}

TEST_CASE("every draw in a context has a key of its own, equal in equal models") {
  Graph g;
  const Var key = g.constant(Key{5}.to_tensor());
  nn::Context a{.training = true, .key = key};
  nn::Context b{.training = true, .key = key};
  const Tensor first = eval(a.next_key());
  CHECK(!identical(first, eval(a.next_key())));
  CHECK(identical(first, eval(b.next_key())));
  CHECK(identical(first, Key{5}.fold(std::uint64_t{0}).to_tensor()));

  nn::Context none{.training = true};
  const std::string text = error_of<GraphError>([&] { none.next_key(); });
  CHECK(text.find("context.key") != std::string::npos);
  CHECK(text.find("sequential_test.cpp") != std::string::npos);
}

TEST_CASE("errors inside a sequence name the layer and the line of the call") {
  const nn::Sequential net{nn::Linear("in", 4, 3, Key{1}), relu, nn::Linear("out", 2, 3, Key{1})};
  Graph g;
  const Var x = g.input("x", {5, 4});
  const std::string line = "sequential_test.cpp:" + std::to_string(__LINE__ + 1);
  const std::string text = error_of<ShapeError>([&] { net(x); });
  CHECK(text.find(line) != std::string::npos);
  CHECK_THROWS_AS(nn::Layer(static_cast<Var (*)(In)>(nullptr)), ValueError);
}

TEST_CASE("a layer in two places is one layer") {
  const nn::Linear shared("shared", 3, 3, Key{1});
  const nn::Sequential net{shared, relu, shared};
  CHECK(net.parameters().size() == 2);
  CHECK(net.parameter_count() == 12);
  // Two of one name are a mistake: they would start from the same numbers.
  const std::string line = "sequential_test.cpp:" + std::to_string(__LINE__ + 2);
  const std::string text = error_of<ValueError>([&] {
    nn::Sequential{shared, nn::Linear("shared", 3, 3, Key{1})};
  });
  CHECK(text.find("'shared.weight'") != std::string::npos);
  CHECK(text.find(line) != std::string::npos);
  // A copy of the net shares it, too.
  const nn::Sequential copy = net;
  CHECK(copy.parameters() == net.parameters());
}

TEST_CASE("a residual adds what its layers give to what they got") {
  const nn::Residual plain(Twice{});
  Graph g;
  CHECK(identical(eval(plain(g.constant(Tensor{1, 2}))), Tensor{3, 6}));
  const nn::Residual shortcut(Twice{}, nn::Layer([](Var x) { return -x; }));
  CHECK(identical(eval(shortcut(g.constant(Tensor{1, 2}))), Tensor{1, 2}));
  const nn::Residual narrow(nn::Linear("one", 2, 1, Key{1}));
  const std::string text = error_of<ShapeError>([&] { narrow(g.input("x", {5, 2})); });
  CHECK(text.find("(5, 1)") != std::string::npos);
  CHECK(text.find("(5, 2)") != std::string::npos);
  CHECK(text.find("sequential_test.cpp") != std::string::npos);
  const nn::Residual with_weights(nn::Linear("a", 2, 2, Key{1}), nn::Linear("b", 2, 2, Key{1}));
  CHECK(nn::count_of(with_weights.parameters()) == 12);
}

TEST_CASE("what trains otherwise than it evaluates is not called without a context") {
  Graph g;
  const Var x = g.constant(Tensor{{1, 2}, {3, 4}});
  const nn::Sequential dropping{Twice{}, nn::Dropout(0.5)};
  const nn::Sequential deep{nn::Residual(nn::Sequential{dropping})};
  const auto check = [&](const auto& model, const Tensor& evaluated) {
    CHECK(model.needs_context());
    const std::string line = "sequential_test.cpp:" + std::to_string(__LINE__ + 1);
    const std::string text = error_of<GraphError>([&] { model(x); });
    CHECK(text.find("nn::Context& context") != std::string::npos);
    CHECK(text.find("evaluate(x)") != std::string::npos);
    CHECK(text.find(line) != std::string::npos);
    nn::Context evaluation;
    CHECK(identical(eval(model(x, evaluation)), evaluated));
    CHECK(identical(eval(model.evaluate(x)), evaluated));
  };
  check(dropping, Tensor{{2, 4}, {6, 8}});
  check(nn::Layer(dropping), Tensor{{2, 4}, {6, 8}});
  check(nn::Residual(dropping), Tensor{{3, 6}, {9, 12}});
  check(deep, Tensor{{3, 6}, {9, 12}});
  check(nn::Residual(Twice{}, dropping), Tensor{{4, 8}, {12, 16}});
  // Nothing to be told where training and evaluation are one.
  const nn::Sequential plain{Twice{}, nn::Dropout(0), nn::Residual(nn::Sequential{Twice{}})};
  CHECK(!plain.needs_context());
  CHECK(identical(eval(plain(x)), Tensor{{6, 12}, {18, 24}}));
}

TEST_CASE("a trainer's objective that forgets the context of dropout is told so") {
  const nn::Sequential net{nn::Linear("in", 4, 3, Key{1}), nn::Dropout(0.5)};
  Sgd sgd;
  Trainer trainer([&](Var x, Var y) { return mse(net(x), y); }, net.parameters(), backpropagation(),
                  sgd);
  const Type rows{Shape{2, 4}, float32};
  const std::string text = error_of<GraphError>([&] {
    trainer.step_program(rows, {Shape{2, 3}, float32});
  });
  CHECK(text.find("nn::Context& context") != std::string::npos);
}

TEST_CASE("the parameters of several layers are listed in order and once") {
  const nn::Linear a("a", 2, 3, Key{1});
  const nn::Linear b("b", 3, 2, Key{1}, {.bias = false});
  const nn::BatchNorm1d norm("norm", 2);
  const auto names = [](const std::vector<Parameter>& all) {
    std::vector<std::string> texts;
    for (const Parameter& parameter : all) texts.push_back(parameter.name());
    return texts;
  };
  CHECK(names(nn::parameters_of(b, Twice{}, a, nn::Sequential{a, norm})) ==
        std::vector<std::string>{"b.weight", "a.weight", "a.bias", "norm.weight", "norm.bias"});
  CHECK(names(nn::buffers_of(a, norm, norm)) ==
        std::vector<std::string>{"norm.running_mean", "norm.running_var"});
  CHECK(nn::parameters_of().empty());
}

TEST_CASE("a hundred thousand residuals in a row are a loop") {
  const Parameter one("one", ones({1}));
  const auto step = [one](Var x) { return mul(x, one); };
  constexpr int many = 100'000;
  const nn::Sequential row(std::vector<nn::Layer>(many, nn::Residual(step)));
  Graph g;
  const std::size_t before = g.size();
  row(g.input("x", {1}));
  CHECK(g.size() - before >= many);
  CHECK(row.parameters().empty());
}

TEST_CASE("many parameters are listed in a moment") {
  std::vector<nn::Layer> layers;
  for (int i = 0; i < 20'000; ++i) layers.push_back(nn::RmsNorm("n" + std::to_string(i), 1));
  layers.push_back(layers.front());
  CHECK(nn::Sequential(layers).parameters().size() == 20'000);
}

TEST_CASE("layers nested deeper than the stack is safe with are refused") {
  nn::Layer layer(relu);
  int depth = 0;
  CHECK_THROWS_WITH_AS(
      [&] {
        for (; depth < 100'000; ++depth) layer = nn::Residual(layer);
      }(),
      doctest::Contains("nested more than 512 deep"), ValueError);
  CHECK(depth == 512);
  Graph g;
  const Var x = g.input("x", {1});
  CHECK(eval(layer(x), {{x, Tensor{2}}}).item() == 2 * 513);  // relu(x), and x once a residual
}

TEST_CASE("what was moved from is still the net, not the identity") {
  Graph g;
  const Var x = g.constant(Tensor{{1, 2}});
  const auto holds = [&](auto net) {
    const Tensor wanted = eval(net(x));
    // NOLINTBEGIN(bugprone-use-after-move): that is the matter
    auto moved = std::move(net);
    CHECK(identical(eval(net(x)), wanted));
    CHECK(identical(eval(moved(x)), wanted));
    moved = std::move(net);
    CHECK(identical(eval(net(x)), wanted));
    CHECK(net.parameters() == moved.parameters());
    // NOLINTEND(bugprone-use-after-move)
  };
  holds(nn::Sequential{nn::Linear("fc", 2, 2, Key{1}), Twice()});
  holds(nn::Residual(nn::Sequential{nn::Linear("fc", 2, 2, Key{1})}));
  holds(nn::Layer(nn::Linear("fc", 2, 2, Key{1})));
  holds(Mlp({2, 3, 2}, Key{1}));
}

TEST_CASE("a layer of an empty function is refused where it is made") {
  const std::function<Var(Var)> empty;
  Var (*null)(Var) = nullptr;
  Var (*of_in)(In) = nullptr;
  const auto refused = [](const auto& make) {
    const std::string text = testing::error_of<ValueError>(make);
    CHECK(testing::has(text, "empty or null"));
    CHECK(testing::has(text, "sequential_test.cpp:"));
  };
  refused([&] { nn::Layer layer(empty); });
  refused([&] { nn::Layer layer(null); });
  refused([&] { nn::Layer layer(of_in); });
  refused([&] { nn::Sequential net{nn::Linear("fc", 2, 2, Key{1}), empty}; });
  const nn::Layer full(std::function<Var(Var)>([](Var x) { return x + 1; }));
  Graph g;
  CHECK(eval(full(g.constant(Tensor{1}))).item() == 2);
}
