#include <dualtape/models/tensorboard.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include <dualtape/core/files/crc32c.hpp>
#include <dualtape/data/batches.hpp>
#include <dualtape/models/layers.hpp>
#include <dualtape/models/trainer.hpp>
#include <dualtape/models/training/event_file.hpp>
#include <dualtape/ops/losses.hpp>
#include <tests/models/files.hpp>

using namespace dualtape;

namespace {

template <class T>
T number_at(std::string_view bytes) {
  T value{};
  REQUIRE(bytes.size() >= sizeof value);
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

// The bytes of the records of a file, whose checksums are checked.
std::vector<std::string> records_of(const std::string& file) {
  const auto unmasked = [](std::uint32_t masked) {
    const std::uint32_t rotated = masked - 0xA282EAD8U;
    return (rotated << 15) | (rotated >> 17);
  };
  std::vector<std::string> records;
  for (std::string_view rest = file; !rest.empty();) {
    const auto length = number_at<std::uint64_t>(rest);
    REQUIRE(rest.size() >= length + 16);
    CHECK(unmasked(number_at<std::uint32_t>(rest.substr(8))) == detail::crc32c(rest.substr(0, 8)));
    records.emplace_back(rest.substr(12, length));
    CHECK(unmasked(number_at<std::uint32_t>(rest.substr(12 + length))) ==
          detail::crc32c(records.back()));
    rest.remove_prefix(16 + length);
  }
  return records;
}

// One field of a message: number, wire type (0 varint, 1 eight bytes, 2 a text, 5 four bytes), the
// varint's value, the bytes of the others.
struct Field {
  std::uint64_t number = 0;
  std::uint64_t type = 0;
  std::uint64_t value = 0;
  std::string bytes = {};
};

std::uint64_t take_varint(std::string_view& rest) {
  std::uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    REQUIRE(!rest.empty());
    const auto byte = static_cast<unsigned char>(rest.front());
    rest.remove_prefix(1);
    value |= std::uint64_t{byte & 0x7FU} << shift;
    if (byte < 0x80) return value;
  }
}

std::vector<Field> fields_of(std::string_view rest) {
  std::vector<Field> fields;
  while (!rest.empty()) {
    const std::uint64_t key = take_varint(rest);
    Field field{key >> 3, key & 7};
    if (field.type == 0) {
      field.value = take_varint(rest);
    } else {
      REQUIRE((field.type == 1 || field.type == 2 || field.type == 5));
      const std::size_t size = field.type == 1   ? 8
                               : field.type == 5 ? 4
                                                 : std::size_t{take_varint(rest)};
      REQUIRE(rest.size() >= size);
      field.bytes = rest.substr(0, size);
      rest.remove_prefix(size);
    }
    fields.push_back(field);
  }
  return fields;
}

using Point = std::tuple<std::string, std::uint64_t, float>;  // name, step, value

Point point_of(const std::string& event) {
  const std::vector<Field> fields = fields_of(event);
  REQUIRE(fields.size() == 3);
  CHECK(fields[0].number == 1);
  CHECK(number_at<double>(fields[0].bytes) > 1.7e9);  // after 2023
  CHECK(fields[1].number == 2);
  CHECK(fields[1].type == 0);
  CHECK(fields[2].number == 5);
  const std::vector<Field> summary = fields_of(fields[2].bytes);
  REQUIRE(summary.size() == 1);
  CHECK(summary[0].number == 1);
  const std::vector<Field> value = fields_of(summary[0].bytes);
  REQUIRE(value.size() == 2);
  CHECK(value[0].number == 1);
  CHECK(value[1].number == 2);
  CHECK(value[1].type == 5);
  return {value[0].bytes, fields[1].value, number_at<float>(value[1].bytes)};
}

// The events of a training of two epochs of three steps, without the first, and its losses.
std::vector<Point> train(const std::filesystem::path& folder, std::vector<double>& losses,
                         std::int64_t every = 1) {
  const nn::Linear line("line", 2, 1, Key{1});
  Sgd sgd;
  const auto board = std::make_shared<TensorBoard>(folder, every);
  Trainer trainer([&](Var x, Var y) { return mse(line(x), y); }, line.parameters(),
                  backpropagation(), sgd,
                  {.schedule = constant_rate(0.125),
                   .on_step =
                       [&](const StepInfo& info) {
                         losses.push_back(info.loss);
                         return true;
                       },
                   .callbacks = {board}});
  Batches batches({ones({6, 2}), zeros({6, 1}), {}, {}, "ones"}, 2);
  trainer.fit(batches, {.epochs = 2});
  trainer.report("test loss", INFINITY);
  const std::vector<std::string> records = records_of(bytes_of_file(board->path()));
  REQUIRE(!records.empty());
  const std::vector<Field> first = fields_of(records.front());
  REQUIRE(first.size() == 2);
  CHECK(first[1].number == 3);
  CHECK(first[1].bytes == "brain.Event:2");
  std::vector<Point> points;
  for (std::size_t i = 1; i < records.size(); ++i) points.push_back(point_of(records[i]));
  return points;
}

}  // namespace

TEST_CASE("the checksum is CRC-32C: the figures of RFC 3720, B.4, and of its catalogue") {
  CHECK(detail::crc32c("123456789") == 0xE3069283U);
  CHECK(detail::crc32c("") == 0);
  CHECK(detail::crc32c(std::string(32, '\0')) == 0x8A9136AAU);
  CHECK(detail::crc32c(std::string(32, '\xff')) == 0x62A8AB43U);
}

TEST_CASE("an event file holds every number of a training") {
  const Folder folder;
  std::vector<double> losses;
  const std::vector<Point> points = train(folder / "run" / "one", losses);
  REQUIRE(losses.size() == 6);
  std::vector<Point> expected;
  for (std::uint64_t step = 1; step <= 6; ++step) {
    expected.emplace_back("loss", step, static_cast<float>(losses[step - 1]));
    expected.emplace_back("rate", step, 0.125f);
    if (step % 3 == 0) {
      const double mean = (losses[step - 3] + losses[step - 2] + losses[step - 1]) / 3;
      expected.emplace_back("epoch loss", step, static_cast<float>(mean));
    }
  }
  REQUIRE(points.size() == expected.size() + 1);
  CHECK(points.back() == Point{"test loss", 6, INFINITY});
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CAPTURE(i);
    CHECK(std::get<0>(points[i]) == std::get<0>(expected[i]));
    CHECK(std::get<1>(points[i]) == std::get<1>(expected[i]));
    CHECK(std::get<2>(points[i]) == doctest::Approx(std::get<2>(expected[i])));
  }
  // Another run in the same folder has a file of its own.
  CHECK(train(folder / "run" / "one", losses, 4).size() == 2 + 2 + 1);
  CHECK(std::distance(std::filesystem::directory_iterator(folder / "run" / "one"), {}) == 2);
}

TEST_CASE("steps beyond 32 bits and long names are written whole") {
  const std::string name(300, 'n');
  const Point point = point_of(detail::scalar_event(2e9, std::int64_t{1} << 40, name, -0.5f));
  CHECK(point == Point{name, std::uint64_t{1} << 40, -0.5f});
}

TEST_CASE("a folder or file that cannot be written is told") {
  const Folder folder;
  CHECK_THROWS_AS(TensorBoard(folder / "a", 0), ValueError);
  write_bytes(folder / "file", "x");
  CHECK_THROWS_AS(TensorBoard(folder / "file"), DataError);
  CHECK_THROWS_AS(TensorBoard(folder / "file" / "below"), DataError);
}
