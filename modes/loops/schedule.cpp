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

OnlineStates::OnlineStates(std::int64_t states) : states_(states) {
  kept_.reserve(static_cast<std::size_t>(states));
  slots_.reserve(static_cast<std::size_t>(states));
  start();
}

void OnlineStates::start() {
  kept_.assign(1, 0);
  slots_.assign(1, 0);
}

// The first sweep goes to the last state and keeps what is listed; then each part is run back. The
// last step of all is run back from the state that the sweep has arrived at.
std::int64_t OnlineStates::advances(std::int64_t without, std::int64_t with,
                                    std::int64_t steps) const {
  std::int64_t sum = 0;
  std::int64_t place = 0;
  std::int64_t first = 0;
  const auto add_part = [&](std::int64_t end) {
    sum += end - first + least_advances(end - first, states_ - place);
    first = end;
    ++place;
  };
  for (std::size_t i = 1; i < kept_.size(); ++i)
    if (static_cast<std::int64_t>(i) != without) add_part(kept_[i]);
  if (with >= 0) add_part(with);
  add_part(steps - 1);
  return sum;
}

std::int64_t OnlineStates::grow(std::int64_t steps) {
  const std::int64_t candidate = steps - 2;
  if (candidate <= kept_.back()) return -1;
  const std::int64_t least = least_advances(steps, states_);
  const auto count = static_cast<std::int64_t>(kept_.size());
  const bool room = count < states_;
  std::int64_t best = advances(-1, -1, steps) + 1;  // keeping is second to any that is as good
  std::int64_t given_up = -1;
  for (std::int64_t j = room ? count : 1; j < count + (room ? 1 : 0); ++j) {
    const std::int64_t cost = advances(j, candidate, steps);
    if (cost >= best) continue;
    best = cost;
    given_up = j;
    if (best <= least) break;
  }
  if (given_up < 0) return -1;
  std::int64_t slot = count;
  if (!room) {
    slot = slots_[static_cast<std::size_t>(given_up)];
    kept_.erase(kept_.begin() + given_up);
    slots_.erase(slots_.begin() + given_up);
  }
  kept_.push_back(candidate);
  slots_.push_back(slot);
  return slot;
}

}  // namespace dualtape::detail
