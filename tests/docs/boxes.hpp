// Boxes of inputs, points inside them, and whether what a program computes there lies between the
// bounds that docs/examples/intervals.hpp gives. Private to tests; one thread.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "examples/interval_rules.hpp"

namespace boxes {

namespace dt = dualtape;
using intervals::Interval;
using intervals::IntervalMode;
using Numbers = std::vector<double>;

inline Numbers numbers(const dt::Tensor& x) {
  const dt::Tensor wide = x.to(dt::float64);
  return {wide.data<double>().begin(), wide.data<double>().end()};
}
inline dt::Tensor tensor(const Numbers& values, const dt::Type& type) {
  return dt::Tensor::from(values, type.shape).to(type.dtype);
}

// What is fed: a box for each floating input, and one value for each other.
struct Box {
  std::vector<dt::Tensor> low, high;
  // Point number i of it: each element at an end in half of the cases.
  std::vector<dt::Tensor> point(std::uint64_t i, dt::Key key) const {
    std::vector<dt::Tensor> at;
    for (std::size_t k = 0; k < low.size(); ++k) {
      if (!dt::is_floating(low[k].dtype())) {
        at.push_back(low[k]);
        continue;
      }
      const dt::Tensor drawn =
          dt::uniform(key.fold(i).fold(k), low[k].shape(), -0.5, 1.5, dt::float64);
      Numbers x = numbers(drawn);
      const Numbers a = numbers(low[k]), b = numbers(high[k]);
      for (std::size_t e = 0; e < x.size(); ++e) {
        const double t = std::clamp(x[e], 0.0, 1.0);
        x[e] = t == 1 ? b[e] : std::clamp(a[e] + t * (b[e] - a[e]), a[e], b[e]);
      }
      at.push_back(tensor(x, low[k].type()));
    }
    return at;
  }
};

// How values compared with bounds.
struct Tally {
  std::int64_t numbers = 0, unknown = 0, outside = 0;
  double width = 0;   // the sum over what is known
  std::string first;  // of those outside

  // What is nearer to 0 than `normal` counts as 0.
  void hold(const Numbers& value, const Numbers& low, const Numbers& high, double normal = 0) {
    for (std::size_t i = 0; i < value.size(); ++i) {
      ++numbers;
      if (std::isnan(low[i]) && std::isnan(high[i])) {
        ++unknown;
        continue;
      }
      if (std::isfinite(high[i] - low[i])) width += high[i] - low[i];
      const double v = std::abs(value[i]) < normal ? 0 : value[i];
      if (low[i] <= v && v <= high[i]) continue;
      ++outside;
      if (!first.empty()) continue;
      std::ostringstream text;
      text.precision(17);
      text << value[i] << " is not in [" << low[i] << ", " << high[i] << "]";
      first = text.str();
    }
  }
  Tally& operator+=(const Tally& other) {
    numbers += other.numbers;
    unknown += other.unknown;
    outside += other.outside;
    width += other.width;
    if (first.empty()) first = other.first;
    return *this;
  }
};

// A graph, its inputs, and the bounds of its outputs for boxes of the floating ones.
class Bounded {
 public:
  Bounded(dt::Graph& graph, std::vector<dt::Var> in, std::vector<dt::Var> out)
      : in_(std::move(in)), out_(std::move(out)) {
    std::vector<dt::Var> inputs;
    std::vector<Interval> states;
    for (const dt::Var& x : in_) {
      const std::string name = std::to_string(ends_.size());
      if (dt::is_floating(x.dtype())) {
        ends_.push_back({graph.input("low" + name, x.shape(), x.dtype()),
                         graph.input("high" + name, x.shape(), x.dtype())});
        inputs.push_back(x);
        states.push_back(ends_.back());
      } else {
        ends_.push_back({x, x});
      }
    }
    IntervalMode mode;
    intervals::teach(mode);
    bounds_ = mode.run(graph, inputs, states, out_);
  }

  // The bounds of the box, one pair an output; empty ones where an output does not depend on it.
  std::vector<std::pair<Numbers, Numbers>> bounds(const Box& box) const {
    std::vector<dt::Var> wanted;
    for (const auto& bound : bounds_)
      if (bound) wanted.insert(wanted.end(), {bound->low, bound->high});
    std::vector<std::pair<Numbers, Numbers>> found(out_.size());
    if (wanted.empty()) return found;
    std::vector<dt::Feed> feeds;
    for (std::size_t i = 0; i < in_.size(); ++i) {
      if (dt::is_floating(in_[i].dtype())) {
        feeds.emplace_back(ends_[i].low, box.low[i]);
        feeds.emplace_back(ends_[i].high, box.high[i]);
      } else {
        feeds.emplace_back(in_[i], box.low[i]);
      }
    }
    const dt::Outputs ran = dt::compile(wanted).run(feeds);
    for (std::size_t o = 0; o < out_.size(); ++o)
      if (bounds_[o]) found[o] = {numbers(ran[bounds_[o]->low]), numbers(ran[bounds_[o]->high])};
    return found;
  }
  dt::Program program() const { return dt::compile(out_); }
  std::vector<Numbers> values(dt::Program& program, const std::vector<dt::Tensor>& at) const {
    std::vector<dt::Feed> feeds;
    for (std::size_t i = 0; i < in_.size(); ++i)
      feeds.emplace_back(in_[i], at[i].to(in_[i].dtype()));
    const dt::Outputs ran = program.run(feeds);
    std::vector<Numbers> values;
    for (const dt::Var& out : out_) values.push_back(numbers(ran[out]));
    return values;
  }

 private:
  std::vector<dt::Var> in_, out_;
  std::vector<Interval> ends_;
  std::vector<std::optional<Interval>> bounds_;
};

// `points` of the box, computed by `computed` (of the same inputs and outputs, of another dtype
// perhaps), against the bounds of `bounded`, in whose dtype smaller numbers may be 0.
inline Tally held(const Bounded& bounded, const Bounded& computed, const Box& box, dt::Key key,
                  int points) {
  Tally tally;
  const auto bounds = bounded.bounds(box);
  const double normal = &bounded == &computed ? 0 : std::numeric_limits<float>::min();
  dt::Program program = computed.program();
  for (int i = 0; i < points; ++i) {
    const auto values = computed.values(program, box.point(static_cast<std::uint64_t>(i), key));
    for (std::size_t o = 0; o < bounds.size(); ++o)
      if (!bounds[o].first.empty())
        tally.hold(values[o], bounds[o].first, bounds[o].second, normal);
  }
  return tally;
}

// The box of a radius around values; inside `domain` where one is given.
inline void add_around(Box& box, const dt::Tensor& x, double radius,
                       const std::optional<dt::Domain>& domain) {
  if (!dt::is_floating(x.dtype())) {
    box.low.push_back(x);
    box.high.push_back(x);
    return;
  }
  Numbers low = numbers(x), high = low;
  for (double& v : low) v = domain ? std::max(v - radius, std::min(v, domain->low)) : v - radius;
  for (double& v : high) v = domain ? std::min(v + radius, std::max(v, domain->high)) : v + radius;
  box.low.push_back(tensor(low, x.type()));
  box.high.push_back(tensor(high, x.type()));
}

}  // namespace boxes
