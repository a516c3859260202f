#include <dualtape/modes/loops/schedule.hpp>

#include <algorithm>
#include <limits>

namespace dualtape::detail {
namespace {

constexpr std::int64_t plenty = std::numeric_limits<std::int64_t>::max() / 4;

// C(s + r, s), or `plenty` if it is larger than that.
std::int64_t reach(std::int64_t s, std::int64_t r) {
  if (s < 0 || r < 0) return 0;
  std::int64_t c = 1;
  for (std::int64_t i = 1; i <= std::min(s, r); ++i) {
    if (c > plenty / (s + r)) return plenty;
    c = c * (std::max(s, r) + i) / i;
  }
  return c;
}

// How often the step run most is run: the least r for which C(s + r, s) >= n.
std::int64_t repetitions(std::int64_t steps, std::int64_t states) {
  if (states == 1) return std::max<std::int64_t>(steps - 1, 0);
  std::int64_t r = 0;
  while (reach(states, r) < steps) ++r;
  return r;
}

}  // namespace

std::int64_t least_advances(std::int64_t steps, std::int64_t states) {
  if (steps <= 1) return 0;
  if (states <= 0) return plenty;
  if (states == 1) return steps * (steps - 1) / 2;
  const std::int64_t r = repetitions(steps, states);
  return r * steps - reach(states + 1, r - 1);
}

std::int64_t next_kept(std::int64_t steps, std::int64_t states) {
  if (states <= 1) return steps - 1;
  const std::int64_t r = repetitions(steps, states);
  return std::max({reach(states, r - 2), steps - reach(states - 1, r), std::int64_t{1}});
}

// The first sweep goes to the last state and keeps what is listed; then each part is run back.
std::int64_t OnlineStates::advances(const std::vector<std::int64_t>& kept,
                                    std::int64_t steps) const {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    const bool last = i + 1 == kept.size();
    // The last step of all is run back from the state that the sweep has arrived at.
    const std::int64_t part = (last ? steps - 1 : kept[i + 1]) - kept[i];
    sum += part + least_advances(part, states_ - static_cast<std::int64_t>(i));
  }
  return sum;
}

std::int64_t OnlineStates::grow(std::int64_t steps) {
  const std::int64_t candidate = steps - 2;
  if (candidate <= kept_.back()) return -1;
  const std::int64_t best_known = least_advances(steps, states_);
  std::int64_t best = advances(kept_, steps) + 1;  // keeping is second to any that is as good
  std::size_t given_up = 0;
  const bool room = static_cast<std::int64_t>(kept_.size()) < states_;
  for (std::size_t j = room ? kept_.size() : 1; j < kept_.size() + (room ? 1 : 0); ++j) {
    std::vector<std::int64_t> now = kept_;
    if (!room) now.erase(now.begin() + static_cast<std::ptrdiff_t>(j));
    now.push_back(candidate);
    const std::int64_t cost = advances(now, steps);
    if (cost >= best) continue;
    best = cost;
    given_up = j;
    if (best <= best_known) break;
  }
  if (given_up == 0) return -1;
  std::int64_t slot = static_cast<std::int64_t>(kept_.size());
  if (!room) {
    slot = slots_[given_up];
    kept_.erase(kept_.begin() + static_cast<std::ptrdiff_t>(given_up));
    slots_.erase(slots_.begin() + static_cast<std::ptrdiff_t>(given_up));
  }
  kept_.push_back(candidate);
  slots_.push_back(slot);
  return slot;
}

}  // namespace dualtape::detail
