// A Trainer made of a net and a loss in one line trains as one that is given all its parts.
#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <dualtape/dualtape.hpp>

#include <tests/errors.hpp>

using namespace dualtape;

namespace {

using dualtape::testing::error_of;
using dualtape::testing::has;

Dataset points() {
  return {
      normal(Key{3}, {12, 4}), Tensor::of({0, 1, 2, 0, 1, 2, 0, 1, 2, 2, 1, 0}), {}, {}, "points"};
}

std::vector<float> numbers(const std::vector<Parameter>& parameters) {
  std::vector<float> all;
  for (const Parameter& parameter : parameters) {
    const Tensor value = parameter.value();
    const auto data = value.data<float>();
    all.insert(all.end(), data.begin(), data.end());
  }
  return all;
}

}  // namespace

TEST_CASE("a trainer of a net and a loss has the bits of one that is given its parts") {
  const Dataset data = points();
  const auto trained = [&](auto make) {
    const Mlp net({4, 5, 3}, Key{1});
    Batches batches(data, 4, Key{2});
    Trainer trainer = make(net);
    trainer.fit(batches, {.epochs = 3});
    return numbers(net.parameters());
  };
  Adam adam;
  const auto parts = trained([&](const Mlp& net) {
    return Trainer(
        [net](Var x, Var y) {
          const Var out = net(x);
          return Objective(cross_entropy(out, y), out);
        },
        net.parameters(), forward_gradients(), adam, {.schedule = constant_rate(0.02)});
  });
  const auto line = trained([](const Mlp& net) {
    return Trainer(
        net, cross_entropy,
        {.optimiser = Adam{}, .gradients = forward_gradients(), .schedule = constant_rate(0.02)});
  });
  CHECK(line == parts);
  const auto own_loss = trained([](const Mlp& net) {
    return Trainer(net, [](Var out, Var y) { return cross_entropy(out, y); },
                   {.optimiser = std::make_shared<Adam>(),
                    .gradients = forward_gradients(),
                    .schedule = constant_rate(0.02)});
  });
  CHECK(own_loss == parts);
}

TEST_CASE("what is left out is backpropagation and plain gradient descent") {
  const Dataset data = points();
  const Mlp net({4, 3}, Key{1});
  const Mlp same({4, 3}, Key{1});
  Batches batches(data, 4);
  Trainer(net, cross_entropy).fit(batches, {.epochs = 2});
  Sgd sgd;
  Trainer([&](Var x, Var y) { return cross_entropy(same(x), y); }, same.parameters(),
          backpropagation(), sgd)
      .fit(batches, {.epochs = 2});
  CHECK(numbers(net.parameters()) == numbers(same.parameters()));
}

TEST_CASE("any layer is a net: a Layer, a Sequential of it, a function of parameters") {
  const Dataset data = points();
  Batches batches(data, 4);
  const Mlp net({4, 3}, Key{1});
  const nn::Layer layer(net);
  CHECK(Trainer(layer, cross_entropy).fit(batches, {.epochs = 1}).epochs == 1);
  CHECK(Trainer(nn::Sequential{layer, nn::Dropout(0.5)}, cross_entropy)
            .fit(batches, {.epochs = 1})
            .epochs == 1);
  CHECK(Trainer(nn::Linear("line", 4, 3, Key{2}), cross_entropy).parameters().size() == 2);
}

TEST_CASE("mistakes of the net and the loss are told at the trainer's line") {
  const Dataset data = points();
  Batches batches(data, 4);
  const nn::Linear narrow("narrow", 3, 3, Key{1});
  const nn::Linear net("net", 4, 3, Key{1});
  const Location line = Location::current();
  Trainer misfit(narrow, cross_entropy);
  Trainer of_numbers(net, mse);
  const auto told = [&](Trainer& trainer) {
    return error_of<ShapeError>([&] { trainer.fit(batches, {.epochs = 1}); });
  };
  const auto place = [&](std::uint32_t after) {
    return "trainer_of_net_test.cpp:" + std::to_string(line.line + after);
  };
  CHECK(has(told(misfit), place(1)));
  CHECK(has(told(of_numbers), place(2)));
}

TEST_CASE("running statistics of the net's layers are found, saved and used in evaluation") {
  const Dataset data = points();
  const nn::Sequential net{nn::Linear("in", 4, 6, Key{1}), nn::BatchNorm1d("norm", 6), relu,
                           nn::Dropout(0.25), nn::Linear("out", 6, 3, Key{2})};
  Trainer trainer(net, cross_entropy, {.optimiser = Sgd{{.momentum = 0.9}}});
  REQUIRE(trainer.buffers().size() == net.buffers().size());
  CHECK(trainer.buffers().size() >= 2);
  Batches batches(data, 6, Key{2});
  trainer.fit(batches, {.epochs = 4});
  const Evaluation measured = trainer.evaluate(data.inputs, data.labels);
  CHECK(measured.loss == trainer.evaluate(data.inputs, data.labels).loss);
  CHECK(measured.accuracy >= 0);
  CHECK(trainer.predict(data.inputs).shape() == Shape{12, 3});
  CHECK_NOTHROW(trainer.state());
}

TEST_CASE("a trainer of a net says what is missing") {
  const Mlp net({4, 3}, Key{1});
  Sgd sgd;
  CHECK(has(error_of<ValueError>([&] {
              Trainer([&](Var x, Var y) { return cross_entropy(net(x), y); }, net.parameters(),
                      backpropagation(), sgd, {.optimiser = Adam{}});
            }),
            "TrainerOptions::optimiser"));
  CHECK(has(error_of<ValueError>([&] { Trainer(nn::Flatten{}, cross_entropy); }), "no parameters"));
  const std::string text =
      error_of<ValueError>([&] { Trainer(net, std::function<Var(Var, Var)>{}); });
  CHECK(has(text, "empty"));
  CHECK(has(text, "trainer_of_net_test.cpp:"));
  Var (*nothing)(In, In, Reduction) = nullptr;
  CHECK(has(error_of<ValueError>([&] { Trainer(net, nothing); }), "empty"));
  Adam adam;
  const Adam moved(std::move(adam));
  CHECK(moved.state().empty());
  CHECK(has(error_of<GraphError>([&] { static_cast<void>(adam.state()); }), "moved from"));
}

TEST_CASE("an optimiser that is none is refused where it is given, at its line") {
  const Mlp net({4, 3}, Key{1});
  const std::shared_ptr<Adam> null;
  std::shared_ptr<Adam> gone = std::make_shared<Adam>();
  const std::shared_ptr<Adam> kept = std::move(gone);
  Adam adam;
  const Adam taken(std::move(adam));
  const auto place = [](const std::string& text, std::uint32_t line) {
    return has(text, "trainer_of_net_test.cpp:" + std::to_string(line) + '\n');
  };
  const std::uint32_t line = Location::current().line;
  const auto of_null = [&] { Trainer(net, cross_entropy, {.optimiser = null}); };
  const auto of_gone = [&] { Trainer(net, cross_entropy, {.optimiser = gone}); };
  const auto of_moved = [&] { Trainer(net, cross_entropy, {.optimiser = std::move(adam)}); };
  CHECK(has(error_of<ValueError>(of_null), "pointer to the optimiser is null"));
  CHECK(place(error_of<ValueError>(of_null), line + 1));
  CHECK(place(error_of<ValueError>(of_gone), line + 2));
  CHECK(place(error_of<GraphError>(of_moved), line + 3));

  TrainerOptions options{.optimiser = Adam{}};
  const TrainerOptions moved_to = std::move(options);
  const auto of_options = [&] { Trainer(net, cross_entropy, options); };
  CHECK(has(error_of<GraphError>(of_options), "TrainerOptions::optimiser was moved from"));
  CHECK(place(error_of<GraphError>(of_options), line + 11));
  options = {.optimiser = Adam{}};
  CHECK_NOTHROW(of_options());

  const auto by_parts = [&] {
    Trainer([&](Var x, Var y) { return cross_entropy(net(x), y); }, net.parameters(),
            backpropagation(), adam);
  };
  CHECK(has(error_of<GraphError>(by_parts), "moved from"));
  CHECK(has(error_of<GraphError>(by_parts), "trainer_of_net_test.cpp:"));
}

TEST_CASE("an optimiser of copied options is for one trainer, a shared one for several") {
  const Mlp net({4, 3}, Key{1});
  const TrainerOptions options{.optimiser = Adam{}};
  // One that was refused has not taken it.
  CHECK_THROWS_AS(Trainer(nn::Flatten{}, cross_entropy, options), ValueError);
  const TrainerOptions copy = options;
  const Trainer first(net, cross_entropy, options);
  const std::string text = error_of<ValueError>([&] { Trainer(net, cross_entropy, copy); });
  CHECK(has(text, "another Trainer's already"));
  CHECK(has(text, "trainer_of_net_test.cpp:"));
  const TrainerOptions shared{.optimiser = std::make_shared<Adam>()};
  const Trainer second(net, cross_entropy, shared);
  CHECK_NOTHROW(Trainer(net, cross_entropy, shared));
}

TEST_CASE("gradients among the options are refused beside a method") {
  const Mlp net({4, 3}, Key{1});
  Sgd sgd;
  const std::string text = error_of<ValueError>([&] {
    Trainer([&](Var x, Var y) { return cross_entropy(net(x), y); }, net.parameters(),
            backpropagation(), sgd, {.gradients = forward_gradients()});
  });
  CHECK(has(text, "TrainerOptions::gradients is given beside the method"));
  CHECK(has(text, "trainer_of_net_test.cpp:"));
}
