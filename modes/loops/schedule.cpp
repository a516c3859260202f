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
  measure();
}

// The first sweep goes to the last state and keeps what is listed; then each part between two of
// them is run back, part i with the states from i on. The last step of all is run back from the
// state that the sweep has arrived at. What is the same until the list changes is measured once.
void OnlineStates::measure() {
  const std::size_t closed = kept_.size() - 1;  // parts with both ends in the list
  const auto cost = [this](std::size_t first, std::size_t last, std::size_t place) {
    return least_advances(kept_[last] - kept_[first], states_ - static_cast<std::int64_t>(place));
  };
  closed_ = before_last_ = 0;
  for (std::size_t i = 0; i < closed; ++i) {
    before_last_ = closed_;
    closed_ += cost(i, i + 1, i);
  }
  // Without a state between two others, whose parts become one; those after it move up by a place.
  cheapest_ = -1;
  std::int64_t before = 0, after = 0;
  for (std::size_t i = 2; i < closed; ++i) after += cost(i, i + 1, i - 1);
  for (std::size_t j = 1; j < closed; ++j) {
    const std::int64_t all = before + cost(j - 1, j + 1, j - 1) + after;
    if (cheapest_ < 0 || all < without_cheapest_) {
      cheapest_ = static_cast<std::int64_t>(j);
      without_cheapest_ = all;
    }
    before += cost(j - 1, j, j - 1);
    if (j + 1 < closed) after -= cost(j + 1, j + 2, j);
  }
}

std::int64_t OnlineStates::grow(std::int64_t steps) {
  const std::int64_t candidate = steps - 2;
  if (candidate <= kept_.back()) return -1;
  const auto count = static_cast<std::int64_t>(kept_.size());
  // Every choice runs steps - 1 steps in the first sweep.
  const auto part = [this](std::int64_t first, std::int64_t last, std::int64_t place) {
    return least_advances(last - first, states_ - place);
  };
  const std::int64_t as_it_is = closed_ + part(kept_.back(), steps - 1, count - 1);
  std::int64_t best = as_it_is + 1;  // keeping is second to any that is as good
  std::int64_t given_up = -1;
  const auto choose = [&](std::int64_t without, std::int64_t cost) {
    if (cost >= best) return;
    best = cost;
    given_up = without;
  };
  const bool room = count < states_;
  if (room) {
    choose(count,
           closed_ + part(kept_.back(), candidate, count - 1) + part(candidate, steps - 1, count));
  } else {
    const std::int64_t end = part(candidate, steps - 1, count - 1);
    if (cheapest_ > 0)
      choose(cheapest_, without_cheapest_ + part(kept_.back(), candidate, count - 2) + end);
    if (count > 1)
      choose(count - 1, before_last_ +
                            part(kept_[static_cast<std::size_t>(count - 2)], candidate, count - 2) +
                            end);
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
  measure();
  return slot;
}

}  // namespace dualtape::detail
