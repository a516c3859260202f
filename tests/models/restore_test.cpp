// A state is restored whole or not at all, whatever is wrong with it and wherever memory runs out.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include <dualtape/data/batches.hpp>
#include <dualtape/data/loader.hpp>
#include <dualtape/models/callbacks.hpp>
#include <dualtape/models/checkpoint.hpp>
#include <dualtape/models/layers.hpp>
#include <dualtape/models/optimisers.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/losses.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/reduce.hpp>
#include <tests/allocations.hpp>
#include <tests/errors.hpp>
#include <tests/models/files.hpp>

using namespace dualtape;
using testing::error_of;
using testing::has;

namespace {

constexpr std::int64_t huge = std::numeric_limits<std::int64_t>::max();

// Remembers one number, and does not take numbers below 0.
class Picky final : public Callback {
 public:
  explicit Picky(std::string name) : name_(std::move(name)) {}
  std::string name() const override { return name_; }
  Tensor state() const override { return Tensor::of({number}); }
  void restore(const Tensor& state) override {
    number = state.item<std::int64_t>();
    if (number < 0) throw std::runtime_error("a number below 0");
  }
  std::int64_t number = 1;

 private:
  std::string name_;
};

struct Run {
  explicit Run(std::uint64_t seed = 1)
      : mlp({2, 3, 2}, Key{seed}),
        trainer([mlp = mlp](Var x, Var y) { return Objective(mse(mlp(x), y)); }, mlp.parameters(),
                backpropagation(), adam,
                {.schedule = constant_rate(0.01),
                 .key = Key{seed},
                 .callbacks = {std::make_shared<EarlyStopping>("loss of mine"), first, second}}) {}

  // What a state holds, copied; and the numbers of the run.
  std::vector<NamedTensor> state() const {
    std::vector<NamedTensor> all = trainer.state();
    for (NamedTensor& named : all) named.tensor = named.tensor.copy();
    return all;
  }

  Mlp mlp;
  Adam adam;
  std::shared_ptr<Picky> first = std::make_shared<Picky>("first");
  std::shared_ptr<Picky> second = std::make_shared<Picky>("second");
  Trainer trainer;
  Batches batches{{normal(Key{5}, {10, 2}), normal(Key{6}, {10, 2}), {}, {}, "noise"}, 4, Key{2}};
};

bool same(const std::vector<NamedTensor>& a, const std::vector<NamedTensor>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i].name != b[i].name || !identical(a[i].tensor, b[i].tensor)) return false;
  return true;
}

// The state with another tensor in place of that one.
std::vector<NamedTensor> with(std::vector<NamedTensor> state, const std::string& name,
                              const Tensor& tensor) {
  for (NamedTensor& named : state)
    if (named.name == name) named.tensor = tensor;
  return state;
}

Tensor doubles(std::initializer_list<double> values) {
  return Tensor::from(std::vector<double>(values), Shape{static_cast<std::int64_t>(values.size())});
}

}  // namespace

TEST_CASE("numbers that no run has come to are refused, and nothing has changed") {
  Run saved(2);
  saved.trainer.fit(saved.batches, {.steps = 4});
  const std::vector<NamedTensor> good = saved.state();
  Run run;
  run.trainer.fit(run.batches, {.steps = 2});
  const std::vector<NamedTensor> before = run.state();
  const auto refused = [&](const std::string& name, const Tensor& tensor) {
    CAPTURE(name);
    const std::string text =
        error_of<ValueError>([&] { run.trainer.restore(with(good, name, tensor)); });
    CHECK(has(text, name));
    CHECK(has(text, "restore_test.cpp:"));
    CHECK(same(run.state(), before));
  };
  // Steps, epochs, batches of the epoch, in the epoch or not: 4, 2, 1, 1.
  for (const std::int64_t bad :
       {std::int64_t{-5}, std::int64_t{-1}, huge, huge - 1, huge / 2, (std::int64_t{1} << 53U) + 1,
        std::numeric_limits<std::int64_t>::min()}) {
    CAPTURE(bad);
    refused("trainer/position", Tensor::of({bad, 2, 1, 1}));
    refused("trainer/position", Tensor::of({4, bad, 1, 1}));
    refused("trainer/position", Tensor::of({4, 2, bad, 1}));
    refused("trainer/position", Tensor::of({4, 2, 1, bad}));
    refused("trainer/batches", Tensor::of({bad, 4, 10}));
    refused("trainer/batches", Tensor::of({3, bad, 10}));
    refused("trainer/batches", Tensor::of({3, 4, bad}));
    refused("trainer/order", Tensor::of({bad, 0}));
  }
  refused("trainer/position", Tensor::of({4, 2, 1, 2}));
  refused("trainer/position", Tensor::of({4, 2, 5, 1}));  // more batches than steps
  refused("trainer/position", Tensor::of({4, 6, 1, 1}));  // more epochs than steps
  refused("trainer/position", Tensor::of({0, 0, 0, 1}));  // in an epoch before the first
  refused("trainer/position", Tensor::of({4, 2, 1}));
  refused("trainer/position", doubles({4, 2, 1, 1}));
  refused("trainer/order", Tensor::of({3, 0}));
  refused("trainer/epoch_loss", doubles({1, -5}));
  refused("trainer/epoch_loss", doubles({1, 1e300}));
  refused("trainer/epoch_loss", doubles({1, 0.5}));
  refused("trainer/epoch_loss", doubles({1, NAN}));
  refused("trainer/epoch_loss", doubles({1, INFINITY}));
  std::vector<NamedTensor> twice = good;
  twice.push_back(good.front());
  CHECK(has(error_of<ValueError>([&] { run.trainer.restore(twice); }), "two tensors"));
  CHECK(same(run.state(), before));
  run.trainer.restore(good);
  CHECK(same(run.state(), good));
}

TEST_CASE("what callbacks and schedules remember is looked through as well") {
  EarlyStopping stopping("x");
  for (const Tensor& bad :
       {doubles({1, -5}), doubles({1, 1e300}), doubles({1, 0.5}), doubles({1, NAN}),
        doubles({NAN, 1}), Tensor::of({0, -5, 0}), Tensor::of({0, huge, 0}),
        Tensor::of({0, 1, huge}), Tensor::of({0, 1, -8}), Tensor::of({0, 1}), Tensor(),
        // 16 bytes kept are two words, or four with the last ones.
        Tensor::of({0, 1, 16, 7}), Tensor::of({0, 1, 16, 7, 7, 7}), Tensor::of({0, 1, 0, 7}),
        Tensor::of({0, 1, 16, 7, 7, 7, 7, 7})}) {
    CAPTURE(bad);
    CHECK_THROWS_AS(stopping.restore(bad), ValueError);
  }
  stopping.restore(doubles({0.5, 3}));
  stopping.restore(Tensor::of({0, 1, 16, 7, 7}));
  CHECK(identical(stopping.state(), Tensor::of({0, 1, 16, 7, 7})));
  stopping.restore(Tensor::of({0, 1, 16, 7, 7, 8, 8}));
  CHECK(identical(stopping.state(), Tensor::of({0, 1, 16, 7, 7, 8, 8})));
  Plateau plateau(constant_rate(1));
  const Tensor fresh = plateau.state();
  for (const Tensor& bad :
       {doubles({0, 1, 1, 1}), doubles({-1, 1, 1, 1}), doubles({NAN, 1, 1, 1}),
        doubles({INFINITY, 1, 1, 1}), doubles({1, NAN, 1, 1}), doubles({1, 1, -1, 1}),
        doubles({1, 1, 1e17, 1}), doubles({1, 1, 1, 0.5}), doubles({1, 1, 1, NAN})}) {
    CAPTURE(bad);
    CHECK_THROWS_AS(plateau.restore(bad), ValueError);
    CHECK(identical(plateau.state(), fresh));
  }
}

TEST_CASE("a callback that refuses its part leaves all as it was") {
  Run saved(2);
  saved.trainer.fit(saved.batches, {.steps = 4});
  saved.first->number = 7;
  const std::vector<NamedTensor> good = saved.state();
  Run run;
  run.trainer.fit(run.batches, {.steps = 2});
  const std::vector<NamedTensor> before = run.state();
  const auto bad = with(good, "callback/second", Tensor::of({-1}));
  CHECK_THROWS_AS(run.trainer.restore(bad), std::runtime_error);
  CHECK(same(run.state(), before));
  CHECK(run.first->number == 1);
  run.trainer.restore(good);
  CHECK(run.first->number == 7);
  CHECK(same(run.state(), good));
}

TEST_CASE("memory that runs out at any allocation leaves the old state or the new one") {
  Run saved(2);
  saved.trainer.fit(saved.batches, {.steps = 4});
  const std::vector<NamedTensor> good = saved.state();
  Run run;
  run.trainer.fit(run.batches, {.steps = 2});
  const std::vector<NamedTensor> before = run.state();
  bool done = false;
  std::uint64_t number = 0;
  for (; !done && number < 5000; ++number) {
    try {
      const NoMemory from(number);
      run.trainer.restore(good);
      done = true;
    } catch (const std::bad_alloc&) {
      if (!same(run.state(), before)) {
        CAPTURE(number);
        const std::vector<NamedTensor> now = run.state();
        for (std::size_t i = 0; i < now.size(); ++i)
          if (!identical(now[i].tensor, before[i].tensor)) MESSAGE(now[i].name);
        FAIL("half a state");
      }
    }
  }
  CHECK(done);
  CHECK(number > 10);
  CHECK(same(run.state(), good));
}

TEST_CASE("memory that runs out while a file is loaded or saved is an exception and no more") {
  if (!built_with_json()) return;
  const Folder folder;
  const TensorFile file{
      {{"weight", Tensor{{1, 2, 3}, {4, 5, 6}}}, {"steps", Tensor(std::int64_t{1})}},
      {{"note", "text"}}};
  save_safetensors(folder / "a", file);
  const auto at_every = [](const auto& act) {
    for (std::uint64_t number = 0; number < 5000; ++number) {
      try {
        const NoMemory from(number);
        act();
        return number;
      } catch (const std::bad_alloc&) {
        continue;
      } catch (const Error&) {  // whose text found memory, as it may be freed on the way
        continue;
      }
    }
    return std::uint64_t{0};
  };
  CHECK(at_every([&] { load_safetensors(folder / "a"); }) > 10);
  CHECK(at_every([&] { save_safetensors(folder / "b", file); }) > 10);
  check_same(load_safetensors(folder / "b"), file);
  CHECK(at_every([&] { load_npy(DUALTAPE_SOURCE "/tests/fixtures/format_1/matrix.npy"); }) > 3);
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()),
                      std::filesystem::directory_iterator{}) == 2);
}

TEST_CASE("an L-BFGS run is restored whole or not at all") {
  const Parameter p("p", Tensor{-1.2, 1});
  Graph g;
  const Var x = g.read(p);
  const Var loss = sum(square(x - g.constant(Tensor{1, 2})) * g.constant(Tensor{1, 10}));
  Lbfgs lbfgs({p}, loss, reverse(loss, {p}), {.iterations = 2, .change_below = 0});
  lbfgs.minimise();
  std::vector<NamedTensor> good = lbfgs.state();
  for (NamedTensor& named : good) named.tensor = named.tensor.copy();
  Parameter(p).set(Tensor{8, 9});
  for (const std::int64_t bad : {std::int64_t{-5}, huge}) {
    CHECK(has(error_of<ValueError>([&] {
                lbfgs.restore(with(good, "lbfgs/counts", Tensor::of({bad, 3})));
              }),
              "lbfgs/counts"));
    CHECK(identical(p.value(), Tensor{8, 9}));
  }
  const double inf = std::numeric_limits<double>::infinity();
  for (const double bad : {std::nan(""), inf, -inf}) {
    CAPTURE(bad);
    for (const char* name : {"lbfgs/point", "lbfgs/gradient", "lbfgs/steps", "lbfgs/changes"}) {
      CAPTURE(name);
      std::vector<NamedTensor> broken = good;
      for (NamedTensor& named : broken)
        if (named.name == name) {
          named.tensor = named.tensor.copy();
          named.tensor.data<double>().back() = bad;
        }
      const std::string text = error_of<ValueError>([&] { lbfgs.restore(broken); });
      CHECK(has(text, name));
      CHECK(has(text, "restore_test.cpp:"));
    }
    CHECK_THROWS_AS(lbfgs.restore(with(good, "lbfgs/numbers", doubles({bad, 1}))), ValueError);
    CHECK(identical(p.value(), Tensor{8, 9}));
  }
  for (const double bad : {-1.0, std::nan("")})
    CHECK_THROWS_AS(lbfgs.restore(with(good, "lbfgs/numbers", doubles({1, bad}))), ValueError);
  bool done = false;
  for (std::uint64_t number = 0; !done && number < 5000; ++number) {
    try {
      const NoMemory from(number);
      lbfgs.restore(good);
      done = true;
    } catch (const std::bad_alloc&) {
      CHECK(identical(p.value(), Tensor{8, 9}));
    }
  }
  CHECK(done);
  CHECK(same(lbfgs.state(), good));
}

TEST_CASE("a training by batches that were moved from is told at the user's line") {
  Run run;
  Batches moved = std::move(run.batches);
  Loader loader(moved.dataset(), 4, Key{2});
  const Loader taken = std::move(loader);
  // NOLINTBEGIN(bugprone-use-after-move): that is the matter
  for (const std::string& text :
       {error_of<Error>([&] { run.trainer.fit(run.batches, {.steps = 1}); }),
        error_of<Error>([&] { run.trainer.fit(loader, {.steps = 1}); })}) {
    CHECK(has(text, "moved from"));
    CHECK(has(text, "restore_test.cpp:"));
  }
  // NOLINTEND(bugprone-use-after-move)
  CHECK(run.trainer.steps_done() == 0);
}

TEST_CASE("a number of steps that no run has come to is not an optimiser's") {
  Run run;
  run.trainer.fit(run.batches, {.steps = 2});
  const std::vector<NamedTensor> before = run.state();
  std::string name;
  for (const NamedTensor& named : before)
    if (named.name.ends_with(".steps")) name = named.name;
  REQUIRE(!name.empty());
  for (const std::int64_t bad : {std::int64_t{-5}, huge, (std::int64_t{1} << 53U) + 1}) {
    CAPTURE(bad);
    const auto broken = with(before, name, Tensor(bad));
    // The same where the optimiser has not met its parameters yet.
    Run fresh;
    for (Run* one : {&run, &fresh}) {
      const std::string text = error_of<ValueError>([&] { one->trainer.restore(broken); });
      CHECK(has(text, "which is no number of steps"));
      CHECK(has(text, "restore_test.cpp:"));
    }
    CHECK(same(run.state(), before));
  }
}

TEST_CASE("what prepare_restore() gave may be called when the optimiser has ended") {
  const Parameter p("p", Tensor{1, 2});
  const auto stepped = [&](Adam& adam) {
    Graph g;
    const Var loss = sum(square(g.read(p)));
    const auto assigns = adam.update({p}, reverse(loss, {p}), 0.1);
    compile({}, assigns).run({});
  };
  std::vector<NamedTensor> state;
  {
    Adam saved;
    stepped(saved);
    state = saved.named_state();
    for (NamedTensor& named : state) named.tensor = named.tensor.copy();
  }
  std::function<void()> restore;
  {
    Adam ended;
    stepped(ended);
    stepped(ended);
    restore = ended.prepare_restore(state);
  }
  restore();
  Adam there;
  stepped(there);
  stepped(there);
  restore = there.prepare_restore(state);
  CHECK(!same(there.named_state(), state));
  restore();
  CHECK(same(there.named_state(), state));
}

TEST_CASE("a callback that refuses its state is named at the user's line") {
  Run run;
  const auto bad = with(run.state(), "callback/early stopping by loss of mine", Tensor::of({1}));
  const std::string text = error_of<ValueError>([&] { run.trainer.restore(bad); });
  CHECK(has(text, "[restore 'callback/early stopping by loss of mine']"));
  CHECK(has(text, "this is no state of an EarlyStopping"));
  CHECK(has(text, "restore_test.cpp:"));
}

TEST_CASE("a state without a callback's part is refused by name, and nothing has changed") {
  Run run;
  const std::vector<NamedTensor> good = run.state();
  std::vector<NamedTensor> without = good;
  std::erase_if(without, [](const NamedTensor& named) {
    return named.name == "callback/early stopping by loss of mine";
  });
  REQUIRE(without.size() + 1 == good.size());
  const std::string text = error_of<ValueError>([&] { run.trainer.restore(without); });
  CHECK(has(text, "[restore 'callback/early stopping by loss of mine']"));
  CHECK(has(text, "has no 'callback/early stopping by loss of mine'\n  at "));
  CHECK(has(text, "restore_test.cpp:"));
  CHECK(same(run.state(), good));
}
