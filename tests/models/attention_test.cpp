#include <dualtape/models/attention.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include <dualtape/core/program.hpp>

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
