#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>
#include <cstdlib>
#include <string>
#include <vector>

#include <dualtape/core/base/environment.hpp>
#include <dualtape/core/kept.hpp>
#include <dualtape/core/machine/isa.hpp>

namespace dualtape::detail {
namespace {

std::vector<Isa> find_usable() {
  std::vector<Isa> found{Isa::baseline};
#if !defined(DUALTAPE_ONE_ISA)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  if (avx2) found.push_back(Isa::avx2);
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (avx2 && avx512) found.push_back(Isa::avx512);
#endif
  return found;
}

std::string list(std::span<const Isa> isas) {
  std::string names;
  for (const Isa isa : isas) names += (names.empty() ? "" : ", ") + std::string(name_of(isa));
  return names;
}

// IsaForTest's choice, or none.
constexpr int none = -1;
std::atomic<int>& forced() {
  static std::atomic<int> value{none};
  return value;
}

}  // namespace

std::string_view name_of(Isa isa) {
#if defined(DUALTAPE_ONE_ISA)
  static_cast<void>(isa);
  return DUALTAPE_ONE_ISA;
#else
  static constexpr std::array<std::string_view, 3> names{"baseline", "avx2", "avx512"};
  return names[static_cast<std::size_t>(isa)];
#endif
}

std::span<const Isa> usable_isas() {
  static const Kept<std::vector<Isa>> usable(find_usable());
  return usable.value;
}

Isa isa_named(const char* wanted) {
  const std::span<const Isa> usable = usable_isas();
  if (wanted == nullptr || *wanted == '\0') return usable.back();
  const auto found = std::ranges::find_if(usable, [&](Isa isa) { return name_of(isa) == wanted; });
  if (found != usable.end()) return *found;
  refuse_environment("DUALTAPE_ISA", wanted, list(usable), "to have the last");
}

Isa isa() {
  const int value = forced().load(std::memory_order_relaxed);
  if (value != none) return static_cast<Isa>(value);
  static const Isa chosen =
      isa_named(std::getenv("DUALTAPE_ISA"));  // NOLINT(concurrency-mt-unsafe)
  return chosen;
}

IsaForTest::IsaForTest(Isa isa) : previous_(forced().exchange(static_cast<int>(isa))) {
  assert(std::ranges::find(usable_isas(), isa) != usable_isas().end());
}
IsaForTest::~IsaForTest() { forced().store(previous_); }

}  // namespace dualtape::detail
