// The intervals of docs/examples: what programs compute at points of a box lies between the bounds,
// for every operator that has intervals.
#include <doctest/doctest.h>

#include <map>
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
  std::map<double, double> width;  // a number, in float64, by the radius of the boxes
  std::string refused;
};

void hold_case(const dt::Case& sample, double radius, dt::Key key, Operator& found) {
  constexpr int points = 30;
  const Call wide(sample, dt::float64), narrow(sample, dt::float32);
  const Box large = box_of(sample, dt::float64, radius, radius < 1, key);
  const Box small = box_of(sample, dt::float32, radius, radius < 1, key);
  const Tally of_wide = held(*wide.bounded, *wide.bounded, large, key, points);
  found.width[radius] += of_wide.width;
  found.tally += of_wide;
  found.tally += held(*narrow.bounded, *narrow.bounded, small, key, points);
  // In float64 values are as good as exact for bounds in float32.
  found.tally += held(*narrow.bounded, *wide.bounded, small, key, points);
}

// All sample calls of an operator in boxes of several sizes.
Operator held_of(const dt::Entry& entry) {
  Operator found;
  const bool total = entry.op != nullptr && entry.op->recording() != nullptr;
  std::uint64_t number = 0;
  try {
    for (const dt::Case& sample : entry.cases())
      for (const double radius : {0.0, 1e-6, 1e-2, 0.3, 3.0})  // the last leaves the domain,
        if (radius < 1 || total)                               // where others may throw
          hold_case(sample, radius, dt::Key{7}.fold(++number), found);
  } catch (const dt::GraphError& error) {
    found.refused = error.what();
  }
  return found;
}

}  // namespace

TEST_CASE("intervals contain what every operator computes at points of random boxes") {
  Tally all;
  int with = 0;
  for (const dt::Entry& entry : dt::all_entries()) {
    Operator found = held_of(entry);
    CAPTURE(entry.info.name);
    CAPTURE(found.refused);
    if (!found.refused.empty()) {
      CHECK(found.refused.find("an interval cannot go through it: ") != std::string::npos);
      continue;
    }
    CAPTURE(found.tally.first);
    CHECK(found.tally.outside == 0);
    // Bounds of points are points but for rounding, and bounds shrink with their box.
    const double rounding = 1e-10 * static_cast<double>(found.tally.numbers);
    CHECK(found.width[0] <= rounding);
    CHECK(found.width[1e-6] <= rounding + 0.1 * found.width[1e-2]);
    with += found.tally.numbers > 0 ? 1 : 0;
    all += found.tally;
  }
  CHECK(with >= 166);
  CHECK(all.numbers > 3000000);
  CHECK(all.unknown < all.numbers / 20);
}
