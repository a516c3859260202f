// The tile interpreter against formulas compiled over lanes: the same bits, at every length.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <dualtape/core/error.hpp>
#include <dualtape/core/machine/isa.hpp>
#include <dualtape/core/tile/compiled.hpp>
#include <dualtape/core/tile/tile.hpp>

using namespace dualtape;
using namespace dualtape::detail;

namespace {

// An expression tree drawn at compile time from a seed, over a mask m and numbers a, b.
constexpr unsigned mix(unsigned seed, unsigned salt) {
  unsigned x = seed * 747796405U + salt * 2891336453U + 1U;
  x = ((x >> ((x >> 28U) + 4U)) ^ x) * 277803737U;
  return (x >> 22U) ^ x;
}

template <unsigned Seed, int Depth>
struct Tree;

template <unsigned Seed, int Depth>
struct MaskTree {
  static auto of(auto m, auto a, auto b) {
    constexpr unsigned pick = mix(Seed, 11) % 10;
    if constexpr (Depth <= 0 || pick == 0) {
      return m;
    } else {
      using P = Tree<mix(Seed, 1), Depth - 1>;
      using Q = Tree<mix(Seed, 2), Depth - 1>;
      using M = MaskTree<mix(Seed, 3), Depth - 1>;
      if constexpr (pick == 1)
        return P::of(m, a, b) < Q::of(m, a, b);
      else if constexpr (pick == 2)
        return P::of(m, a, b) >= Q::of(m, a, b);
      else if constexpr (pick == 3)
        return P::of(m, a, b) == 0;
      else if constexpr (pick == 4)
        return 0.5 <= Q::of(m, a, b);
      else if constexpr (pick == 5)
        return M::of(m, a, b) & m;
      else if constexpr (pick == 6)
        return M::of(m, a, b) | (a > b);
      else if constexpr (pick == 7)
        return !M::of(m, a, b);
      else if constexpr (pick == 8)
        return isnan(P::of(m, a, b)) | isfinite(a);
      else
        return select(M::of(m, a, b), a != 1, m);
    }
  }
};

template <unsigned Seed, int Depth>
struct Tree {
  static auto of(auto m, auto a, auto b) {
    using X = decltype(a);
    constexpr unsigned pick = mix(Seed, 7) % 18;
    if constexpr (Depth <= 0) {
      if constexpr (pick % 3 == 0)
        return a;
      else if constexpr (pick % 3 == 1)
        return b;
      else
        return X(0.1 * pick);
    } else {
      using P = Tree<mix(Seed, 4), Depth - 1>;
      using Q = Tree<mix(Seed, 5), Depth - 1>;
      using M = MaskTree<mix(Seed, 6), Depth - 1>;
      if constexpr (pick == 0)
        return P::of(m, a, b) + Q::of(m, a, b);
      else if constexpr (pick == 1)
        return P::of(m, a, b) - Q::of(m, a, b);
      else if constexpr (pick < 4)
        return P::of(m, a, b) * Q::of(m, a, b);
      else if constexpr (pick == 4)
        return P::of(m, a, b) / Q::of(m, a, b);
      else if constexpr (pick == 5)
        return P::of(m, a, b) * Q::of(m, a, b) + a;
      else if constexpr (pick == 6)
        return maximum(P::of(m, a, b), Q::of(m, a, b));
      else if constexpr (pick == 7)
        return minimum(P::of(m, a, b), 0);
      else if constexpr (pick == 8)
        return -abs(P::of(m, a, b));
      else if constexpr (pick == 9)
        return exp(P::of(m, a, b)) + b;
      else if constexpr (pick == 10)
        return tanh(P::of(m, a, b)) * Q::of(m, a, b);
      else if constexpr (pick == 11)
        return log1p(abs(P::of(m, a, b)));
      else if constexpr (pick == 12)
        return sin(P::of(m, a, b));
      else if constexpr (pick == 13)
        return sqrt(P::of(m, a, b)) + round(b);
      else if constexpr (pick == 14)
        return pow(P::of(m, a, b), 2) - expm1(a);
      else
        return select(M::of(m, a, b), P::of(m, a, b), Q::of(m, a, b));
    }
  }
};

template <unsigned Seed>
struct RandomNumber {
  static constexpr std::size_t mask_inputs = 1;
  static auto formula(auto m, auto a, auto b) { return Tree<Seed, 4>::of(m, a, b); }
};
template <unsigned Seed>
struct RandomMask {
  static constexpr std::size_t mask_inputs = 1;
  static auto formula(auto m, auto a, auto b) { return MaskTree<Seed, 3>::of(m, a, b); }
};

// Formulas whose results or operands are the odd ones out.
struct Identity {
  static auto formula(auto x) { return x; }
};
struct SecondInput {
  static auto formula(auto, auto b) { return b; }
};
struct Constant {
  static auto formula(auto) { return 0.1; }
};
struct FoldedConstant {
  static auto formula(auto x) {
    using X = decltype(x);
    return x * (exp(X(0.3)) + X(0.1) * X(3)) + select(X(1) < X(2), X(5), X(7));
  }
};
struct ConstantMask {
  static auto formula(auto x) { return decltype(x)(1) < decltype(x)(2); }
};
struct MaskIdentity {
  static constexpr std::size_t mask_inputs = 1;
  static auto formula(auto m) { return m; }
};
struct ConstantChoice {
  static constexpr std::size_t mask_inputs = 1;
  static auto formula(auto m, auto x) {
    using X = decltype(x);
    return select(select(m, X(1) < 2, X(1) > 2), select(X(1) > 2, x, 3 - x), 4);
  }
};
struct Softplus {
  static auto formula(auto x) { return maximum(x, 0) + log1p(exp(-abs(x))); }
};
struct Add {
  static auto formula(auto a, auto b) { return a + b; }
};

template <class T>
std::vector<T> inputs(std::size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, 2);
  std::vector<T> values(n);
  for (auto& value : values) value = static_cast<T>(normal(random));
  const std::vector<T> odd{std::numeric_limits<T>::quiet_NaN(),
                           std::numeric_limits<T>::infinity(),
                           T(-0.0),
                           T(88.5),
                           T(1e5),
                           T(1)};
  for (std::size_t i = 0; i < n; ++i) {
    if (random() % 16 == 0) values[i] = odd[random() % odd.size()];
  }
  return values;
}

template <class T>
bool same_bits(T a, T b) {
  return std::memcmp(&a, &b, sizeof(T)) == 0 || (std::isnan(a) && std::isnan(b));
}
bool same_bits(std::uint8_t a, std::uint8_t b) { return a == b; }

struct alignas(64) Block {
  char bytes[64];
};

template <class T, class Out>
void compare(const Recording& recording, SpanKernel kernel, std::size_t masks, std::size_t most) {
  const IsaForTest narrow(Isa::baseline);  // which this file's lanes are compiled for
  const TileProgram program(tile_code(recording), dtype_of<T>);
  std::vector<Block> workspace(program.workspace_bytes() / sizeof(Block) + 1);
  const auto a = inputs<T>(most, 1);
  const auto b = inputs<T>(most, 2);
  std::vector<std::uint8_t> m(most);
  for (std::size_t i = 0; i < most; ++i) m[i] = mix(static_cast<unsigned>(i), 3) % 2 != 0;
  std::vector<const void*> in;
  if (masks == 1) in.push_back(m.data());
  in.push_back(a.data());
  in.push_back(b.data());

  // The whole at once: what every shorter run has to agree with.
  std::vector<Out> whole(most);
  kernel(in.data(), whole.data(), most);
  CAPTURE(to_string(recording));
  std::vector<std::size_t> lengths{most};
  for (std::size_t n = 0; n <= 67 && n < most; ++n) lengths.push_back(n);
  for (const std::size_t n : lengths) {
    CAPTURE(n);
    const Out poison = 77;
    std::vector<Out> compiled(n + 1, poison);
    std::vector<Out> tiled(n + 1, poison);
    kernel(in.data(), compiled.data(), n);
    void* const out[] = {tiled.data()};
    program.run(in.data(), out, n, workspace.data());
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < n; ++i) {
      wrong += same_bits(compiled[i], whole[i]) && same_bits(tiled[i], whole[i]) ? 0 : 1;
    }
    REQUIRE(wrong == 0);
    REQUIRE(compiled[n] == poison);
    REQUIRE(tiled[n] == poison);
  }
}

template <class D, class T>
void check_as() {
  const Recording recording = record_formula<D>();
  const SpanKernel kernel = compiled_kernel<D>(dtype_of<T>);
  REQUIRE((kernel != nullptr));
  if (recording.mask_result) {
    compare<T, std::uint8_t>(recording, kernel, mask_inputs_of<D>, 2500);
  } else {
    compare<T, T>(recording, kernel, mask_inputs_of<D>, 2500);
  }
}

template <class D>
void check() {
  check_as<D, float>();
  check_as<D, double>();
}

template <unsigned... Seeds>
void check_random(std::integer_sequence<unsigned, Seeds...>) {
  (check<RandomNumber<Seeds + 1>>(), ...);
  (check<RandomMask<Seeds + 100>>(), ...);
}

}  // namespace

TEST_CASE("random formulas give the same bits compiled and by tiles") {
  check_random(std::make_integer_sequence<unsigned, 12>{});
}

TEST_CASE("formulas without work, or with constant parts") {
  check<Identity>();
  check<SecondInput>();
  check<Constant>();
  check<FoldedConstant>();
  check<ConstantMask>();
  check<MaskIdentity>();
  check<ConstantChoice>();
  check<Softplus>();
}

TEST_CASE("the values are right") {
  const std::vector<float> x{-100.0F, -1.0F, 0.0F, 1.0F, 100.0F};
  const TileProgram program(tile_code(record_formula<Softplus>()), float32);
  std::vector<Block> workspace(program.workspace_bytes() / sizeof(Block) + 1);
  std::vector<float> y(x.size());
  const void* in[] = {x.data()};
  void* const out[] = {y.data()};
  program.run(in, out, x.size(), workspace.data());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double right =
        std::max(double{x[i]}, 0.0) + std::log1p(std::exp(-std::abs(double{x[i]})));
    CHECK(double{y[i]} == doctest::Approx(right).epsilon(1e-6));
  }
}

TEST_CASE("tiles are used again") {
  const Recording chain = record<1>([](auto x) {
    for (int i = 0; i < 50; ++i) x = exp(x) + i;
    return x;
  });
  CHECK(TileProgram(tile_code(chain), float32).registers() == 1);
  CHECK(TileProgram(tile_code(record_formula<Add>()), float64).registers() == 0);
}

TEST_CASE("the output may be an input") {
  const TileProgram program(
      tile_code(record<2>([](auto a, auto b) { return (a + b) * exp(b) - a / (1 + abs(a)); })),
      float64);
  std::vector<Block> workspace(program.workspace_bytes() / sizeof(Block) + 1);
  auto a = inputs<double>(3001, 1);
  const auto b = inputs<double>(3001, 2);
  std::vector<double> right(a.size());
  const void* in[] = {a.data(), b.data()};
  REQUIRE(program.may_overwrite(0, 0));
  void* const elsewhere[] = {right.data()};
  void* const over[] = {a.data()};
  program.run(in, elsewhere, a.size(), workspace.data());
  program.run(in, over, a.size(), workspace.data());
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < a.size(); ++i) wrong += same_bits(a[i], right[i]) ? 0 : 1;
  CHECK(wrong == 0);
}

TEST_CASE("only floating dtypes") {
  CHECK_THROWS_AS(TileProgram(tile_code(record_formula<Add>()), int32), TypeError);
  CHECK((compiled_kernel<Add>(int32) == nullptr));
}
