// The intervals of docs/examples: what programs compute at points of a box lies between the bounds,
// for every operator that has intervals.
#include <doctest/doctest.h>

#include <memory>

#include "boxes.hpp"

using namespace boxes;

namespace {

// A sample call in one dtype.
struct Call {
  Call(const dt::Case& sample, dt::DType dtype) {
    for (const dt::Arg& arg : sample.args)
      in.push_back(graph->input("x" + std::to_string(in.size()), arg.shape,
                                dt::is_floating(arg.dtype) ? dtype : arg.dtype));
    bounded = std::make_unique<Bounded>(*graph, in, sample.build(in));
  }
  std::unique_ptr<dt::Graph> graph = std::make_unique<dt::Graph>();
  std::vector<dt::Var> in;
  std::unique_ptr<Bounded> bounded;
};

Box box_of(const dt::Case& sample, dt::DType dtype, double radius, bool inside, dt::Key key) {
  Box box;
  for (std::size_t i = 0; i < sample.args.size(); ++i) {
    const dt::Arg& arg = sample.args[i];
    const bool limited = inside && arg.make == nullptr;
    add_around(box, dt::draw(arg, key.fold(i), dtype), radius,
               limited ? std::optional(arg.domain) : std::nullopt);
  }
  return box;
}

struct Operator {
  Tally tally;
  std::string refused;
};

// All sample calls of an operator in boxes of several sizes, in float64, in float32, and the bounds
// in float32 against the values in float64, which are as good as exact there.
Operator held_of(const dt::Entry& entry, int points) {
  Operator found;
  const bool total = entry.op != nullptr && entry.op->recording() != nullptr;
  std::uint64_t number = 0;
  try {
    for (const dt::Case& sample : entry.cases()) {
      const Call wide(sample, dt::float64), narrow(sample, dt::float32);
      for (const double radius : {0.0, 1e-6, 1e-2, 0.3, 3.0}) {
        if (radius > 1 && !total) continue;  // beyond the domain, where others may throw
        const dt::Key key = dt::Key{7}.fold(++number);
        const Box large = box_of(sample, dt::float64, radius, radius < 1, key);
        const Box small = box_of(sample, dt::float32, radius, radius < 1, key);
        found.tally += held(*wide.bounded, *wide.bounded, large, key, points);
        found.tally += held(*narrow.bounded, *narrow.bounded, small, key, points);
        found.tally += held(*narrow.bounded, *wide.bounded, small, key, points);
      }
    }
  } catch (const dt::GraphError& error) {
    found.refused = error.what();
  }
  return found;
}

}  // namespace

TEST_CASE("intervals contain what every operator computes at points of random boxes") {
  Tally all;
  int with = 0, refused = 0;
  for (const dt::Entry& entry : dt::all_entries()) {
    const Operator found = held_of(entry, 30);
    CAPTURE(entry.info.name);
    CAPTURE(found.refused);
    if (!found.refused.empty()) {
      ++refused;
      CHECK(found.refused.find("an interval cannot go through it: ") != std::string::npos);
      continue;
    }
    CAPTURE(found.tally.first);
    CHECK(found.tally.outside == 0);
    MESSAGE(entry.info.name, " ", found.tally.numbers, " unknown ", found.tally.unknown, " width ",
            found.tally.width);
    with += found.tally.numbers > 0 ? 1 : 0;
    all += found.tally;
  }
  MESSAGE(with, " operators, ", refused, " refused, ", all.numbers, " numbers, ", all.unknown);
}
