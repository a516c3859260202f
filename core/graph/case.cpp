#include <dualtape/core/case.hpp>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include <dualtape/core/op.hpp>

namespace dualtape {
namespace {

struct Interval {
  double low;
  double high;
};

// What is left of the domain without the neighbourhoods of the avoided points.
std::vector<Interval> allowed(const Domain& domain) {
  std::vector<double> points = domain.avoided;
  std::ranges::sort(points);
  std::vector<Interval> intervals;
  double low = domain.low;
  for (const double point : points) {
    const double high = std::min(point - domain.margin, domain.high);
    if (high > low) intervals.push_back({low, high});
    low = std::max(low, point + domain.margin);
  }
  if (domain.high > low) intervals.push_back({low, domain.high});
  if (intervals.empty() && domain.low == domain.high && points.empty())
    intervals.push_back({low, low});
  if (intervals.empty()) throw std::logic_error("a sample's domain leaves nothing to draw from");
  return intervals;
}

// Uniform on the intervals; rounded to float32, so that both floating dtypes see the same numbers.
Tensor draw_floating(const Arg& arg, Key key) {
  const std::vector<Interval> intervals = allowed(arg.domain);
  double length = 0;
  for (const Interval& interval : intervals) length += interval.high - interval.low;
  Tensor drawn = uniform(key, arg.shape, 0.0, 1.0, float64);
  for (double& value : drawn.data<double>()) {
    double rest = value * length;
    std::size_t i = 0;
    for (; i + 1 < intervals.size() && rest > intervals[i].high - intervals[i].low; ++i)
      rest -= intervals[i].high - intervals[i].low;
    value = static_cast<float>(std::min(intervals[i].low + rest, intervals[i].high));
  }
  return drawn;
}

Tensor draw_whole(const Arg& arg, Key key) {
  const Domain& domain = arg.domain;
  std::vector<double> choices;
  const auto last = static_cast<std::int64_t>(std::floor(domain.high));
  for (auto whole = static_cast<std::int64_t>(std::ceil(domain.low)); whole <= last; ++whole) {
    const auto value = static_cast<double>(whole);
    const auto near = [&](double point) { return std::abs(point - value) < domain.margin; };
    if (std::ranges::none_of(domain.avoided, near)) choices.push_back(value);
  }
  if (choices.empty()) throw std::logic_error("a sample's domain holds no whole number");
  Tensor drawn = uniform(key, arg.shape, 0.0, 1.0, float64);
  for (double& value : drawn.data<double>())
    value = choices[static_cast<std::size_t>(value * static_cast<double>(choices.size()))];
  return drawn.to(arg.dtype);
}

Tensor draw_truth(const Arg& arg, Key key) {
  Tensor drawn = uniform(key, arg.shape, -1.0, 1.0, float64);
  for (double& value : drawn.data<double>()) value = value > 0 ? 1 : 0;
  return drawn.to(boolean);
}

}  // namespace

Tensor draw(const Arg& arg, Key key, DType floating) {
  const DType dtype = is_floating(arg.dtype) ? floating : arg.dtype;
  if (arg.make) return arg.make(key).to(dtype);
  if (arg.dtype == boolean) return draw_truth(arg, key);
  if (is_integer(arg.dtype)) return draw_whole(arg, key);
  return draw_floating(arg, key).to(dtype);
}

Edge edge(std::string name, const std::vector<double>& at, double value,
          const std::vector<double>& slopes) {
  Edge made{std::move(name), {}};
  for (const double x : at) made.at.push_back(Tensor::scalar(x));
  made.values = {Tensor::scalar(value)};
  for (const double slope : slopes) made.slopes.push_back(Tensor::scalar(slope));
  return made;
}

Edge edge(std::string name, const std::vector<double>& at, double value,
          const std::vector<double>& slopes, double ulp, double slope_ulp) {
  Edge made = edge(std::move(name), at, value, slopes);
  made.ulp = ulp;
  made.slope_ulp = slope_ulp;
  return made;
}

}  // namespace dualtape
