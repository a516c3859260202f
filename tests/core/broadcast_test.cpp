// The broadcast loop against a plain loop over indices, on generated shapes.
#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include <dualtape/core/tile/broadcast.hpp>

using namespace dualtape;
using detail::BoundKernel;
using detail::ElementwiseLoop;

namespace {

// Memory aligned to 64 bytes with guard bytes behind it.
class Workspace {
 public:
  explicit Workspace(std::size_t bytes) : bytes_(bytes), memory_(bytes + 64 + guard, 0x5a) {}
  char* data() {
    const auto address = reinterpret_cast<std::uintptr_t>(memory_.data());
    return memory_.data() + (64 - address % 64) % 64;
  }
  bool intact() {
    for (std::size_t i = 0; i < guard; ++i) {
      if (data()[bytes_ + i] != 0x5a) return false;
    }
    return true;
  }

 private:
  static constexpr std::size_t guard = 128;
  std::size_t bytes_;
  std::vector<char> memory_;
};

struct Count {
  std::size_t calls = 0;
  std::size_t elements = 0;
};

// out = condition ? a + 3 b : -a, counted.
void choose(void* context, const void* const* in, void* const* outs, std::size_t n) {
  auto& count = *static_cast<Count*>(context);
  ++count.calls;
  count.elements += n;
  const auto* condition = static_cast<const std::uint8_t*>(in[0]);
  const auto* a = static_cast<const double*>(in[1]);
  const auto* b = static_cast<const float*>(in[2]);
  auto* to = static_cast<double*>(outs[0]);
  for (std::size_t i = 0; i < n; ++i) to[i] = condition[i] != 0 ? a[i] + 3.0 * double{b[i]} : -a[i];
}

// Where element `flat` of `out` lies in an operand of shape `shape`.
std::size_t source(const Shape& shape, const Shape& out, std::int64_t flat) {
  std::vector<std::int64_t> index(out.rank());
  for (std::size_t axis = out.rank(); axis-- > 0;) {
    index[axis] = flat % out[axis];
    flat /= out[axis];
  }
  std::int64_t at = 0;
  for (std::size_t axis = 0; axis < shape.rank(); ++axis) {
    const std::int64_t i = shape[axis] == 1 ? 0 : index[out.rank() - shape.rank() + axis];
    at = at * shape[axis] + i;
  }
  return static_cast<std::size_t>(at);
}

template <class T>
std::vector<T> ramp(const Shape& shape, int start) {
  std::vector<T> values(static_cast<std::size_t>(shape.count()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<T>((static_cast<int>(i) + start) % 1013);
  }
  return values;
}

Count check(const Shape& s0, const Shape& s1, const Shape& s2, const Shape& out_shape) {
  std::vector<std::uint8_t> condition = ramp<std::uint8_t>(s0, 0);
  for (std::size_t i = 0; i < condition.size(); ++i) condition[i] = (i * 7 / 3) % 2;
  const auto a = ramp<double>(s1, 1);
  const auto b = ramp<float>(s2, 500);
  std::vector<double> got(static_cast<std::size_t>(out_shape.count()), -1e9);
  const std::vector<Type> types{{s0, boolean}, {s1, float64}, {s2, float32}};
  const std::vector<Type> out_types{{out_shape, float64}};
  const ElementwiseLoop loop(types, out_types);
  Workspace workspace(loop.workspace_bytes());
  Count count;
  const std::vector<const void*> in{condition.data(), a.data(), b.data()};
  void* const out[] = {got.data()};
  loop.run(in.data(), out, workspace.data(), BoundKernel{&choose, &count});

  CAPTURE(to_string(s0));
  CAPTURE(to_string(s1));
  CAPTURE(to_string(s2));
  CAPTURE(to_string(out_shape));
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i);
    const double x = a[source(s1, out_shape, at)];
    const double y = double{b[source(s2, out_shape, at)]};
    const double right = condition[source(s0, out_shape, at)] != 0 ? x + 3.0 * y : -x;
    wrong += got[i] == right ? 0 : 1;
  }
  CHECK(wrong == 0);
  CHECK(count.elements == got.size());
  CHECK(workspace.intact());
  return count;
}

// `out` with some axes set to 1 and some leading axes left out.
Shape shrunk(const Shape& out, std::mt19937& random) {
  std::vector<std::int64_t> sizes = out.vector();
  const unsigned kind = random() % 4;
  for (auto& size : sizes) {
    if (kind == 0 || (kind > 1 && random() % 2 == 0)) size = 1;
  }
  std::size_t drop = 0;
  while (drop < sizes.size() && sizes[drop] == 1 && random() % 2 == 0) ++drop;
  sizes.erase(sizes.begin(), sizes.begin() + static_cast<std::ptrdiff_t>(drop));
  return Shape(sizes);
}

}  // namespace

TEST_CASE("broadcasting agrees with a loop over indices") {
  const std::vector<Shape> outs{{},
                                {1},
                                {5},
                                {127},
                                {128},
                                {1000},
                                {3000},
                                {64, 10},
                                {64, 1024},
                                {3, 1},
                                {1, 3},
                                {200, 1},
                                {7, 130},
                                {5, 1500},
                                {130, 7},
                                {2000, 2},
                                {3, 4, 5},
                                {2, 3, 200},
                                {9, 1, 33},
                                {4, 1, 1, 300},
                                {2, 3, 4, 5},
                                {2, 3, 1, 4, 5},
                                {3, 2, 4, 2, 3, 5},
                                {2, 1, 3, 1, 2, 140},
                                {1, 1, 1, 1, 1, 1}};
  std::mt19937 random(3);
  for (const Shape& out : outs) {
    for (int i = 0; i < 25; ++i) {
      check(shrunk(out, random), shrunk(out, random), shrunk(out, random), out);
    }
  }
}

TEST_CASE("the usual shapes") {
  check({}, {64, 1024}, {1024}, {64, 1024});           // bias
  check({64, 1}, {64, 1024}, {64, 1}, {64, 1024});     // a column
  check({64, 10}, {64, 10}, {10}, {64, 10});           // a short bias
  check({8, 1, 1}, {64, 8, 6, 6}, {}, {64, 8, 6, 6});  // a channel
}

TEST_CASE("the kernel gets long stretches") {
  CHECK(check({64, 1024}, {64, 1024}, {64, 1024}, {64, 1024}).calls == 1);
  CHECK(check({}, {}, {}, {}).calls == 1);
  // Short rows must not get a call each.
  CHECK(check({10}, {640, 10}, {640, 1}, {640, 10}).calls <= 7);
  CHECK(check({64, 1}, {64, 1024}, {1024}, {64, 1024}).calls == 64);
}

TEST_CASE("empty tensors call nothing") {
  CHECK(check({0}, {0}, {1}, {0}).calls == 0);
  CHECK(check({3, 1}, {1, 0}, {}, {3, 0}).calls == 0);
  CHECK(check({0, 5}, {5}, {1, 1}, {0, 5}).calls == 0);
}

TEST_CASE("the output may be one of the inputs") {
  for (const Shape& shape : {Shape{}, Shape{70}, Shape{3000}, Shape{50, 10}, Shape{7, 300}}) {
    const Shape other = shape.rank() == 0 ? Shape{} : Shape{shape.back()};
    const std::vector<std::uint8_t> condition(static_cast<std::size_t>(other.count()), 1);
    auto values = ramp<double>(shape, 1);
    const auto before = values;
    const auto b = ramp<float>(other, 9);
    const std::vector<Type> types{{other, boolean}, {shape, float64}, {other, float32}};
    const std::vector<Type> out_types{{shape, float64}};
    const ElementwiseLoop loop(types, out_types);
    Workspace workspace(loop.workspace_bytes());
    Count count;
    const std::vector<const void*> in{condition.data(), values.data(), b.data()};
    void* const out[] = {values.data()};
    loop.run(in.data(), out, workspace.data(), BoundKernel{&choose, &count});
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double y = double{b[source(other, shape, static_cast<std::int64_t>(i))]};
      REQUIRE(values[i] == before[i] + 3.0 * y);
    }
  }
}
