// Calls at the edges of a domain: what check_op holds them to, and that it finds what is wrong.
#include <doctest/doctest.h>

#include <cmath>

#include <dualtape/core/kinds.hpp>
#include <dualtape/modes/check.hpp>
#include <dualtape/modes/check/check_case.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/math.hpp>

#include "points.hpp"

using namespace points;

namespace {

template <class Callable>
std::string faults_of(const Callable& callable) {
  return error_of<dt::DerivativeError>([&] { dt::check_op(callable); });
}

// 1 / (1 + e^x), whose tail is fine as it stands, and whose slope is -y (1 - y).
struct Falling {
  static constexpr auto name = "test_falling";
  static constexpr auto doc = "1 / (1 + e^x)";
  static auto formula(auto x) { return 1 / (1 + exp(x)); }
  static dt::Factor partial(dt::Var x, dt::Var y) { return -y / (1 + dt::exp(-x)); }
  static auto sample() { return dt::domain(-3, 3); }
  static std::vector<dt::Edge> edges() {
    return {dt::edge("middle", {0}, 0.5, {-0.25}),
            dt::edge("tail", {20}, 2.0611536181902036e-9, {-2.0611536139418493e-9}),
            dt::edge("limit", {dt::infinity}, 0, {0}),
            dt::edge("NaN", {dt::not_a_number}, dt::not_a_number, {dt::not_a_number})};
  }
};
// The same with a slope that cancels where y is near 1.
struct CancellingSlope : Falling {
  static constexpr auto name = "test_cancelling_slope";
  static dt::Factor partial(dt::Var, dt::Var y) { return -y * (1 - y); }
  static std::vector<dt::Edge> edges() {
    return {dt::edge("below", {-15}, 0.99999969409777307, {-3.0590213334945229e-7})};
  }
};
// The same with a value that cancels.
struct CancellingValue : Falling {
  static constexpr auto name = "test_cancelling_value";
  static auto formula(auto x) { return 1 - 1 / (1 + exp(-x)); }
};
// A slope whose own slope at the tie is one half of the branch taken.
struct HalfAtTie {
  static constexpr auto name = "test_half_at_tie";
  static constexpr auto doc = "x s below 0";
  static auto formula(auto x, auto s) { return select(x > 0, x, s * x); }
  static dt::Factor partial(std::size_t i, std::span<const dt::Var> in, dt::Var) {
    return i == 0 ? dt::where(in[0] > 0, 1, in[1]) : dt::minimum(in[0], 0);
  }
  static auto sample() { return std::array{dt::domain(-2, 2).avoid(0), dt::domain(0.1, 0.5)}; }
  static std::vector<dt::Edge> edges() { return {dt::edge("tie", {0, 0.25}, 0, {0.25, 0})}; }
};

}  // namespace

TEST_CASE("edges that hold pass, in both dtypes") {
  const dt::CheckReport report = dt::check_entry(dt::entry_of(dt::Elementwise<Falling>::op()));
  INFO(dt::to_string(report));
  CHECK(report.ok());
}

TEST_CASE("a slope that cancels in a tail is found, and the error gives both numbers") {
  const std::string text = faults_of(dt::Elementwise<CancellingSlope>{});
  CHECK(has(text, "edge 'below' in float32: slope by argument 0"));
  CHECK(has(text, "where -3.05902133e-07 is right"));
}

TEST_CASE("a value that cancels in a tail is found") {
  const std::string text = faults_of(dt::Elementwise<CancellingValue>{});
  CHECK(has(text, "edge 'tail' in float64: value"));
  CHECK(!contains(text, "edge 'middle'"));
}

TEST_CASE("mixed second slopes that differ by their order at a tie are found") {
  const std::string text = faults_of(dt::Elementwise<HalfAtTie>{});
  CHECK(has(text, "edge 'tie' in float64"));
  CHECK(has(text, "the other order of second slope by arguments 1 and 0: 1 where 0.5 is right"));
}

TEST_CASE("an edge of a composite needs its call") {
  dt::CheckReport report;
  dt::Entry entry;
  entry.info.name = "nothing";
  dt::detail::check_edge(dt::edge("anywhere", {1}, 1), entry, report);
  CHECK(has(dt::to_string(report), "needs `build`"));
}

TEST_CASE("distances are counted in units of the last place") {
  using dt::detail::ulps_apart;
  CHECK(ulps_apart(1.0 + 0x1p-23, 1.0, dt::float32) == 1);
  CHECK(ulps_apart(1.0 + 0x1p-52, 1.0, dt::float64) == 1);
  CHECK(ulps_apart(-3e-30, 3e-30, dt::float64) > 1e10);
  CHECK(ulps_apart(dt::infinity, dt::infinity, dt::float32) == 0);
  CHECK(ulps_apart(dt::infinity, 1e40, dt::float32) == 0);  // rounds to it
  CHECK(ulps_apart(1e38, dt::infinity, dt::float32) == dt::infinity);
  CHECK(ulps_apart(dt::not_a_number, dt::not_a_number, dt::float32) == 0);
  CHECK(ulps_apart(dt::not_a_number, 0, dt::float32) == dt::infinity);
  CHECK(ulps_apart(0, 1e-40, dt::float32) == 0);  // denormal in float32
  CHECK(ulps_apart(0, 1e-40, dt::float64) > 1e10);
  CHECK(ulps_apart(0, 1e-310, dt::float64) == 0);
}
