// TorchGenerator against draws of PyTorch itself (fixtures/torch_random.csv, made by the script
// beside it) and the values that published runs begin with.
#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <dualtape/core/error.hpp>
#include <dualtape/core/torch_random.hpp>

namespace dt = dualtape;

namespace {

struct Call {
  std::string name;
  std::string place;
  std::string what;
  std::int64_t size = 0;
  std::vector<float> values;
};

std::vector<Call> fixture() {
  const std::filesystem::path path = DUALTAPE_SOURCE "/tests/core/fixtures/torch_random.csv";
  std::ifstream file(path);
  REQUIRE_MESSAGE(file.good(), path.string());
  std::vector<Call> calls;
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    Call call;
    std::string field;
    std::getline(fields, call.name, ',');
    std::getline(fields, call.place, ',');
    std::getline(fields, call.what, ',');
    std::getline(fields, field, ',');
    call.size = std::stoll(field);
    while (std::getline(fields, field, ',')) call.values.push_back(std::stof(field));
    calls.push_back(call);
  }
  return calls;
}

dt::Tensor draw(dt::TorchGenerator& generator, const Call& call) {
  const dt::Shape shape{call.size};
  if (call.what == "randn") return generator.randn(shape);
  return call.what == "rand" ? generator.rand(shape) : generator.uniform(shape, -1, 3);
}

double element(const dt::Tensor& tensor, std::size_t i) {
  return static_cast<double>(tensor.data<float>()[i]);
}

}  // namespace

TEST_CASE("draws of every size and order are PyTorch's") {
  const std::vector<Call> calls = fixture();
  REQUIRE(calls.size() > 40);
  dt::TorchGenerator generator(0);
  for (const Call& call : calls) {
    CAPTURE(call.name);
    CAPTURE(call.place);
    if (call.what == "seed") {
      generator.reseed(static_cast<std::uint64_t>(call.size));
      continue;
    }
    const dt::Tensor drawn = draw(generator, call);
    REQUIRE(drawn.type() == dt::Type{dt::Shape{call.size}, dt::float32});
    REQUIRE(call.values.size() == static_cast<std::size_t>(call.size));
    for (std::size_t i = 0; i < call.values.size(); ++i) {
      CAPTURE(i);
      const auto expected = static_cast<double>(call.values[i]);
      // Uniforms are exact; PyTorch's vector routines round normals a little differently.
      const double tolerance = call.what == "randn" ? 5e-7 : 0.0;
      CHECK(std::abs(element(drawn, i) - expected) <= tolerance);
    }
  }
}

TEST_CASE("published runs begin with these values") {
  dt::TorchGenerator generator(42);
  const dt::Tensor start = generator.rand({2});
  CHECK(std::abs(element(start, 0) - 0.88226926) < 1e-8);
  CHECK(std::abs(element(start, 1) - 0.91500396) < 1e-8);

  generator.reseed(0);
  for (const double expected : {1.5409961, -0.2934289, -2.1787894})
    CHECK(std::abs(generator.randn({1}).item() - expected) < 1e-7);

  generator.reseed(2);
  const dt::Tensor first = generator.randn({2, 32});
  CHECK(first.shape() == dt::Shape{2, 32});
  const std::vector<double> weights = {-1.0408, 0.9166, -1.3042, -1.1097};
  for (std::size_t i = 0; i < weights.size(); ++i)
    CHECK(std::abs(element(first, i) - weights[i]) < 5.1e-5);
  const dt::Tensor second = generator.randn({32, 1});
  const std::vector<double> more = {1.1414, -0.6354, -1.4702};
  for (std::size_t i = 0; i < more.size(); ++i)
    CHECK(std::abs(element(second, i) - more[i]) < 5.1e-5);
}

TEST_CASE("scalars, one-element tensors and copies draw from one stream") {
  dt::TorchGenerator generator(0);
  dt::TorchGenerator other(0);
  CHECK(generator.randn({}).item() == other.randn({1}).item());
  dt::TorchGenerator copy = generator;  // takes the kept normal along
  CHECK(copy.randn({}).item() == generator.randn({}).item());
  CHECK(generator.randn({0}).count() == 0);
  CHECK(copy.rand({}).item() == generator.rand({}).item());
}

TEST_CASE("an interval that is none is refused") {
  dt::TorchGenerator generator(0);
  CHECK_THROWS_AS(generator.uniform({2}, 1, 0), dt::ValueError);
  CHECK_THROWS_AS(generator.uniform({2}, 0, INFINITY), dt::ValueError);
  CHECK(generator.uniform({2}, 3, 3).at({1}) == 3);
}
