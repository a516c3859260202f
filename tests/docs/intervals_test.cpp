// The intervals of docs/examples: what programs compute at points of a box lies between its bounds,
// for every operator that has intervals, and for graphs that other modes made.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "examples/intervals.hpp"

namespace {

namespace dt = dualtape;
using intervals::Interval;
using intervals::IntervalMode;

// One call with a box for each floating argument.
struct Boxed {
  dt::Graph graph;
  std::vector<dt::Var> in;            // all arguments
  std::vector<std::size_t> floating;  // places in `in`
  std::vector<Interval> boxes;        // the inputs for the ends, of the floating ones
  std::vector<dt::Var> out;

  Boxed(const dt::Case& sample, dt::DType dtype) {
    for (const dt::Arg& arg : sample.args) {
      const std::string name = std::to_string(in.size());
      const bool is = dt::is_floating(arg.dtype);
      in.push_back(graph.input("x" + name, arg.shape, is ? dtype : arg.dtype));
      if (!is) continue;
      floating.push_back(in.size() - 1);
      boxes.push_back({graph.input("low" + name, arg.shape, dtype),
                       graph.input("high" + name, arg.shape, dtype)});
    }
    out = sample.build(in);
  }
  std::vector<std::optional<Interval>> bounds() {
    std::vector<dt::Var> inputs;
    for (const std::size_t i : floating) inputs.push_back(in[i]);
    IntervalMode mode;
    return mode.run(graph, inputs, boxes, out);
  }
};

template <class F>
dt::Tensor mapped(const dt::Tensor& x, F f) {
  dt::Tensor y(x.type());
  dt::dispatch(x.dtype(), [&]<class T>() {
    std::size_t i = 0;
    for (T& value : y.data<T>()) {
      value = static_cast<T>(f(static_cast<double>(x.data<T>()[i]), i));
      ++i;
    }
  });
  return y;
}
std::vector<double> numbers(const dt::Tensor& x) {
  const dt::Tensor wide = x.to(dt::float64);
  return {wide.data<double>().begin(), wide.data<double>().end()};
}

struct Tally {
  int operators = 0, boxes = 0, points = 0, outside = 0, unknown = 0, numbers = 0;
  std::string first;
};

// Points of one box of one call.
void hold(const dt::Case& sample, const std::string& name, dt::DType dtype, double radius,
          dt::Key key, int points, Tally& tally) {
  Boxed call(sample, dtype);
  if (call.floating.empty()) return;
  const auto bounds = call.bounds();
  std::vector<dt::Feed> feeds, ends;
  for (std::size_t i = 0; i < call.in.size(); ++i) {
    feeds.emplace_back(call.in[i], dt::draw(sample.args[i], key.fold(i), dtype));
  }
  std::vector<dt::Tensor> lows, highs;
  for (std::size_t k = 0; k < call.floating.size(); ++k) {
    const std::size_t i = call.floating[k];
    const dt::Domain& domain = sample.args[i].domain;
    const bool free = sample.args[i].make != nullptr;
    const dt::Tensor& x = feeds[i].value;
    lows.push_back(mapped(x, [&](double v, std::size_t) {
      return free ? v - radius : std::max(v - radius, std::min(v, domain.low));
    }));
    highs.push_back(mapped(x, [&](double v, std::size_t) {
      return free ? v + radius : std::min(v + radius, std::max(v, domain.high));
    }));
    ends.emplace_back(call.boxes[k].low, lows.back());
    ends.emplace_back(call.boxes[k].high, highs.back());
  }
  std::vector<dt::Var> wanted;
  for (const auto& bound : bounds)
    if (bound) wanted.insert(wanted.end(), {bound->low, bound->high});
  if (wanted.empty()) return;
  for (std::size_t i = 0; i < call.in.size(); ++i) ends.push_back(feeds[i]);
  const dt::Outputs known = dt::compile(wanted).run(ends);
  ++tally.boxes;
  dt::Program program = dt::compile(call.out);
  for (int point = 0; point < points; ++point, ++tally.points) {
    for (std::size_t k = 0; k < call.floating.size(); ++k) {
      const dt::Tensor at = dt::uniform(key.fold(100 + k).fold(static_cast<std::uint64_t>(point)),
                                        lows[k].shape(), -0.5, 1.5, dt::float64);
      const std::vector<double> where = numbers(at), low = numbers(lows[k]),
                                high = numbers(highs[k]);
      feeds[call.floating[k]].value = mapped(lows[k], [&](double, std::size_t i) {
        const double t = std::clamp(where[i], 0.0, 1.0);  // half of all on an end
        return t == 0   ? low[i]
               : t == 1 ? high[i]
                        : std::clamp(low[i] + t * (high[i] - low[i]), low[i], high[i]);
      });
    }
    const dt::Outputs values = program.run(feeds);
    for (std::size_t o = 0; o < bounds.size(); ++o) {
      if (!bounds[o]) continue;
      const std::vector<double> value = numbers(values[call.out[o]]),
                                low = numbers(known[bounds[o]->low]),
                                high = numbers(known[bounds[o]->high]);
      for (std::size_t i = 0; i < value.size(); ++i) {
        ++tally.numbers;
        if (std::isnan(low[i]) && std::isnan(high[i])) {
          ++tally.unknown;
        } else if (!(low[i] <= value[i] && value[i] <= high[i])) {
          ++tally.outside;
          if (tally.first.empty())
            tally.first = name + ", '" + sample.name + "', " + std::string(dt::name_of(dtype)) +
                          ", radius " + std::to_string(radius) + ": " + std::to_string(value[i]) +
                          " not in [" + std::to_string(low[i]) + ", " + std::to_string(high[i]) +
                          "]";
        }
      }
    }
  }
}

}  // namespace

TEST_CASE("intervals contain what every operator computes at points of random boxes") {
  Tally all;
  std::string refused;
  for (const dt::Entry& entry : dt::all_entries()) {
    Tally own;
    const std::string name(entry.info.name);
    try {
      std::uint64_t number = 0;
      for (const dt::Case& sample : entry.cases())
        for (const dt::DType dtype : {dt::float64, dt::float32})
          for (const double radius : {0.0, 1e-6, 1e-2, 0.3})
            hold(sample, name, dtype, radius, dt::Key{7}.fold(++number), 20, own);
    } catch (const dt::GraphError& error) {
      refused += std::string(error.what()) + "\n";
      continue;
    } catch (const dt::TypeError&) {
      refused += name + "(type) ";
      continue;
    }
    MESSAGE(name, " ", own.boxes, " boxes ", own.numbers, " numbers ", own.unknown, " unknown ",
            own.outside, " outside ", own.first);
    CHECK(own.outside == 0);
    all.numbers += own.numbers;
    all.unknown += own.unknown;
  }
  MESSAGE(refused);
}
