// Files that were damaged, and files of earlier versions.
#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <string>

#include <dualtape/core/files/crc32c.hpp>
#include <dualtape/data/batches.hpp>
#include <dualtape/data/npz.hpp>
#include <dualtape/models/checkpoint.hpp>
#include <dualtape/models/layers.hpp>
#include <dualtape/models/optimisers.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/losses.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/reduce.hpp>
#include <tests/errors.hpp>
#include <tests/models/files.hpp>

using namespace dualtape;
using testing::error_of;
using testing::has;

namespace {

std::filesystem::path old_file(const std::string& name) {
  return std::filesystem::path(DUALTAPE_SOURCE "/tests/fixtures/format_1") / name;
}

TensorFile small_file() {
  return {{{"weight", Tensor{{1, 2, 3}, {4, 5, 6}}},
           {"steps", Tensor(std::int64_t{42})},
           {"mask", Tensor::of({1, 0, 1}).to(boolean)},
           {"none", Tensor(Shape{0, 4})}},
          {{"note", "dualtape.header"}}};
}

void flip(std::string& bytes, std::size_t bit) {
  bytes[bit / 8] = static_cast<char>(static_cast<unsigned char>(bytes[bit / 8]) ^ 1U << bit % 8);
}

// The header's text, and the file with another one in its place.
std::string header_of(const std::string& bytes) {
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  return bytes.substr(8, length);
}
std::string with_header(const std::string& bytes, const std::string& header) {
  const std::uint64_t length = header.size();
  std::string made(8, '\0');
  std::memcpy(made.data(), &length, 8);
  return made + header + bytes.substr(8 + header_of(bytes).size());
}
std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("every flipped bit of a file is an error that names the tensor or the header") {
  if (!built_with_json()) return;
  const Folder folder;
  const auto path = folder / "a.safetensors";
  const TensorFile saved = small_file();
  save_safetensors(path, saved);
  check_same(load_safetensors(path), saved);
  const std::string whole = bytes_of_file(path);
  const std::size_t data = 8 + header_of(whole).size();
  REQUIRE(whole.size() == data + 24 + 8 + 3);
  for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::string changed = whole;
    flip(changed, bit);
    write_bytes(path, changed);
    const std::string text = testing::text_thrown<DataError>([&] { load_safetensors(path); });
    // The wide elements come first.
    const std::size_t place = bit / 8;
    const char* name = place < data        ? "header"
                       : place < data + 8  ? "'steps'"
                       : place < data + 32 ? "'weight'"
                                           : "'mask'";
    if (testing::contains(text, name) && testing::contains(text, path.string()) &&
        testing::contains(text, "damage_test.cpp"))
      continue;
    CAPTURE(bit);
    CAPTURE(text);
    FAIL_CHECK("a flipped bit was not told as it should be");
  }
}

TEST_CASE("a checkpoint with a flipped bit is not resumed from, and nothing has changed") {
  if (!built_with_json()) return;
  const Folder folder;
  const Parameter p("p", Tensor{3, 4});
  save_parameters(folder / "p", {p});
  std::string bytes = bytes_of_file(folder / "p");
  flip(bytes, 8 * bytes.size() - 3);
  write_bytes(folder / "p", bytes);
  Parameter q("p", Tensor{1, 2});
  const std::string text = error_of<DataError>([&] { load_parameters(folder / "p", {q}); });
  CHECK(has(text, "'p' is damaged"));
  CHECK(identical(q.value(), Tensor{1, 2}));
}

TEST_CASE("the checksums are those that are published, where other readers pass them over") {
  if (!built_with_json()) return;
  const Folder folder;
  Tensor eight(Shape{}, int64);
  std::memcpy(eight.raw(), "12345678", 8);
  save_safetensors(folder / "a", {{{"x", eight}}, {}});
  const std::string header = header_of(bytes_of_file(folder / "a"));
  CHECK(has(header, R"("dualtape.format":"2")"));
  // CRC-32C of "12345678".
  CHECK(has(header, R"("dualtape.crc32c":"6087809a")"));
  CHECK(has(header, R"("x":{"dtype":"I64","shape":[],"data_offsets":[0,8]})"));
  CHECK(load_safetensors(folder / "a").metadata.empty());
  CHECK(has(error_of<ValueError>([&] {
              save_safetensors(folder / "a", {{}, {{"dualtape.crc32c", "x"}}});
            }),
            "dualtape.crc32c"));
}

TEST_CASE("marks that are missing, changed or of a newer version") {
  if (!built_with_json()) return;
  const Folder folder;
  const auto path = folder / "a";
  save_safetensors(path, small_file());
  const std::string whole = bytes_of_file(path);
  const std::string header = header_of(whole);
  const auto refusal = [&](const std::string& changed) {
    write_bytes(path, with_header(whole, changed));
    return error_of<DataError>([&] { load_safetensors(path); });
  };
  CHECK(has(refusal(replaced(header, "dualtape.format", "dualtape.Format")), "marks is missing"));
  CHECK(has(refusal(replaced(header, "dualtape.crc32c", "dualtape.crc32d")), "marks is missing"));
  CHECK(has(refusal(replaced(header, "dualtape.header\":", "dualtape.heade_\":")),
            "marks is missing"));
  // Another program that kept the metadata: told what to do.
  const std::string renamed = refusal(replaced(header, "\"weight\"", "\"Weight\""));
  CHECK(has(renamed, "changed by another program"));
  CHECK(has(renamed, "begin with 'dualtape.'"));
  CHECK(has(refusal(header + "  "), "changed by another program"));
  // A whole one of a format to come.
  std::string newer = replaced(header, R"("dualtape.format":"2")", R"("dualtape.format":"3")");
  const std::string before = R"("dualtape.header":")";
  const std::size_t sum = newer.find(before) + before.size();
  newer.replace(sum, 8, "00000000");
  newer.replace(sum, 8, detail::hex8(detail::crc32c(newer)));
  CHECK(has(refusal(newer), "format 3"));
  // All three gone: a file as other programs write them.
  std::string plain = header;
  for (const std::string key : {"format", "crc32c", "header"})
    plain = replaced(plain, "\"dualtape." + key + "\":", "\"other." + key + "\":");
  write_bytes(path, with_header(whole, plain));
  CHECK(load_safetensors(path).tensors.size() == 4);
}

TEST_CASE("files of the format before are read") {
  if (!built_with_json()) return;
  const TensorFile file = load_safetensors(old_file("tensors.safetensors"));
  check_same(file, {{{"w", Tensor{{0, 0.25, 0.5}, {0.75, 1, 1.25}}},
                     {"wide", Tensor::scalar(0.1)},
                     {"steps", Tensor(std::int64_t{42})},
                     {"mask", Tensor::of({1, 0, 1}).to(boolean)},
                     {"none", Tensor(Shape{0, 4})}},
                    {{"note", "line\n\"quoted\""}}});
  CHECK(identical(load_npy(old_file("matrix.npy")), Tensor{{0, 0.25, 0.5}, {0.75, 1, 1.25}}));
}

TEST_CASE("runs are gone on with from checkpoints of the format before") {
  if (!built_with_json()) return;
  const Mlp mlp({2, 3, 2}, Key{9}, {.activation = Activation::tanh});
  Adam adam;
  const Dataset data{normal(Key{5}, {10, 2}), normal(Key{6}, {10, 2}), {}, {}, "noise"};
  Batches batches(data, 4, Key{2});
  Trainer trainer([&](Var x, Var y) { return Objective(mse(mlp(x), y)); }, mlp.parameters(),
                  backpropagation(), adam, {.schedule = constant_rate(0.01)});
  load_checkpoint(old_file("trainer.safetensors"), trainer);
  CHECK(trainer.steps_done() == 5);
  CHECK(trainer.epochs_begun() == 2);
  // The parameters are those that were saved alone, which were another file.
  const TensorFile alone = load_safetensors(old_file("parameters.safetensors"));
  for (const Parameter& parameter : mlp.parameters()) {
    REQUIRE(alone.find(parameter.name()) != nullptr);
    CHECK(identical(parameter.value(), *alone.find(parameter.name())));
  }
  CHECK(trainer.fit(batches, {.until_epoch = 2}).steps == 1);

  const Parameter p("p", Tensor{-1.2, 1});
  Graph g;
  const Var x = g.read(p);
  const Var loss = sum(square(x - g.constant(Tensor{1, 2})) * g.constant(Tensor{1, 10}));
  Lbfgs lbfgs({p}, loss, reverse(loss, {p}), {.iterations = 60});
  load_checkpoint(old_file("lbfgs.safetensors"), lbfgs);
  lbfgs.minimise();
  CHECK(all_close(p.value(), Tensor{1, 2}, 1e-4));
}

TEST_CASE("tensors are read by name, and the others of a file where one cannot be") {
  if (!built_with_json()) return;
  const Folder folder;
  const auto path = folder / "a";
  save_safetensors(path, small_file());
  const TensorFile two = load_safetensors(path, {.names = {"mask", "steps"}});
  CHECK(two.tensors.size() == 2);
  CHECK(two.find("mask") != nullptr);
  const std::string text =
      error_of<DataError>([&] { load_safetensors(path, {.names = {"bias"}}); });
  CHECK(has(text, "'bias'"));
  CHECK(has(text, "'weight'"));

  // One damaged, one of a dtype of its own, one cut off.
  std::string bytes = bytes_of_file(path);
  const std::string whole = bytes;
  flip(bytes, 8 * (bytes.size() - 20));
  write_bytes(path, bytes);
  const TensorFile rest = load_safetensors(path, {.skip_unreadable = true});
  CHECK(rest.tensors.size() == 3);
  REQUIRE(rest.unread.size() == 1);
  CHECK(rest.unread[0].name == "weight");
  CHECK(has(rest.unread[0].why, "damaged"));
  CHECK(load_safetensors(path, {.names = {"steps"}}).tensors.size() == 1);
  write_bytes(path, whole.substr(0, whole.size() - 1));
  CHECK(load_safetensors(path, {.skip_unreadable = true}).unread.size() == 1);
  const std::string foreign = R"({"a":{"dtype":"F8_E4M3","shape":[3],"data_offsets":[0,3]},)"
                              R"("b":{"dtype":"F16","shape":[2],"data_offsets":[3,7]},)"
                              R"("c":{"dtype":"U64","shape":[1],"data_offsets":[7,15]},)"
                              R"("d":{"dtype":"BF16","shape":[1,2],"data_offsets":[15,19]}})";
  write_bytes(path, with_header(std::string(8, '\0'), foreign) +
                        std::string("\1\2\3\0\x3c\xff\x7b\0\0\0\0\0\0\0\0\xc0\x3f\0\x80", 19));
  CHECK(has(error_of<DataError>([&] { load_safetensors(path); }), "F8_E4M3"));
  const TensorFile known = load_safetensors(path, {.skip_unreadable = true});
  REQUIRE(known.tensors.size() == 2);
  CHECK(identical(*known.find("b"), Tensor{1, 65504}));
  CHECK(identical(*known.find("d"), Tensor{{1.5, -0.0}}));
  REQUIRE(known.unread.size() == 2);
  CHECK(known.unread[0].name == "a");
  CHECK(known.unread[1].name == "c");
}

TEST_CASE("fifty thousand tensors are saved and loaded, and each is found") {
  if (!built_with_json()) return;
  // With one look at each of the others for each of them this would be 2.5e9 comparisons of texts,
  // a minute and more.
  constexpr std::int64_t count = 50'000;
  const Folder folder;
  std::vector<Parameter> parameters;
  for (std::int64_t i = 0; i < count; ++i)
    parameters.emplace_back("a parameter of a long name, number " + std::to_string(i), Tensor(i));
  save_parameters(folder / "many", parameters);
  for (Parameter& parameter : parameters) parameter.set(Tensor(std::int64_t{-1}));
  load_parameters(folder / "many", parameters);
  bool same = true;
  for (std::int64_t i = 0; i < count; ++i)
    same = same && parameters[static_cast<std::size_t>(i)].value().item() == static_cast<double>(i);
  CHECK(same);
}
