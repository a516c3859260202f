#include <dualtape/models/recurrent.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <dualtape/dualtape.hpp>
#include <tests/errors.hpp>
#include <tests/fixtures/read.hpp>

using namespace dualtape;
using testing::error_of;
using testing::has;

namespace {

Tensor waves(int k, const Shape& shape) { return fixtures::waves(k, shape, 0.5); }

void check_close(const Tensor& found, const std::vector<double>& wanted) {
  CHECK(all_close(found, Tensor::from(wanted, found.shape()), 1e-12, 1e-13));
}

// PyTorch's figures: values, last states, and gradients by all there is. The layer's weights are
// loaded by PyTorch's names.
void check_torch(const std::string& name, const nn::Recurrent& layer, bool has_cell) {
  CAPTURE(name);
  const auto wanted = fixtures::read_case("models.csv", name);
  std::vector<NamedTensor> file;
  for (const Parameter& p : layer.parameters())
    file.push_back({p.name(), waves(static_cast<int>(file.size()) + 1, p.shape())});
  set_torch_parameters(file, layer.parameters(), {.tables = layer.tables()});
  Graph g;
  const Var x = g.constant(waves(0, {2, 5, 4}));
  const Var h = g.constant(waves(10, {2, 2, 3}));
  nn::RecurrentState start{h};
  if (has_cell) start.cell = g.constant(waves(11, {2, 2, 3}));
  const nn::Recurred made = layer.run(x, start);
  check_close(eval(made.out), wanted.at("y"));
  check_close(eval(made.last.hidden), wanted.at("h"));
  if (has_cell) check_close(eval(made.last.cell), wanted.at("c"));
  const Var loss =
      sum(waves(17, {2, 5, 3}) * made.out) + sum(waves(18, {2, 2, 3}) * made.last.hidden);
  check_close(eval(reverse(loss, {x})[x]), wanted.at("dx"));
  check_close(eval(reverse(loss, {h})[h]), wanted.at("dh"));
  const Gradients slopes = reverse(loss, layer.parameters());
  for (const Parameter& p : layer.parameters())
    check_close(eval(slopes[p]), wanted.at("d" + p.name().substr(p.name().find('.') + 1)));
  // Forward mode agrees: along one direction of x.
  const Var along = g.constant(waves(3, {2, 5, 4}));
  const double by_reverse = eval(sum(reverse(loss, {x})[x] * along)).item();
  CHECK(eval(forward(loss, {x}, {along})).item() == doctest::Approx(by_reverse).epsilon(1e-12));
}

const Key key{4};

}  // namespace

TEST_CASE("recurrent layers have PyTorch's figures") {
  const nn::RecurrentOptions two{.layers = 2, .dtype = float64};
  check_torch("rnn", nn::RNN("r", 4, 3, key, {.layers = 2, .dtype = float64}), false);
  check_torch("rnn relu",
              nn::RNN("r", 4, 3, key,
                      {.layers = 2, .activation = nn::RnnActivation::relu, .dtype = float64}),
              false);
  check_torch("gru", nn::GRU("r", 4, 3, key, two), false);
  check_torch("lstm", nn::LSTM("r", 4, 3, key, two), true);
  check_torch("lstm without bias",
              nn::LSTM("r", 4, 3, key, {.layers = 2, .bias = false, .dtype = float64}), true);
}

TEST_CASE("recurrent layers have PyTorch's parameters and starting values") {
  const nn::LSTM lstm("l", 5, 64, key, {.layers = 2});
  std::vector<std::string> names;
  for (const Parameter& p : lstm.parameters()) {
    names.push_back(p.name() + " " + to_string(p.shape()));
    double most = 0;
    for (const float v : p.value().data<float>()) most = std::max(most, std::abs(double{v}));
    CHECK(most <= 0.125);
    CHECK(most > 0.12);
  }
  CHECK(names == std::vector<std::string>{"l.weight_ih_l0 (256, 5)", "l.weight_hh_l0 (256, 64)",
                                          "l.bias_ih_l0 (256,)", "l.bias_hh_l0 (256,)",
                                          "l.weight_ih_l1 (256, 64)", "l.weight_hh_l1 (256, 64)",
                                          "l.bias_ih_l1 (256,)", "l.bias_hh_l1 (256,)"});
  CHECK(nn::GRU("g", 5, 64, key).parameters()[0].shape() == Shape{192, 5});
  CHECK(nn::RNN("r", 5, 64, key).parameters()[0].shape() == Shape{64, 5});
  CHECK(lstm.tables().size() == 4);
  CHECK(nn::Sequential{lstm, nn::Linear("out", 64, 2, key)}.tables().size() == 4);
}

TEST_CASE("a sequence may have its length in front, or no batch, and be cut in two") {
  const nn::RecurrentOptions options{.layers = 2, .dtype = float64};
  const nn::LSTM lstm("l", 4, 3, key, options);
  Graph g;
  const Var x = g.constant(waves(0, {2, 5, 4}));
  const nn::Recurred all = lstm.run(x);
  nn::RecurrentOptions front = options;
  front.batch_first = false;
  const nn::LSTM other("l", 4, 3, key, front);  // the same draws
  CHECK(all_close(eval(transpose(other(transpose(x, 0, 1)), 0, 1)), eval(all.out), 1e-14));
  const nn::Recurred second = lstm.run(x[1]);
  CHECK(second.out.shape() == Shape{5, 3});
  CHECK(second.last.cell.shape() == Shape{2, 3});
  CHECK(all_close(eval(second.out), eval(all.out[1]), 1e-14));
  CHECK(all_close(eval(second.last.cell), eval(slice(all.last.cell, 1, 1, 2)).reshape({2, 3}),
                  1e-14));
  const nn::Recurred begin = lstm.run(slice(x, 1, 0, 2));
  const nn::Recurred end = lstm.run(slice(x, 1, 2, 5), begin.last);
  CHECK(all_close(eval(concat({begin.out, end.out}, 1)), eval(all.out), 1e-14));
  CHECK(all_close(eval(end.last.cell), eval(all.last.cell), 1e-14));
}

TEST_CASE("recurrent layers say what does not fit") {
  const nn::GRU gru("g", 4, 3, key);
  Graph g;
  const Var x = g.constant(zeros({2, 5, 4}));
  const auto text = [](auto f) { return error_of<Error>(f); };
  CHECK(has(text([&] { gru(g.constant(zeros({2, 5, 3}))); }), "[GRU 'g'] x is float32 (2, 5, 3)"));
  CHECK(has(text([&] { gru(g.constant(zeros({2, 5, 4}, float64))); }), "float64"));
  CHECK(has(text([&] { gru.run(x, {g.constant(zeros({1, 5, 3}))}); }), "the hidden state"));
  CHECK(has(text([&] { gru.run(x, {{}, g.constant(zeros({1, 2, 3}))}); }), "a cell, and has none"));
  CHECK(has(text([&] { nn::LSTM("l", 0, 3, key); }), "LSTM"));
  CHECK(has(text([&] { nn::LSTM("l", 4, 3, key, {.layers = 0}); }), "0 layers"));
  CHECK_THROWS_AS(gru(g.constant(zeros({4}))), ShapeError);
}

TEST_CASE("a small LSTM learns to add up a sequence") {
  // Which of two kinds came more often among nine draws.
  const std::int64_t count = 256, length = 9;
  const Tensor draws = uniform(Key{11}, {count, length, 1}, -1.0, 1.0);
  Tensor inputs(Shape{count, length, 1}, float32);
  Tensor labels(Shape{count}, int64);
  for (std::int64_t i = 0; i < count; ++i) {
    int sum = 0;
    for (std::int64_t t = 0; t < length; ++t) {
      const int one = draws.at<float>({i, t, 0}) > 0 ? 1 : -1;
      inputs.data<float>()[static_cast<std::size_t>(i * length + t)] = static_cast<float>(one);
      sum += one;
    }
    labels.data<std::int64_t>()[static_cast<std::size_t>(i)] = sum > 0;
  }
  const nn::Sequential net{nn::LSTM("lstm", 1, 12, key),
                           [](Var x) {
                             return x[{range(), -1}];
                           },
                           nn::Linear("out", 12, 2, key)};
  Trainer trainer(net, cross_entropy, {.optimiser = Adam{}, .schedule = constant_rate(0.02)});
  Batches batches({inputs, labels, {}, {}, "majority"}, 32, Key{5});
  trainer.fit(batches, {.epochs = 30});
  CHECK(trainer.evaluate(inputs, labels).accuracy > 0.98);
}
