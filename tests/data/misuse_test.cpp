// Every function of data/ that a mistake is made with names itself, what was given and the user's
// line; objects that were moved from, empty or left behind are mistakes like others.
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <dualtape/data/augment.hpp>
#include <dualtape/data/batches.hpp>
#include <dualtape/data/cifar.hpp>
#include <dualtape/data/csv.hpp>
#include <dualtape/data/dataset.hpp>
#include <dualtape/data/idx.hpp>
#include <dualtape/data/loader.hpp>
#include <dualtape/data/mnist.hpp>
#include <dualtape/data/npz.hpp>
#include <dualtape/data/paths.hpp>

#include <tests/allocations.hpp>
#include "temporary.hpp"

using namespace dualtape;
using namespace dualtape::testing;

namespace {

constexpr std::int64_t huge = std::numeric_limits<std::int64_t>::max();

Dataset images(std::int64_t count = 6) {
  return {uniform(Key{1}, {count, 1, 4, 4}), zeros({count}, int64), {"a", "b"}, {}, "images"};
}

// `act` throws an Error that says where in this file it was called, and what to do.
void check_told(const std::string& name, const std::function<void()>& act) {
  CAPTURE(name);
  const std::string text = error_of<Error>(act);
  CHECK(has(text, "misuse_test.cpp:"));
  CHECK(has(text, "\n  try: "));
  CHECK(text.front() == '[');
}

}  // namespace

TEST_CASE("mistakes with data sets are told at the user's line") {
  const Dataset good = images();
  Dataset ragged = good;
  ragged.labels = zeros({5}, int64);
  const Dataset scalars{Tensor(1.0), Tensor(1.0), {}, {}, "scalars"};
  const std::array<std::int64_t, 1> beyond{6};
  const std::array<std::int64_t, 1> negative{-1};
  Tensor target({1, 4, 4});
  check_told("count", [&] { static_cast<void>(ragged.count()); });
  check_told("count of scalars", [&] { static_cast<void>(scalars.count()); });
  check_told("take", [&] { take(good, beyond); });
  check_told("take ragged", [&] { take(ragged, beyond); });
  check_told("take_rows", [&] { take_rows(good.inputs, negative); });
  check_told("take_rows_into", [&] { take_rows_into(good.inputs, beyond, target); });
  check_told("rows_like", [&] { rows_like(good.inputs, -1); });
  check_told("shuffle", [&] { shuffle(ragged, Key{1}); });
  check_told("split", [&] { split(good, 1.5, Key{1}); });
  check_told("split NaN", [&] { split(good, std::numeric_limits<double>::quiet_NaN(), Key{1}); });
  check_told("split of one", [&] { split(images(1), 0.5, Key{1}); });
  check_told("split of nothing", [&] { split(Dataset{}, 0.5, Key{1}); });
  check_told("split stratified", [&] {
    split({good.inputs, good.labels.to(float32), {}, {}, ""}, 0.5, Key{1}, Stratify::yes);
  });
}

TEST_CASE("mistakes with batches and loaders are told at the user's line") {
  const Dataset good = images();
  check_told("batch size", [&] { Batches(good, 0); });
  check_told("drop", [&] { Batches(good, 7, LastBatch::drop); });
  Batches batches(good, 4);
  check_told("epoch", [&] { batches.epoch(-1); });
  check_told("past the end", [&] {
    auto it = batches.begin();
    ++it;
    ++it;
    static_cast<void>(*it);
  });
  check_told("beyond the end", [&] {
    auto it = batches.begin();
    for (int i = 0; i < 4; ++i) ++it;
  });
  check_told("loader's batch size", [&] { Loader(good, -3, Key{1}); });
  check_told("ahead", [&] { Loader(good, 4, Key{1}, {.ahead = 0}); });
  check_told("augmentation", [&] { Loader(good, 4, Key{1}, {.augmentation = {.flip = 2}}); });
  Loader loader(good, 4, Key{1}, {.ahead = huge});
  check_told("loader's epoch", [&] { loader.epoch(-1); });
  check_told("resume", [&] { loader.resume({0, 3, Key{1}}); });
  check_told("resume far", [&] { loader.resume({huge, 0, Key{1}}); });
  check_told("loader past the end", [&] {
    auto it = loader.begin();
    ++it;
    ++it;
    static_cast<void>(it->count());
  });
  // A transform that replaces what it may only write to.
  Loader replaced(good, 4, Key{1},
                  {.transform = [](Batch& batch, Key) { batch.inputs = Tensor(); }});
  check_told("transform", [&] {
    for (const Batch& batch : replaced.epoch(0)) static_cast<void>(batch.count());
  });
}

TEST_CASE("numbers that are no values of their enumeration are named") {
  const TemporaryFolder folder;
  const Dataset good = images();
  const auto told = [](const std::string& name, const std::string& type,
                       const std::function<void()>& act) {
    check_told(name, act);
    const std::string text = error_of<ValueError>(act);
    CHECK(has(text, "[" + name));
    CHECK(has(text, "there is no " + type + " of the number 99"));
  };
  const auto last = static_cast<LastBatch>(99);
  told("Batches", "LastBatch", [&] { Batches(good, 4, last); });
  told("Batches", "LastBatch", [&] { Batches(good, 4, Key{1}, last); });
  told("Batches", "LastBatch", [&] { Loader(good, 4, Key{1}, {.last = last}); });
  told("split", "Stratify", [&] { split(good, 0.5, Key{1}, static_cast<Stratify>(99)); });
  const auto part = static_cast<Part>(99);
  told("load_cifar10", "Part", [&] { load_cifar10(part); });
  told("load_mnist", "Part", [&] { load_mnist(part); });
  told("load_fashion_mnist", "Part", [&] { load_fashion_mnist(part); });
  const Table table = read_csv(folder.write("x.csv", "a,b\n1,2\n"));
  const std::array<std::int64_t, 1> first{0};
  told("Table::numbers", "Missing",
       [&] { static_cast<void>(table.numbers(first, float32, static_cast<Missing>(99))); });
  const std::vector<NamedTensor> tensors{{"x", ones({2})}};
  told("save_npz", "Compression",
       [&] { save_npz(folder / "x.npz", tensors, static_cast<Compression>(99)); });
  CHECK(!std::filesystem::exists(folder / "x.npz"));
}

TEST_CASE("objects that were moved from say so; what they were moved to goes on") {
  Loader first(images(), 4, Key{1});
  Loader second = std::move(first);
  // NOLINTBEGIN(bugprone-use-after-move): that is the matter
  check_told("per_epoch", [&] { static_cast<void>(first.per_epoch()); });
  check_told("batch_size", [&] { static_cast<void>(first.batch_size()); });
  check_told("dataset", [&] { static_cast<void>(first.dataset()); });
  check_told("key", [&] { static_cast<void>(first.key()); });
  check_told("state", [&] { static_cast<void>(first.state()); });
  check_told("epoch", [&] { first.epoch(0); });
  check_told("begin", [&] { first.begin(); });
  check_told("resume", [&] { first.resume({}); });
  check_told("a loop", [&] {
    for (const Batch& batch : first) static_cast<void>(batch.count());
  });
  first = std::move(second);
  std::int64_t rows = 0;
  for (const Batch& batch : first.epoch(0)) rows += batch.count();
  CHECK(rows == 6);

  Batches batches(images(), 4, Key{1});
  auto epoch = batches.epoch(0);
  Batches moved = std::move(batches);
  check_told("batches", [&] { batches.epoch(0); });
  check_told("batches' loop", [&] {
    for (const Batch& batch : batches) static_cast<void>(batch.count());
  });
  check_told("an epoch of before", [&] { epoch.begin(); });
  // NOLINTEND(bugprone-use-after-move)
  rows = 0;
  for (const Batch& batch : moved.epoch(0)) rows += batch.count();
  CHECK(rows == 6);
  // Nothing at all is a data set of no rows.
  Batches none(Dataset{}, 4);
  for (const Batch& batch : none.epoch(0)) CHECK(batch.count() < 0);
  Loader nothing(Dataset{}, 4, Key{1});
  for (const Batch& batch : nothing.epoch(0)) CHECK(batch.count() < 0);
  CHECK_THROWS_AS(static_cast<void>(*Batches::Iterator()), ValueError);
  CHECK_THROWS_AS(static_cast<void>(*Loader::Iterator()), ValueError);
}

TEST_CASE("mistakes with images are told at the user's line") {
  const Tensor good = images().inputs;
  const std::array<std::int64_t, 1> beyond{6};
  const std::array<std::int64_t, 1> fine{0};
  Tensor target({1, 1, 4, 4});
  Tensor other({1, 4});
  check_told("rank", [&] { augment(Tensor{1, 2}, {.flip = 1}, Key{1}); });
  check_told("dtype", [&] { augment(good.to(float64), {.flip = 1}, Key{1}); });
  check_told("padding", [&] { augment(good, {.crop_padding = -1}, Key{1}); });
  check_told("huge padding", [&] { augment(good, {.crop_padding = huge}, Key{1}); });
  check_told("mean", [&] { augment(good, {.mean = {INFINITY}, .deviation = {1}}, Key{1}); });
  check_told("deviation", [&] { augment(good, {.mean = {0}, .deviation = {NAN}}, Key{1}); });
  check_told("counts", [&] { augment(good, {.mean = {0, 0}, .deviation = {1, 1}}, Key{1}); });
  check_told("row", [&] { augment_rows_into(good, beyond, {.flip = 1}, Key{1}, target); });
  check_told("target", [&] { augment_rows_into(good, fine, {.flip = 1}, Key{1}, other); });
  check_told("empty", [&] { augment_rows_into(Tensor(), fine, {}, Key{1}, target); });
  check_told("no pixels", [&] { normalisation_of(zeros({0, 1, 4, 4})); });
  check_told("constant", [&] { normalisation_of(ones({2, 1, 4, 4})); });
}

TEST_CASE("mistakes with tables and files are told at the user's line") {
  const TemporaryFolder folder;
  const auto table = read_csv(folder.write("t.csv", "x,y\n1,a\n,b\n"));
  const auto told = [](const std::string& name, const std::function<void()>& act) {
    CAPTURE(name);
    CHECK(has(error_of<Error>(act), "misuse_test.cpp:"));
  };
  const std::vector<std::int64_t> beyond{2};
  const std::vector<std::int64_t> first{0};
  std::vector<std::string> classes{"a"};
  told("column", [&] { table.column("z"); });
  told("text", [&] { table.text(2, 0); });
  told("missing", [&] { table.missing(0, -1); });
  told("line", [&] { table.line(-1); });
  told("without_missing", [&] { table.without_missing(beyond); });
  told("numbers", [&] { table.numbers(beyond); });
  told("numbers missing", [&] { table.numbers(first); });
  told("numbers bool", [&] { table.numbers(first, boolean); });
  told("numbers of no dtype", [&] { table.numbers(first, static_cast<DType>(99)); });
  told("categories", [&] { table.categories(2, classes); });
  told("categories unknown", [&] { table.categories(1, classes); });
  told("an empty table", [&] { Table().numbers(first); });
  told("to_dataset", [&] { to_dataset(table, {"x", "z"}, "y", "t"); });
  told("to_dataset by number", [&] { to_dataset(table, first, 1, {"a"}, "t"); });
  told("separator", [&] { read_csv(folder / "t.csv", {.separator = '"'}); });
  told("ragged", [&] { read_csv(folder.write("r.csv", "x,y\n1\n")); });
  told("find_data", [] { find_data("no/such/file"); });
  told("load_mnist", [&] {
    const DataFolder empty(folder.path().string());
    folder.write("mnist/train-images-idx3-ubyte", "no");
    folder.write("mnist/train-labels-idx1-ubyte", "no");
    load_mnist(Part::train);
  });
  told("load_cifar10", [] { load_cifar10(std::span<const std::filesystem::path>{}); });
  told("load_cifar10 of a part", [&] {
    const DataFolder empty(folder.path().string());
    folder.write("cifar-10-batches-bin/test_batch.bin", "no");
    load_cifar10(Part::test);
  });
  told("load_idx", [&] { load_idx(folder.write("cut.idx", "\1")); });
  told("load_idx_images", [&] { load_idx_images(folder / "t.csv", folder / "t.csv", {}, ""); });
  told("load_npy", [&] { load_npy(folder / "t.csv"); });
  told("save_npy", [&] { save_npy(folder / "no" / "t.npy", Tensor{1}); });
  told("load_npz", [&] { load_npz(folder / "t.csv"); });
  told("save_npz", [&] { save_npz(folder / "t.npz", {}); });
}

TEST_CASE("a transform that asks its own loader for a batch is refused, and waits for none") {
  Loader* own = nullptr;
  std::function<void()> act;
  Loader loader(images(), 4, Key{1}, {.transform = [&](Batch&, Key) { act(); }});
  own = &loader;
  const auto told = [&](const char* name, std::function<void()> wrong) {
    act = std::move(wrong);
    check_told(name, [&] {
      for (const Batch& batch : loader.epoch(0)) static_cast<void>(batch.count());
    });
  };
  told("epoch", [&] { own->epoch(0); });
  told("a loop", [&] {
    for (const Batch& batch : *own) static_cast<void>(batch.count());
  });
  told("resume", [&] { own->resume({}); });
  told("state", [&] { static_cast<void>(own->state()); });
  act = [] {};
  std::int64_t rows = 0;
  for (const Batch& batch : loader.epoch(1)) rows += batch.count();
  CHECK(rows == 6);
}

TEST_CASE("readers for whose files there is no memory name the function, the file and the line") {
  const TemporaryFolder folder;
  const std::vector<NamedTensor> tensors{{"x", ones({64, 64})}};
  save_npy(folder / "x.npy", tensors[0].tensor);
  save_npz(folder / "x.npz", tensors);
  const auto idx_file = [&] {
    std::string idx("\0\0\x08\x01\0\0\x40\0", 8);
    return folder.write("x.idx", idx.append(0x4000, '\1'));
  }();
  const std::array<std::filesystem::path, 1> cifar{folder.write("x.bin", std::string(3073, '\0'))};
  const auto told = [&](const char* function, const auto& load) {
    CAPTURE(function);
    const std::string text = error_of<MemoryError>([&] {
      const LargeAllocationsFail from(4096);
      load();
    });
    CHECK(has(text, std::string("[") + function + "] " + folder.path().string()));
    CHECK(has(text, "there is no memory for "));
    CHECK(has(text, "misuse_test.cpp:"));
  };
  told("load_npy", [&] { load_npy(folder / "x.npy"); });
  told("save_npz", [&] { save_npz(folder / "y.npz", tensors); });
  CHECK(!std::filesystem::exists(folder / "y.npz"));
  told("load_npz", [&] { load_npz(folder / "x.npz"); });
  told("load_npz", [&] { load_npz(folder / "x.npz", "x"); });
  told("load_idx", [&] { load_idx(idx_file); });
  told("load_cifar10", [&] { load_cifar10(cifar); });
}
