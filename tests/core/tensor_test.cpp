#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <dualtape/core/tensor.hpp>
#include <functional>
#include <limits>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "tests/allocations.hpp"
#include "tests/errors.hpp"

using namespace dualtape;

namespace {

const double inf = std::numeric_limits<double>::infinity();
const double nan_value = std::numeric_limits<double>::quiet_NaN();

bool aligned(const Tensor& tensor) {
  return reinterpret_cast<std::uintptr_t>(tensor.raw()) % 64 == 0;
}

Tensor counted(Shape shape) {  // 0, 1, 2 ...
  Tensor made = zeros(std::move(shape), int64);
  std::int64_t next = 0;
  for (auto& value : made.data<std::int64_t>()) value = next++;
  return made;
}

}  // namespace

TEST_CASE("types of tensors made from C++ values") {
  CHECK(Tensor(2.5).type() == Type{{}, float32});
  CHECK(Tensor(2.5F).type() == Type{{}, float32});
  CHECK(Tensor(true).type() == Type{{}, boolean});
  CHECK(Tensor(3).type() == Type{{}, int32});
  CHECK(Tensor(std::int64_t{3}).type() == Type{{}, int64});
  CHECK(Tensor::scalar(2.5).type() == Type{{}, float64});
  CHECK(Tensor().type() == Type{{0}, float32});
  CHECK(Tensor{1, 2.5}.type() == Type{{2}, float32});
  CHECK(Tensor{{1, 2, 3}, {4, 5, 6}}.type() == Type{{2, 3}, float32});
  CHECK(Tensor{{1}, {2}}.type() == Type{{2, 1}, float32});
  CHECK(Tensor::of({1, 2}).type() == Type{{2}, int64});
  CHECK(Tensor(Shape{2, 3}, int32).type() == Type{{2, 3}, int32});
  static_assert(!std::is_constructible_v<Tensor, const char*>);  // it would become a bool
}

TEST_CASE("elements are row-major") {
  const Tensor t{{1, 2, 3}, {4, 5, 6}};
  CHECK(t.data<float>()[3] == 4.0F);
  CHECK(t.at({1, 0}) == 4.0);
  CHECK(t.at({-1, -1}) == 6.0);
  CHECK(t.size(0) == 2);
  CHECK(t.size(-1) == 3);
  CHECK(t.bytes() == 24);
}

TEST_CASE("memory begins at multiples of 64 bytes and zeros are zero") {
  for (const std::int64_t size : {0, 1, 7, 64, 1000, 100003}) {
    for (const DType dtype : {boolean, int32, int64, float32, float64}) {
      const Tensor t(Shape{size}, dtype);
      CHECK(aligned(t));
      CHECK(t.raw() != nullptr);
      CHECK(all_close(t, full({size}, 0, dtype), 0, 0));
    }
  }
  CHECK(aligned(Tensor{1, 2}.copy()));
}

TEST_CASE("copies share, copy() does not") {
  Tensor a{1, 2, 3};
  Tensor b = a;
  const Tensor c = a.copy();
  CHECK(b.shares_memory_with(a));
  CHECK(!c.shares_memory_with(a));
  b.data<float>()[0] = 9;
  CHECK(a.at({0}) == 9.0);
  CHECK(c.at({0}) == 1.0);
  CHECK(!zeros({2}).shares_memory_with(zeros({2})));
  CHECK(!Tensor().shares_memory_with(Tensor()));
}

TEST_CASE("the last of the sharers frees the memory, and a view its owner") {
  auto owner = std::make_shared<std::vector<float>>(std::vector<float>{1, 2, 3, 4});
  const std::weak_ptr<std::vector<float>> watch = owner;
  float* data = owner->data();
  Tensor row;
  {
    const Tensor whole = Tensor::view(std::move(owner), data, {{2, 2}, float32});
    CHECK(whole.raw() == data);
    row = whole.row(1);
  }
  CHECK(!watch.expired());
  CHECK(row.at({0}) == 3.0);
  row = Tensor();
  CHECK(watch.expired());
}

TEST_CASE("a tensor moved from is empty") {
  Tensor a{1, 2, 3};
  const void* memory = a.raw();
  Tensor b = std::move(a);
  CHECK(b.raw() == memory);
  CHECK(a.shape() == Shape{0});  // NOLINT(bugprone-use-after-move): that is the test
  Tensor c{4, 5};
  c = std::move(b);
  CHECK(c.raw() == memory);
  CHECK(b.count() == 0);  // NOLINT(bugprone-use-after-move)
  Tensor& itself = c;
  c = std::move(itself);
  CHECK(identical(c, Tensor{1, 2, 3}));
}

TEST_CASE("views without an owner write through and overlap") {
  float memory[6] = {0, 1, 2, 3, 4, 5};
  Tensor all = Tensor::view(memory, {{2, 3}, float32});
  const Tensor tail = Tensor::view(memory + 2, {{2}, float32});
  const Tensor apart = Tensor::view(memory + 4, {{2}, float32});
  all.fill(7);
  CHECK(memory[5] == 7.0F);
  CHECK(all.shares_memory_with(tail));
  CHECK(!tail.shares_memory_with(apart));
}

TEST_CASE("what allocates, and how often") {
  float memory[6] = {};
  const Tensor kept{1, 2};
  CHECK(allocations_in([&] {
          const Tensor made = Tensor::uninitialised({{64, 64}, float32});
        }) == 1);
  CHECK(allocations_in([&] { const Tensor view = Tensor::view(memory, {{2, 3}, float32}); }) == 0);
  CHECK(allocations_in([&] { const Tensor copied = kept; }) == 0);
  CHECK(allocations_in([&] { const Tensor none; }) == 0);
  CHECK(allocations_in([&] { const Tensor turned = kept.reshape(Shape{2, 1}); }) == 0);
}

TEST_CASE("from checks the count") {
  const std::vector<double> values{1, 2, 3, 4};
  CHECK(identical(Tensor::from(values, {2, 2}), Tensor{{1, 2}, {3, 4}}.to(float64)));
  CHECK_THROWS_AS(Tensor::from(values, {3}), ShapeError);
  CHECK_THROWS_WITH(Tensor::from(values, {3}), doctest::Contains("4 values"));
  CHECK(Tensor::from(std::vector<float>{}, {0, 3}).count() == 0);
}

TEST_CASE("wrong uses name the shapes and dtypes") {
  Tensor t{{1, 2}, {3, 4}};
  CHECK_THROWS_AS((Tensor{{1, 2}, {3}}), ShapeError);
  CHECK_THROWS_AS(t.data<double>(), TypeError);
  CHECK_THROWS_WITH(t.data<double>(), doctest::Contains("float32 (2, 2)"));
  CHECK_THROWS_AS(t.item(), ShapeError);
  CHECK_THROWS_AS(t.at({0}), ShapeError);
  CHECK_THROWS_AS(t.at({2, 0}), ShapeError);
  CHECK_THROWS_AS(t.at({0, -3}), ShapeError);
  CHECK_THROWS_AS(t.size(2), ShapeError);
  CHECK_THROWS_AS(t.size(-3), ShapeError);
  CHECK_THROWS_AS(t.row(2), ShapeError);
  CHECK_THROWS_AS(Tensor(1).row(0), ShapeError);
  CHECK_THROWS_AS(t.rows(1, 3), ShapeError);
  CHECK_THROWS_AS(t.rows(2, 1), ShapeError);
  CHECK_THROWS_AS(t.rows(-1, 1), ShapeError);
  CHECK_THROWS_AS(t.assign(Tensor{1, 2}), ShapeError);
  CHECK_THROWS_AS(t.assign(t.to(float64)), TypeError);
}

TEST_CASE("item converts the only element of any rank") {
  CHECK(Tensor(2.5).item() == 2.5);
  CHECK(Tensor::of({7}).item<int>() == 7);
  CHECK(ones({1, 1, 1}, boolean).item<bool>());
}

TEST_CASE("reshape shares and works out one size") {
  const Tensor t = counted({2, 3, 4});
  const Tensor flat = t.reshape({-1});
  CHECK(flat.shape() == Shape{24});
  CHECK(flat.shares_memory_with(t));
  CHECK(t.reshape({4, -1}).shape() == Shape{4, 6});
  CHECK(t.reshape({4, 6}).at({1, 0}) == 6.0);
  CHECK(t.reshape(Shape{1, 24, 1}).shape() == Shape{1, 24, 1});
  CHECK(Tensor(5).reshape({1, 1}).shape() == Shape{1, 1});
  CHECK(Tensor::of({5}).reshape({}).rank() == 0);
  CHECK(zeros({0, 3}).reshape({-1, 3}).shape() == Shape{0, 3});
  CHECK_THROWS_AS(t.reshape({5, 5}), ShapeError);
  CHECK_THROWS_AS(t.reshape({5, -1}), ShapeError);
  CHECK_THROWS_AS(t.reshape({-1, -1}), ShapeError);
  CHECK_THROWS_AS(t.reshape({-2, 12}), ShapeError);
  CHECK_THROWS_AS(zeros({0, 3}).reshape({-1, 0}), ShapeError);  // any size would do
}

TEST_CASE("rows of the first axis share") {
  Tensor t = counted({4, 2, 3});
  CHECK(t.row(1).shape() == Shape{2, 3});
  CHECK(t.row(1).at({0, 0}) == 6.0);
  CHECK(t.row(-1).at({1, 2}) == 23.0);
  CHECK(t.rows(1, 3).shape() == Shape{2, 2, 3});
  CHECK(t.rows(1, 3).at({1, 1, 2}) == 17.0);
  CHECK(t.rows(4, 4).count() == 0);
  t.row(2).fill(-1);
  CHECK(t.at({2, 1, 1}) == -1.0);
  CHECK(t.at({3, 0, 0}) == 18.0);
  CHECK(counted({3}).row(2).item() == 2.0);
}

TEST_CASE("tensors of rank 6 and of no elements") {
  const Tensor six = counted({2, 1, 3, 1, 2, 2});
  CHECK(six.at({1, 0, 2, 0, 1, 1}) == 23.0);
  CHECK(six.row(1).shape() == Shape{1, 3, 1, 2, 2});
  CHECK(identical(six.copy(), six));
  const Tensor none = zeros({3, 0});
  CHECK(none.copy().shape() == Shape{3, 0});
  CHECK(none.to(int32).type() == Type{{3, 0}, int32});
  CHECK(none.row(2).count() == 0);
  CHECK(identical(none, none.copy()));
  CHECK(all_close(none, none.copy()));
}

TEST_CASE("conversion between all dtypes") {
  const Tensor t{0, 1, -2.75, 300};
  CHECK(identical(t.to(int64), Tensor::of({0, 1, -2, 300})));
  CHECK(t.to(boolean).at({0}) == 0.0);
  CHECK(t.to(boolean).at({2}) == 1.0);
  CHECK(identical(t.to(float64).to(float32), t));
  CHECK(t.to(float32).shares_memory_with(t));
  CHECK(!t.to(float64).shares_memory_with(t));
  CHECK(t.to(int32).to(float32).at({2}) == -2.0);
}

TEST_CASE("fill and assign write into the memory at hand") {
  Tensor t = zeros({2, 2}, int32);
  const Tensor shared = t;
  t.fill(3);
  CHECK(shared.at({1, 1}) == 3.0);
  t.assign(full({2, 2}, 4, int32));
  CHECK(shared.at({0, 1}) == 4.0);
  Tensor line = counted({5});
  line.rows(1, 5).assign(line.rows(0, 4));  // overlapping memory
  CHECK(identical(line, Tensor::of({0, 0, 1, 2, 3})));
  CHECK(identical(ones({2}, boolean).to(int64), Tensor::of({1, 1})));
}

TEST_CASE("identical compares types and bits") {
  CHECK(identical(Tensor{nan_value, 1}, Tensor{nan_value, 1}));
  CHECK(!identical(Tensor{0.0}, Tensor{-0.0}));
  CHECK(!identical(Tensor{1, 2}, Tensor{1, 2}.to(float64)));
  CHECK(!identical(Tensor{1, 2}, Tensor{{1, 2}}));
  CHECK(!identical(Tensor{1, 2}, Tensor{1, 3}));
}

TEST_CASE("all_close has a relative and an absolute part") {
  CHECK(all_close(Tensor{100}, Tensor{100.5}, 0.01, 0));
  CHECK(!all_close(Tensor{100}, Tensor{102}, 0.01, 0));
  CHECK(all_close(Tensor{0}, Tensor{0.5}, 0, 0.5));
  CHECK(!all_close(Tensor{0}, Tensor{0.625}, 0, 0.5));
  CHECK(!all_close(Tensor{nan_value}, Tensor{nan_value}));
  CHECK(all_close(Tensor{inf}, Tensor{inf}));
  CHECK(!all_close(Tensor{inf}, Tensor{-inf}));
  CHECK(!all_close(Tensor{1}, Tensor{inf}));
  CHECK(!all_close(Tensor{1, 1}, Tensor{{1, 1}}));
  CHECK(all_close(Tensor{1, 2}, Tensor::of({1, 2})));
}

TEST_CASE("an error of a Tensor's own functions names the line of the call") {
  Tensor t = zeros({2, 3});
  const Tensor other = zeros({2, 3}, int64);
  const std::vector<std::function<void()>> calls{
      [&] { t.item(); },
      [&] { t.at({0}); },
      [&] {
        t.at({2, 0});
      },
      [&] { t.size(2); },
      [&] { t.data<double>(); },
      [&] {
        t.reshape({4, 2});
      },
      [&] {
        t.reshape({-1, -1});
      },
      [&] {
        t.reshape({-1, 4});
      },
      [&] { t.reshape(Shape{7}); },
      [&] { t.row(2); },
      [&] { t.rows(1, 3); },
      [&] { t.row(0).row(0).row(0); },
      [&] { t.assign(other); },
  };
  for (std::size_t i = 0; i < calls.size(); ++i) {
    CAPTURE(i);
    CHECK(testing::has(testing::error_of<Error>(calls[i]), "tensor_test.cpp:"));
  }
}
