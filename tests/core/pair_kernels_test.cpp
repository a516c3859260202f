// Two primitives in one loop must give the bits of one after the other, on every instruction set.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include <dualtape/core/tile/tile.hpp>

using namespace dualtape;
using namespace dualtape::detail;

namespace {

constexpr std::size_t count = 64;  // a multiple of every lane

struct alignas(64) Block {
  char bytes[64];
};

template <class T>
std::vector<T> numbers(int start) {
  std::vector<T> x(count);
  for (std::size_t i = 0; i < count; ++i)
    x[i] = static_cast<T>((static_cast<int>(i) * 37 + start) % 101 - 50) / T{7};
  x[3] = T{0};
  x[4] = -T{0};
  return x;
}

// The form alone, by the kernel of its primitive.
template <class T>
std::vector<T> apply(const PairForm& form, const std::vector<T>& x, const std::vector<T>& other,
                     DType dtype) {
  std::vector<T> result(count);
  const std::size_t place = form.reversed ? 1 : 0;
  std::array<const void*, 3> operands{};
  operands[place] = x.data();
  if (form.operand != PairForm::Operand::none) operands[1 - place] = other.data();
  const unsigned fixed = form.operand == PairForm::Operand::fixed ? 1U << (1 - place) : 0U;
  tile_kernel(form.prim, false, fixed, dtype)(operands.data(), result.data(), count);
  return result;
}

template <class T>
void check_all(DType dtype) {
  const auto x = numbers<T>(1);
  const auto a = numbers<T>(20);
  const auto b = numbers<T>(77);
  for (std::size_t i = 0; i < pair_forms.size(); ++i)
    for (std::size_t j = 0; j < pair_forms.size(); ++j) {
      CAPTURE(i);
      CAPTURE(j);
      const auto right = apply(pair_forms[j], apply(pair_forms[i], x, a, dtype), b, dtype);
      std::vector<T> got(count);
      const std::array<const void*, 3> operands{x.data(), a.data(), b.data()};
      pair_kernel(i, j, dtype)(operands.data(), got.data(), count);
      CHECK(std::memcmp(got.data(), right.data(), count * sizeof(T)) == 0);
      std::vector<T> over = x;  // and where the result lies over x
      const std::array<const void*, 3> in{over.data(), a.data(), b.data()};
      pair_kernel(i, j, dtype)(in.data(), over.data(), count);
      CHECK(std::memcmp(over.data(), right.data(), count * sizeof(T)) == 0);
    }
}

}  // namespace

TEST_CASE("every pair of primitives gives the bits of one after the other") {
  for (const Isa isa : usable_isas()) {
    const IsaForTest here(isa);
    CAPTURE(std::string(name_of(isa)));
    check_all<float>(float32);
    check_all<double>(float64);
  }
}

TEST_CASE("results written past the caches have the same bits") {
  const Recording formula =
      record<2>([](auto a, auto b) { return (a + b) * 0.5 - abs(b) / (1 + a * a); });
  const std::size_t n = (std::size_t{1} << 22) + 4096 + 32;  // floats: more than 16 MiB
  std::vector<float> a(n);
  std::vector<float> b(n);
  for (std::size_t i = 0; i < n; ++i) {
    a[i] = static_cast<float>(i % 1013) * 0.01F;
    b[i] = static_cast<float>(i % 509) - 250.0F;
  }
  std::vector<Block> memory(n * sizeof(float) / sizeof(Block) + 1);
  for (const Isa isa : usable_isas()) {
    const IsaForTest here(isa);
    CAPTURE(std::string(name_of(isa)));
    const TileProgram program(tile_code(formula), float32);
    std::vector<Block> workspace(program.workspace_bytes() / sizeof(Block) + 1);
    auto* const streamed = reinterpret_cast<float*>(memory.data());
    const void* in[] = {a.data(), b.data()};
    void* out[] = {streamed};
    program.run(in, out, n, workspace.data(), n);
    std::vector<float> piece(1000);  // too short to be written so
    std::size_t wrong = 0;
    for (std::size_t first = 0; first < n; first += piece.size()) {
      const std::size_t some = std::min(piece.size(), n - first);
      const void* from[] = {a.data() + first, b.data() + first};
      void* to[] = {piece.data()};
      program.run(from, to, some, workspace.data(), some);
      wrong += std::memcmp(piece.data(), streamed + first, some * sizeof(float)) == 0 ? 0 : 1;
    }
    CHECK(wrong == 0);
  }
}
