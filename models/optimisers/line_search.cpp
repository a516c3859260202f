#include <dualtape/models/optimisers/line_search.hpp>

#include <algorithm>
#include <utility>

namespace dualtape::detail {
namespace {

constexpr int most_doublings = 40;
constexpr int most_cuts = 40;

// The minimum of the cubic through two losses and slopes, equation 3.59, kept a tenth of the
// interval away from its ends.
double between(const Trial& a, const Trial& b) {
  const double low = std::min(a.step, b.step);
  const double high = std::max(a.step, b.step);
  const double middle = (low + high) / 2;
  if (!a.finite() || !b.finite()) return middle;
  const double d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.step - b.step);
  const double square = d1 * d1 - a.slope * b.slope;
  if (!(square >= 0)) return middle;
  const double d2 = std::copysign(std::sqrt(square), b.step - a.step);
  const double step =
      b.step - (b.step - a.step) * (b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2);
  if (!std::isfinite(step)) return middle;
  const double margin = 0.1 * (high - low);
  return std::clamp(step, low + margin, high - margin);
}

class Search {
 public:
  Search(const std::function<std::optional<Trial>(double)>& at, const Trial& start,
         const Wolfe& wolfe)
      : at_(at), start_(start), wolfe_(wolfe) {}

  std::optional<Trial> run(double step) {
    Trial before = start_;
    for (int i = 0; i < most_doublings; ++i) {
      std::optional<Trial> now = at_(step);
      if (!now) return best(std::move(before));
      if (too_high(*now) || (i > 0 && now->loss >= before.loss))
        return zoom(std::move(before), std::move(*now));
      if (flat(*now)) return now;
      if (now->slope >= 0) return zoom(std::move(*now), std::move(before));
      before = std::move(*now);
      step *= 2;
    }
    return best(std::move(before));
  }

 private:
  bool too_high(const Trial& t) const {
    return !t.finite() || t.loss > start_.loss + wolfe_.c1 * t.step * start_.slope;
  }
  bool flat(const Trial& t) const { return std::abs(t.slope) <= -wolfe_.c2 * start_.slope; }
  // `low` meets the first condition, if it is not the start itself.
  static std::optional<Trial> best(Trial low) {
    if (low.step > 0) return low;
    return std::nullopt;
  }

  std::optional<Trial> zoom(Trial low, Trial high) {
    for (int i = 0; i < most_cuts; ++i) {
      std::optional<Trial> now = at_(between(low, high));
      if (!now) break;
      if (too_high(*now) || now->loss >= low.loss) {
        high = std::move(*now);
        continue;
      }
      if (flat(*now)) return now;
      if (now->slope * (high.step - low.step) >= 0) high = std::move(low);
      low = std::move(*now);
    }
    return best(std::move(low));
  }

  const std::function<std::optional<Trial>(double)>& at_;
  const Trial& start_;
  Wolfe wolfe_;
};

}  // namespace

std::optional<Trial> search_line(const std::function<std::optional<Trial>(double step)>& at,
                                 const Trial& start, double first_step, const Wolfe& wolfe) {
  return Search(at, start, wolfe).run(first_step);
}

}  // namespace dualtape::detail
