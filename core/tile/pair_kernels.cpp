// The SIMD kernels of tile programs that run two cheap primitives in one loop, so that the value in
// between stays in a register: p - s * v, (x + a) * b, clamping and the like.
#include <array>
#include <cstddef>
#include <utility>

#include <dualtape/core/machine/lane.hpp>
#include <dualtape/core/tile/tile.hpp>

namespace dualtape::detail {
namespace {

template <class T>
using Memory = LaneMemory<T>;

// The second operand of one of the two, read at element i.
template <class T, PairForm::Operand kind>
struct Other {
  typename Memory<T>::Number value;
  const T* from;
  explicit Other(const void* memory)
      : value(*static_cast<const T*>(memory)), from(static_cast<const T*>(memory)) {}
  auto at(std::size_t i) const {
    if constexpr (kind == PairForm::Operand::tile)
      return Memory<T>::Number::load(from + i);
    else
      return value;
  }
};

template <PairForm form, class Number>
Number apply(const Number& x, const Number& other) {
  if constexpr (form.prim == Prim::neg)
    return -x;
  else if constexpr (form.prim == Prim::abs)
    return abs(x);
  else if constexpr (form.prim == Prim::add)
    return x + other;
  else if constexpr (form.prim == Prim::sub)
    return form.reversed ? other - x : x - other;
  else if constexpr (form.prim == Prim::mul)
    return x * other;
  else if constexpr (form.prim == Prim::minimum)
    return minimum(x, other);
  else
    return maximum(x, other);
}

template <class T, std::size_t First, std::size_t Second>
void run_pair(const void* const* in, void* out, std::size_t n) {
  constexpr PairForm first = pair_forms[First];
  constexpr PairForm second = pair_forms[Second];
  const auto* const x = static_cast<const T*>(in[0]);
  const Other<T, first.operand> a(in[1]);
  const Other<T, second.operand> b(in[2]);
  auto* const to = static_cast<T*>(out);
  for (std::size_t i = 0; i < n; i += Memory<T>::width)
    apply<second>(apply<first>(Memory<T>::Number::load(x + i), a.at(i)), b.at(i)).store(to + i);
}

using Row = std::array<TileKernel, pair_forms.size()>;

template <class T, std::size_t First, std::size_t... Second>
constexpr Row row(std::index_sequence<Second...>) {
  return {&run_pair<T, First, Second>...};
}
template <class T, std::size_t... First>
constexpr std::array<Row, sizeof...(First)> table(std::index_sequence<First...> all) {
  return {row<T, First>(all)...};
}

template <class T>
TileKernel find(std::size_t first, std::size_t second) {
  static constexpr auto kernels = table<T>(std::make_index_sequence<pair_forms.size()>{});
  return kernels[first][second];
}

TileKernel pair_of(std::size_t first, std::size_t second, DType dtype) {
  return dtype == DType::float64 ? find<double>(first, second) : find<float>(first, second);
}

}  // namespace

PairKernel pair_kernel(ThisIsa) { return &pair_of; }

}  // namespace dualtape::detail
