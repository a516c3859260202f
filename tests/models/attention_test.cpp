#include <dualtape/models/attention.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include <dualtape/core/program.hpp>
#include <dualtape/modes/check.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/attention.hpp>
#include <dualtape/ops/creation.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/reduce.hpp>

using namespace dualtape;

namespace {

double largest(const Parameter& parameter) {
  double most = 0;
  for (const float value : parameter.value().data<float>())
    most = std::max(most, std::abs(static_cast<double>(value)));
  return most;
}

// The same sequences, but for the last place of each.
Tensor with_other_end(const Tensor& x) {
  Tensor other = x.copy();
  const auto values = other.data<float>();
  const auto size = static_cast<std::size_t>(x.size(2));
  const auto sequence = static_cast<std::size_t>(x.size(1)) * size;
  for (std::size_t i = 0; i < values.size(); ++i)
    if (i % sequence >= sequence - size) values[i] += 1;
  return other;
}

// Which places of the first sequence differ.
std::vector<bool> differing(const Tensor& a, const Tensor& b) {
  std::vector<bool> places;
  const auto size = static_cast<std::size_t>(a.size(2));
  for (std::size_t i = 0; i < static_cast<std::size_t>(a.size(1)); ++i) {
    const auto x = a.data<float>().subspan(i * size, size);
    const auto y = b.data<float>().subspan(i * size, size);
    places.push_back(!std::ranges::equal(x, y));
  }
  return places;
}

template <class Layer>
std::vector<bool> seen_from_the_end(const Layer& layer) {
  Graph g;
  const Tensor x = normal(Key{9}, {2, 3, 8});
  const auto run = [&](const Tensor& in) {
    return eval(nn::Layer(layer).evaluate(g.constant(in)));
  };
  return differing(run(x), run(with_other_end(x)));
}

}  // namespace

TEST_CASE("attention has PyTorch's parameters and starting values") {
  const nn::MultiHeadAttention layer("self", 64, 4, Key{1});
  CHECK(nn::count_of(layer.parameters()) == 4 * (64 * 64 + 64));
  const std::vector<Parameter> all = layer.parameters();
  REQUIRE(all.size() == 8);
  CHECK(all[0].name() == "self.query.weight");
  const double third = std::sqrt(6.0 / (64 + 3 * 64));
  for (const std::size_t i : {0U, 2U, 4U}) {
    CHECK(largest(all[i]) <= third);
    CHECK(largest(all[i]) > 0.99 * third);
    CHECK(largest(all[i + 1]) == 0);
  }
  CHECK(largest(all[6]) <= 0.125);
  CHECK(largest(all[6]) > 0.12);
  CHECK(largest(all[7]) == 0);
  CHECK(nn::MultiHeadAttention("self", 8, 2, Key{1}, {.bias = false}).parameters().size() == 4);
  CHECK_THROWS_AS(nn::MultiHeadAttention("self", 8, 3, Key{1}), ShapeError);
}

TEST_CASE("one head without query and key averages values, and causal attention looks back") {
  const nn::MultiHeadAttention layer("self", 2, 1, Key{1}, {.causal = true});
  const std::vector<Parameter> all = layer.parameters();
  for (Parameter p : all) p.set(zeros(p.shape()));
  const Tensor identity{{1, 0}, {0, 1}};
  for (const std::size_t i : {4U, 6U}) Parameter(all[i]).set(identity);
  Parameter(all[7]).set(Tensor{100, 200});
  Graph g;
  const Var x = g.constant(Tensor{{2, 0}, {4, 6}, {0, 0}});
  CHECK(all_close(eval(layer(x)), Tensor{{102, 200}, {103, 203}, {102, 202}}));

  using Seen = std::vector<bool>;
  CHECK(seen_from_the_end(nn::MultiHeadAttention("a", 8, 2, Key{1})) == Seen{true, true, true});
  CHECK(seen_from_the_end(nn::MultiHeadAttention("a", 8, 2, Key{1}, {.causal = true})) ==
        Seen{false, false, true});
  // Another sequence is attended to whole; the result has the length of the query.
  const nn::MultiHeadAttention across("a", 8, 2, Key{1});
  CHECK(across.attend(g.input("q", {5, 3, 8}), g.input("m", {5, 7, 8})).shape() == Shape{5, 3, 8});
}

TEST_CASE("weights are dropped behind the softmax, the others scaled up") {
  // No query fits any key better: each of 8 weights is 1/8, and the values make them visible.
  Graph g;
  Tensor identity({8, 8}, float64);
  for (std::size_t i = 0; i < 8; ++i) identity.data<double>()[9 * i] = 1;
  AttentionOptions options;
  options.dropout = 0.25;
  options.dropout_key = g.constant(Key{3}.to_tensor());
  const Tensor weights = eval(scaled_dot_product_attention(g.constant(zeros({500, 3, 2}, float64)),
                                                           g.constant(zeros({8, 2}, float64)),
                                                           g.constant(identity), options));
  REQUIRE(weights.shape() == Shape{500, 3, 8});
  std::int64_t dropped = 0;
  for (const double weight : weights.data<double>()) {
    CHECK((weight == 0 || weight == doctest::Approx(0.125 / 0.75)));
    dropped += weight == 0;
  }
  // 12000 draws: five standard deviations are 237.
  CHECK(std::abs(static_cast<double>(dropped) - 3000) < 237);
  CHECK_THROWS_AS(scaled_dot_product_attention(g.constant(zeros({3, 2})), g.constant(zeros({8, 2})),
                                               g.constant(zeros({8, 8})), {.dropout = 0.5}),
                  GraphError);
}

TEST_CASE("attention with dropout has the mean of one without, and asks for a context") {
  const nn::MultiHeadAttention plain("self", 4, 2, Key{1}, {.dtype = float64});
  const nn::MultiHeadAttention dropping("self", 4, 2, Key{1}, {.dtype = float64, .dropout = 0.3});
  Graph g;
  const Var key = g.constant(Key{2}.to_tensor());
  const Tensor one = normal(Key{9}, {1, 3, 4}, 0, 1, float64);
  const Var x = g.constant(one);
  const Tensor wanted = eval(plain(x));

  // A rate of 0 is no dropout, in training either.
  nn::Context untouched{.training = true, .key = key};
  CHECK(!plain.needs_context());
  CHECK(identical(eval(plain(x, untouched)), wanted));
  CHECK(untouched.draws == 0);
  CHECK(identical(eval(dropping.evaluate(x)), wanted));

  CHECK(dropping.needs_context());
  std::string text;
  try {
    dropping(x);
  } catch (const GraphError& error) {
    text = error.what();
  }
  CHECK(text.find("[MultiHeadAttention 'self']") != std::string::npos);
  CHECK(text.find("attention_test.cpp") != std::string::npos);
  CHECK_THROWS_AS(dropping.attend(x, x), GraphError);
  for (const double rate : {1.0, -0.1, std::nan("")})
    CHECK_THROWS_AS(nn::MultiHeadAttention("self", 4, 2, Key{1}, {.dropout = rate}), ValueError);

  // The same sequence many times, each with draws of its own: the mean is that without dropout, to
  // within five standard errors, which a wrong scale would miss by far.
  const std::int64_t count = 4000;
  nn::Context context{.training = true, .key = key};
  const Tensor many = eval(dropping(g.constant(eval(tile(x, {count, 1, 1}))), context));
  CHECK(context.draws == 1);
  for (std::size_t i = 0; i < 12; ++i) {
    double sum = 0;
    double squares = 0;
    for (std::size_t n = 0; n < static_cast<std::size_t>(count); ++n) {
      const double value = many.data<double>()[12 * n + i];
      sum += value;
      squares += value * value;
    }
    const double mean = sum / static_cast<double>(count);
    const double variance = squares / static_cast<double>(count) - mean * mean;
    CHECK(variance > 0);
    CHECK(std::abs(mean - wanted.data<double>()[i]) <
          5 * std::sqrt(variance / static_cast<double>(count)));
  }
}

TEST_CASE("both modes differentiate attention with the same weights dropped") {
  const nn::MultiHeadAttention layer("self", 4, 2, Key{1},
                                     {.causal = true, .dtype = float64, .dropout = 0.4});
  const auto call = [&](Var x) {
    nn::Context context{.training = true, .key = x.graph().constant(Key{2}.to_tensor())};
    return layer(x, context);
  };
  Graph g;
  const Var loss = sum(square(call(g.constant(normal(Key{9}, {2, 3, 4}, 0, 1, float64)))));
  const std::vector<Parameter> parameters = layer.parameters();
  const std::vector<Wrt> wrt{parameters.begin(), parameters.end()};
  std::vector<Var> directions;
  for (std::size_t i = 0; i < parameters.size(); ++i)
    directions.push_back(g.constant(normal(Key{i}, parameters[i].shape(), 0, 1, float64)));
  const Gradients gradients = reverse(loss, wrt);
  double slope = 0;
  for (std::size_t i = 0; i < parameters.size(); ++i)
    slope += eval(sum(gradients[parameters[i]] * directions[i])).item();
  CHECK(std::abs(slope) > 0.1);
  CHECK(eval(forward(loss, wrt, directions)).item() == doctest::Approx(slope).epsilon(1e-12));
  require(check_gradients([&](std::span<const Var> in) { return std::vector{call(in[0])}; },
                          {{Shape{2, 3, 4}}}));
}

TEST_CASE("a transformer block keeps the shape, looks back if causal, and drops in training") {
  const std::int64_t count = 4 * (8 * 8 + 8) + 2 * (8 + 8) + 8 * 32 + 32 + 32 * 8 + 8;
  for (const bool norm_first : {true, false}) {
    const nn::TransformerBlock block("block", 8, 2, 32, Key{1},
                                     {.causal = true, .norm_first = norm_first});
    CHECK(nn::count_of(block.parameters()) == count);
    CHECK(seen_from_the_end(block) == std::vector<bool>{false, false, true});
    Graph g;
    const Tensor x = normal(Key{9}, {2, 3, 8});
    const Tensor plain = eval(block.evaluate(g.constant(x)));
    CHECK(plain.shape() == x.shape());
    CHECK(identical(plain, eval(block.evaluate(g.constant(x)))));
    nn::Context context{.training = true, .key = g.constant(Key{2}.to_tensor())};
    CHECK(!identical(plain, eval(block(g.constant(x), context))));
    CHECK(context.draws == 3);
  }
  const nn::TransformerBlock weights("block", 8, 2, 32, Key{1},
                                     {.dropout = 0, .attention_dropout = 0.5});
  CHECK(weights.needs_context());
  Graph h;
  const Var in = h.constant(normal(Key{9}, {2, 3, 8}));
  nn::Context training{.training = true, .key = h.constant(Key{2}.to_tensor())};
  CHECK(!identical(eval(weights.evaluate(in)), eval(weights(in, training))));
  CHECK(training.draws == 1);
  // Rows behind the last normalisation have mean 0; those of the other kind need not.
  Graph g;
  const nn::TransformerBlock post("block", 8, 2, 32, Key{1}, {.norm_first = false});
  const Tensor y = eval(post.evaluate(g.constant(normal(Key{9}, {1, 1, 8}))));
  double sum = 0;
  for (const float value : y.data<float>()) sum += static_cast<double>(value);
  CHECK(std::abs(sum) < 1e-5);
}

TEST_CASE("positions are told apart by a learned row") {
  const nn::PositionEmbedding positions("place", 3, 2, Key{1});
  Parameter(positions.parameters()[0]).set(Tensor{{1, 2}, {3, 4}, {5, 6}});
  CHECK(positions.parameters()[0].name() == "place.weight");
  Graph g;
  CHECK(identical(eval(positions(g.constant(Tensor{{10, 10}, {20, 20}, {30, 30}}))),
                  Tensor{{11, 12}, {23, 24}, {35, 36}}));
  CHECK_THROWS_AS(positions(g.input("x", {4, 1, 2})), ShapeError);
  CHECK_THROWS_AS(positions(g.input("y", {2})), ShapeError);
}
