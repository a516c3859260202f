#include <dualtape/models/checkpoint.hpp>

#include <doctest/doctest.h>

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <dualtape/data/batches.hpp>
#include <dualtape/data/loader.hpp>
#include <dualtape/models/adaptive.hpp>
#include <dualtape/models/layers.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/losses.hpp>
#include <tests/errors.hpp>
#include <tests/io_faults.hpp>
#include <tests/models/files.hpp>
#include <tests/models/iris.hpp>

using namespace dualtape;

namespace {

// A training run on Iris: three batches in an epoch, the last one smaller.
struct Run {
  explicit Run(std::unique_ptr<Optimiser> the_optimiser, GradientMethod method = backpropagation(),
               std::uint64_t seed = 7)
      : optimiser(std::move(the_optimiser)),
        trainer(
            [mlp = mlp](Var x, Var y) {
              const Var logits = mlp(x);
              return Objective(cross_entropy(logits, y), logits);
            },
            mlp.parameters(), std::move(method), *optimiser,
            {.schedule = cosine_decay(0.05, 40), .key = Key{seed}}) {}

  std::vector<Tensor> values() const {
    std::vector<Tensor> all;
    for (const NamedTensor& named : trainer.state()) all.push_back(named.tensor.copy());
    return all;
  }

  Mlp mlp{{4, 8, 3}, Key{1}, {.activation = Activation::tanh}};
  std::unique_ptr<Optimiser> optimiser;
  Trainer trainer;
  Batches batches{iris(), 64, Key{4}};
};

bool same(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!identical(a[i], b[i])) return false;
  return true;
}

}  // namespace

TEST_CASE("a resumed run has the bits of one that was not stopped, wherever it stopped") {
  if (!built_with_json()) return;
  const Folder folder;
  const auto path = folder / "run.safetensors";
  const auto check = [&](const auto& make, const GradientMethod& method) {
    Run whole(make(), method);
    std::vector<double> losses;
    whole.trainer.fit(whole.batches, {.steps = 20});
    // Behind 9 steps an epoch has ended; behind 10 and 11 one is under way.
    for (const std::int64_t cut : {1, 9, 10, 11}) {
      CAPTURE(cut);
      {
        Run first(make(), method);
        first.trainer.fit(first.batches, {.steps = cut});
        save_checkpoint(path, first.trainer);
      }
      Run second(make(), method, 99);  // the key is the checkpoint's
      load_checkpoint(path, second.trainer);
      CHECK(second.trainer.steps_done() == cut);
      const TrainResult result = second.trainer.fit(second.batches, {.until_step = 20});
      CHECK(result.steps == 20 - cut);
      CHECK(second.trainer.epochs_begun() == 7);
      CHECK(same(second.values(), whole.values()));
    }
  };
  check([] { return std::make_unique<Adam>(); }, backpropagation());
  check([] { return std::make_unique<RmsProp>(RmsPropOptions{.momentum = 0.9, .centred = true}); },
        forward_gradients());
  check([] { return std::make_unique<Sgd>(SgdOptions{.momentum = 0.9}); }, backpropagation());
}

TEST_CASE("an epoch that was cut has the mean loss of one that was not") {
  if (!built_with_json()) return;
  const Folder folder;
  const auto last_loss = [](Run& run) {
    double loss = 0;
    while (run.trainer.steps_done() < 6) {
      const TrainResult result = run.trainer.fit(run.batches, {.until_epoch = 2});
      loss = result.loss;
    }
    for (const NamedTensor& named : run.trainer.state())
      if (named.name == "trainer/epoch_loss") loss = named.tensor.at({0}) / named.tensor.at({1});
    return loss;
  };
  Run whole(std::make_unique<Sgd>());
  const double wanted = last_loss(whole);
  Run first(std::make_unique<Sgd>());
  first.trainer.fit(first.batches, {.steps = 4});
  save_checkpoint(folder / "a", first.trainer);
  Run second(std::make_unique<Sgd>());
  load_checkpoint(folder / "a", second.trainer);
  CHECK(last_loss(second) == wanted);
  // Reached already: nothing more is done.
  CHECK(second.trainer.fit(second.batches, {.until_epoch = 2}).steps == 0);
  CHECK(second.trainer.fit(second.batches, {.until_step = 6}).stop == Stop::steps);
}

TEST_CASE("a state is taken on in the same trainer, too") {
  Run whole(std::make_unique<Adam>());
  whole.trainer.fit(whole.batches, {.steps = 14});
  Run run(std::make_unique<Adam>());
  run.trainer.fit(run.batches, {.steps = 5});
  std::vector<NamedTensor> state = run.trainer.state();
  for (NamedTensor& named : state) named.tensor = named.tensor.copy();
  run.trainer.fit(run.batches, {.steps = 8});
  run.trainer.restore(state);
  run.trainer.fit(run.batches, {.until_step = 14});
  CHECK(same(run.values(), whole.values()));
}

TEST_CASE("a checkpoint of a run that has only been resumed has lost nothing") {
  if (!built_with_json()) return;
  const Folder folder;
  Run first(std::make_unique<Adam>());
  first.trainer.fit(first.batches, {.steps = 6});
  save_checkpoint(folder / "a", first.trainer);
  Run second(std::make_unique<Adam>());
  load_checkpoint(folder / "a", second.trainer);
  save_checkpoint(folder / "b", second.trainer);
  const TensorFile a = load_safetensors(folder / "a");
  const TensorFile b = load_safetensors(folder / "b");
  CHECK(a.tensors.size() == 4 + 3 * 4 + 5);
  REQUIRE(a.tensors.size() == b.tensors.size());
  for (const NamedTensor& named : a.tensors) {
    REQUIRE(b.find(named.name) != nullptr);
    CHECK(identical(*b.find(named.name), named.tensor));
  }
}

TEST_CASE("resume starts anew where there is no file, and refuses a broken one") {
  if (!built_with_json()) return;
  const Folder folder;
  Run run(std::make_unique<Adam>());
  CHECK(!resume(folder / "none", run.trainer));
  run.trainer.fit(run.batches, {.steps = 2});
  save_checkpoint(folder / "a", run.trainer);
  const TensorFile file = load_safetensors(folder / "a");
  CHECK(file.metadata[1] == std::pair<std::string, std::string>{"step", "2"});
  CHECK(file.find("layer1.weight") != nullptr);
  CHECK(file.find("optimiser/layer1.weight.first_moment") != nullptr);
  Run other(std::make_unique<Adam>());
  CHECK(resume(folder / "a", other.trainer));
  CHECK(other.trainer.steps_done() == 2);
  write_bytes(folder / "a", bytes_of_file(folder / "a").substr(0, 500));
  CHECK_THROWS_AS(resume(folder / "a", other.trainer), DataError);
  CHECK(other.trainer.steps_done() == 2);
}

TEST_CASE("a checkpoint of another model or optimiser is refused") {
  if (!built_with_json()) return;
  const Folder folder;
  Run adam(std::make_unique<Adam>());
  adam.trainer.fit(adam.batches, {.steps = 1});
  save_checkpoint(folder / "adam", adam.trainer);
  Run sgd(std::make_unique<Sgd>(SgdOptions{.momentum = 0.5}));
  sgd.trainer.fit(sgd.batches, {.steps = 1});
  save_checkpoint(folder / "sgd", sgd.trainer);

  // Where the optimiser remembers something already it is found at once, else with the first step.
  const std::vector<Tensor> before = sgd.values();
  CHECK_THROWS_AS(load_checkpoint(folder / "adam", sgd.trainer), ValueError);
  CHECK(same(sgd.values(), before));
  Run fresh(std::make_unique<Adam>());
  load_checkpoint(folder / "sgd", fresh.trainer);
  CHECK_THROWS_AS(fresh.trainer.fit(fresh.batches, {.steps = 1}), ValueError);
  Run plain(std::make_unique<Sgd>());
  load_checkpoint(folder / "adam", plain.trainer);
  CHECK_THROWS_AS(plain.trainer.fit(plain.batches, {.steps = 1}), ValueError);

  const Mlp wide({4, 9, 3}, Key{1});
  CHECK_THROWS_AS(load_parameters(folder / "adam", wide.parameters()), DataError);
  const Mlp deep({4, 8, 8, 3}, Key{1});
  const Tensor untouched = deep.parameters()[0].value().copy();
  CHECK_THROWS_AS(load_parameters(folder / "adam", deep.parameters()), DataError);
  CHECK(identical(deep.parameters()[0].value(), untouched));
}

TEST_CASE("parameters are saved alone and taken from checkpoints") {
  if (!built_with_json()) return;
  const Folder folder;
  Run run(std::make_unique<Adam>());
  run.trainer.fit(run.batches, {.steps = 3});
  save_checkpoint(folder / "run", run.trainer);
  save_parameters(folder / "model", run.mlp.parameters());
  for (const char* name : {"run", "model"}) {
    const Mlp other({4, 8, 3}, Key{2});
    load_parameters(folder / name, other.parameters());
    for (std::size_t i = 0; i < other.parameters().size(); ++i)
      CHECK(identical(other.parameters()[i].value(), run.mlp.parameters()[i].value()));
  }
  CHECK(load_safetensors(folder / "model").tensors.size() == 4);
}

TEST_CASE("fewer batches than were done in the epoch are noticed") {
  Run run(std::make_unique<Sgd>());
  run.trainer.fit(run.batches, {.steps = 2});
  std::vector<NamedTensor> state = run.trainer.state();
  run.trainer.restore(state);
  Batches large(iris(), 150, Key{4});
  CHECK_THROWS_AS(run.trainer.fit(large, {.until_step = 9}), ValueError);
}

TEST_CASE("an epoch is not gone on with by batches of other sizes") {
  // Stopped behind the first of three batches: 64, 64 and 22 rows.
  Run run(std::make_unique<Sgd>());
  run.trainer.fit(run.batches, {.steps = 4});
  std::vector<NamedTensor> state = run.trainer.state();
  for (NamedTensor& named : state) named.tensor = named.tensor.copy();
  std::vector<NamedTensor> old = state;
  std::erase_if(old, [](const NamedTensor& named) { return named.name == "trainer/batches"; });
  REQUIRE(old.size() + 1 == state.size());
  const auto error_of = [&](const std::vector<NamedTensor>& from, auto& source) -> std::string {
    Run other(std::make_unique<Sgd>());
    other.trainer.restore(from);
    try {
      other.trainer.fit(source, {.until_step = 9});
    } catch (const ValueError& error) {
      // Nothing was done, and the right batches are still welcome.
      CHECK(other.trainer.steps_done() == 4);
      other.trainer.fit(other.batches, {.until_step = 9});
      Run whole(std::make_unique<Sgd>());
      whole.trainer.fit(whole.batches, {.until_step = 9});
      CHECK(same(other.values(), whole.values()));
      return error.what();
    }
    return "";
  };
  Batches small(iris(), 32, Key{4});
  const std::string text = error_of(state, small);
  CHECK(text.find("3 batches of 64 from 150 rows") != std::string::npos);
  CHECK(text.find("5 batches of 32 from 150 rows") != std::string::npos);
  // Without a record of the sizes, the rows that are passed over tell.
  const std::string rows = error_of(old, small);
  CHECK(rows.find("64 rows") != std::string::npos);
  CHECK(rows.find("32") != std::string::npos);
  // As many rows in a batch, but fewer in all: the order is another.
  Dataset part = iris();
  part.inputs = part.inputs.rows(0, 140);
  part.labels = part.labels.rows(0, 140);
  Batches fewer(part, 64, Key{4});
  CHECK(error_of(state, fewer).find("140 rows") != std::string::npos);
  CHECK(error_of(old, run.batches).empty());

  // Where an epoch begins, other batches are as good.
  Run whole(std::make_unique<Sgd>());
  whole.trainer.fit(whole.batches, {.steps = 3});
  Run next(std::make_unique<Sgd>());
  next.trainer.restore(whole.trainer.state());
  CHECK(next.trainer.fit(small, {.steps = 5}).steps == 5);
}

TEST_CASE("a run is not gone on with by the same data in another order") {
  const auto state_behind = [](std::int64_t steps, auto& source) {
    Run run(std::make_unique<Sgd>());
    run.trainer.fit(source, {.steps = steps});
    std::vector<NamedTensor> state = run.trainer.state();
    for (NamedTensor& named : state) named.tensor = named.tensor.copy();
    return state;
  };
  // The error, if any, of going on; then nothing was done, and `right` is still welcome.
  const auto error_of = [](const std::vector<NamedTensor>& from, auto& source,
                           auto& right) -> std::string {
    Run run(std::make_unique<Sgd>());
    run.trainer.restore(from);
    const std::int64_t before = run.trainer.steps_done();
    try {
      run.trainer.fit(source, {.until_step = 9});
    } catch (const ValueError& error) {
      CHECK(run.trainer.steps_done() == before);
      CHECK(run.trainer.fit(right, {.until_step = 9}).steps == 9 - before);
      return error.what();
    }
    return "";
  };
  Batches right(iris(), 64, Key{4});
  Batches other(iris(), 64, Key{~std::uint64_t{0}});
  Batches unshuffled(iris(), 64);
  // In the midst of an epoch, and between two.
  for (const std::int64_t steps : {4, 3}) {
    CAPTURE(steps);
    const std::vector<NamedTensor> state = state_behind(steps, right);
    const std::string keys = error_of(state, other, right);
    CHECK(keys.find("Key{4}") != std::string::npos);
    CHECK(keys.find("Key{18446744073709551615}") != std::string::npos);
    CHECK(error_of(state, unshuffled, right).find("the data set's own order") != std::string::npos);
    // A state from another order knows it, whatever its bits, and none at all.
    CHECK(error_of(state_behind(steps, other), right, other).find("Key{184467440737095516") !=
          std::string::npos);
    const std::vector<NamedTensor> plain = state_behind(steps, unshuffled);
    CHECK(error_of(plain, unshuffled, unshuffled).empty());
    CHECK(error_of(plain, right, unshuffled).find("Key{4}") != std::string::npos);

    // A loader draws what Batches draw.
    Run whole(std::make_unique<Sgd>());
    whole.trainer.fit(whole.batches, {.until_step = 9});
    Run second(std::make_unique<Sgd>());
    second.trainer.restore(state);
    Loader loader(iris(), 64, Key{4});
    second.trainer.fit(loader, {.until_step = 9});
    const auto end = [](const Run& run) {
      std::vector<Tensor> values;
      for (const Parameter& parameter : run.mlp.parameters()) values.push_back(parameter.value());
      return values;
    };
    CHECK(same(end(second), end(whole)));
    Loader wrong(iris(), 64, Key{5});
    CHECK(error_of(state, wrong, right).find("Key{5}") != std::string::npos);

    // A function says nothing of a key, and older states have none.
    const EpochFunction by_hand = [&](std::int64_t epoch, const VisitBatch& visit) {
      for (const Batch& batch : other.epoch(epoch))
        if (!visit(batch.inputs, batch.labels)) return;
    };
    Run third(std::make_unique<Sgd>());
    third.trainer.restore(state);
    CHECK(third.trainer.fit(by_hand, {.until_step = 9}).steps == 9 - steps);
    std::vector<NamedTensor> old = state;
    CHECK(std::erase_if(
              old, [](const NamedTensor& named) { return named.name == "trainer/order"; }) == 1);
    CHECK(error_of(old, other, right).empty());
  }
}

TEST_CASE("the key of the batches is in the file") {
  if (!built_with_json()) return;
  const Folder folder;
  Run first(std::make_unique<Adam>());
  first.trainer.fit(first.batches, {.steps = 4});
  save_checkpoint(folder / "a", first.trainer);
  Run second(std::make_unique<Adam>());
  load_checkpoint(folder / "a", second.trainer);
  Batches other(iris(), 64, Key{5});
  CHECK_THROWS_AS(second.trainer.fit(other, {.until_step = 9}), ValueError);
}

TEST_CASE("an L-BFGS run goes on from a file with the bits of one that was not stopped") {
  if (!built_with_json()) return;
  const Folder folder;
  struct Fitting {
    explicit Fitting(std::int64_t iterations)
        : solver(p, loss, reverse(loss, p), {.iterations = iterations, .change_below = 0}) {}
    Dataset data = iris();
    Mlp mlp{{4, 5, 3}, Key{1}, {.activation = Activation::tanh}};
    std::vector<Parameter> p = mlp.parameters();
    Graph g;
    Var loss = cross_entropy(mlp(g.constant(data.inputs)), g.constant(data.labels));
    Lbfgs solver;
  };
  Fitting whole(40);
  const LbfgsResult wanted = whole.solver.minimise();
  CHECK(wanted.iterations == 40);
  for (const std::int64_t cut : {1, 7, 25}) {
    CAPTURE(cut);
    {
      Fitting first(cut);
      first.solver.minimise();
      save_checkpoint(folder / "a", first.solver);
    }
    Fitting second(40);
    for (Parameter& parameter : second.p) parameter.set(ones(parameter.shape()));
    load_checkpoint(folder / "a", second.solver);
    const LbfgsResult result = second.solver.minimise();
    CHECK(result.loss == wanted.loss);
    CHECK(result.iterations == wanted.iterations);
    CHECK(result.evaluations == wanted.evaluations);
    for (std::size_t i = 0; i < whole.p.size(); ++i)
      CHECK(identical(second.p[i].value(), whole.p[i].value()));
  }
}

TEST_CASE("a file without a run to go on from is refused by name, and says what to read it with") {
  if (!built_with_json()) return;
  const Folder folder;
  Run run(std::make_unique<Sgd>());
  run.trainer.fit(run.batches, {.steps = 2});
  const std::vector<Tensor> before = run.values();
  const auto check = [&](const auto& load, const std::string& file, const std::string& help) {
    const std::string text = testing::error_of<DataError>([&] { load(folder / file); });
    CHECK(testing::has(text, (folder / file).string()));
    CHECK(testing::has(text, help));
    CHECK(same(run.values(), before));
  };
  save_parameters(folder / "weights", run.mlp.parameters());
  check([&](const auto& path) { resume(path, run.trainer); }, "weights", "load_parameters");
  check([&](const auto& path) { load_checkpoint(path, run.trainer); }, "weights",
        "load_parameters");
  Graph g;
  const Dataset data = iris();
  const std::vector<Parameter> p = run.mlp.parameters();
  const Var loss = cross_entropy(run.mlp(g.constant(data.inputs)), g.constant(data.labels));
  Lbfgs lbfgs(p, loss, reverse(loss, p), {.iterations = 1});
  check([&](const auto& path) { load_checkpoint(path, lbfgs); }, "weights", "load_parameters");
  save_checkpoint(folder / "trainer", run.trainer);
  check([&](const auto& path) { load_checkpoint(path, lbfgs); }, "trainer", "Trainer");
  lbfgs.minimise();
  save_checkpoint(folder / "lbfgs", lbfgs);
  run.trainer.restore(load_safetensors(folder / "trainer").tensors);
  check([&](const auto& path) { load_checkpoint(path, run.trainer); }, "lbfgs", "Lbfgs");
}

TEST_CASE("resume of a trainer that was moved from says so, file or not") {
  const Folder folder;
  Run run(std::make_unique<Adam>());
  const Trainer taken = std::move(run.trainer);
  CHECK(taken.steps_done() == 0);
  // NOLINTNEXTLINE(bugprone-use-after-move): that is the matter
  const auto text = testing::error_of<GraphError>([&] { resume(folder / "none", run.trainer); });
  CHECK(testing::has(text, "moved from"));
  CHECK(testing::has(text, "checkpoint_test.cpp:"));
}

TEST_CASE("a full disk is told in the name of the function that was called") {
  if (!built_with_json()) return;
  const Folder folder;
  Run run(std::make_unique<Adam>());
  const auto text_of = [&](const auto& save) {
    const testing::IoFault full(testing::Call::write, ENOSPC, 0, 100);
    return testing::error_of<DataError>(save);
  };
  CHECK(testing::has(text_of([&] { save_checkpoint(folder / "a", run.trainer); }),
                     "[save_checkpoint] "));
  CHECK(testing::has(text_of([&] { save_parameters(folder / "a", run.mlp.parameters()); }),
                     "[save_parameters] "));
  CHECK(!std::filesystem::exists(folder / "a"));
  const auto missing = [&](const auto& load) { return testing::error_of<DataError>(load); };
  CHECK(testing::has(missing([&] { load_checkpoint(folder / "a", run.trainer); }),
                     "[load_checkpoint] "));
  CHECK(testing::has(missing([&] { load_parameters(folder / "a", run.mlp.parameters()); }),
                     "[load_parameters] "));
}

TEST_CASE("a number that is no layout is named") {
  const Folder folder;
  Run run(std::make_unique<Sgd>());
  save_parameters(folder / "a", run.mlp.parameters());
  const std::string text = testing::error_of<ValueError>(
      [&] { load_parameters(folder / "a", run.mlp.parameters(), static_cast<Layout>(9)); });
  CHECK(testing::has(text, "[load_parameters] there is no Layout of the number 9"));
  CHECK(testing::has(text, "checkpoint_test.cpp:"));
}
