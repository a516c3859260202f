// GradBench's ba (github.com/gradbench/gradbench, MIT): reprojection errors of cameras and points,
// whose Jacobian has a block of 2 x 15 for each observation. Figures worked out independently, in
// 50 digits.
#include <doctest/doctest.h>

#include <vector>

#include <dualtape/dualtape.hpp>
#include <tests/modes/gradbench.hpp>

namespace dt = dualtape;
using namespace gradbench;

namespace {

// n cameras of 11 numbers, m points and p weights; observation i is of camera i mod n and point
// i mod m.
struct Bundle {
  std::int64_t n, m, p;
  Numbers camera, point;
  double weight;
  Numbers feature;

  // Cameras, points and weights one after the other.
  dt::Tensor inputs() const {
    Numbers all;
    for (std::int64_t i = 0; i < n; ++i) all.insert(all.end(), camera.begin(), camera.end());
    for (std::int64_t i = 0; i < m; ++i) all.insert(all.end(), point.begin(), point.end());
    all.insert(all.end(), static_cast<std::size_t>(p), weight);
    return tensor(all, {11 * n + 3 * m + p});
  }
  dt::Tensor turn(std::int64_t of) const {
    dt::Tensor index({p}, dt::int64);
    for (std::int64_t i = 0; i < p; ++i)
      index.data<std::int64_t>()[static_cast<std::size_t>(i)] = i % of;
    return index;
  }
  dt::Var errors(dt::Var z) const;
};

// Rodrigues' rotation of the rows of x by the rows of r, whose length is the angle. For r = 0 it is
// x + r x x, the limit to first order.
dt::Var rotated(dt::Var r, dt::Var x) {
  const auto cross = [](dt::Var a, dt::Var b) {
    const auto at = [](dt::Var v, std::int64_t k) { return v[{dt::range(), k}]; };
    return dt::stack(
        {at(a, 1) * at(b, 2) - at(a, 2) * at(b, 1), at(a, 2) * at(b, 0) - at(a, 0) * at(b, 2),
         at(a, 0) * at(b, 1) - at(a, 1) * at(b, 0)},
        1);
  };
  const dt::Var square = dt::sum(r * r, {1}, true);
  const dt::Var none = dt::equal(square, 0.0);
  const dt::Var angle = dt::sqrt(dt::where(none, 1.0, square));
  const dt::Var axis = r / angle;
  const dt::Var turned = x * dt::cos(angle) + cross(axis, x) * dt::sin(angle) +
                         axis * dt::sum(axis * x, {1}, true) * (1.0 - dt::cos(angle));
  return dt::where(none, x + cross(r, x), turned);
}

// The errors of both coordinates of each observation, then those of the weights.
dt::Var Bundle::errors(dt::Var z) const {
  const dt::Var cameras = dt::reshape(z[dt::range(0, 11 * n)], {n, 11});
  const dt::Var points = dt::reshape(z[dt::range(11 * n, 11 * n + 3 * m)], {m, 3});
  const dt::Var w = z[dt::range(11 * n + 3 * m, 11 * n + 3 * m + p)];
  const dt::Var c = dt::take(cameras, turn(n)), x = dt::take(points, turn(m));
  const auto part = [&](std::int64_t from, std::int64_t to) {
    return c[{dt::range(), dt::range(from, to)}];
  };
  const dt::Var y = rotated(part(0, 3), x - part(3, 6));
  const dt::Var flat = y[{dt::range(), dt::range(0, 2)}] / y[{dt::range(), dt::range(2, 3)}];
  const dt::Var s = dt::sum(flat * flat, {1}, true);
  const dt::Var bent = 1.0 + part(9, 10) * s + part(10, 11) * s * s;
  const dt::Var seen = flat * bent * part(6, 7) + part(7, 9);
  const dt::Var error = dt::unsqueeze(w, 1) * (seen - tensor(feature, {2}));
  return dt::concat({dt::reshape(error, {2 * p}), 1.0 - w * w});
}

struct Worked {
  Numbers errors;  // of one observation, and of its weight
  Numbers blocks;  // its two rows of 15
  double weight_slope;
};

// Every observation is alike, so one block is held at all of them.
void check_bundle(const Bundle& bundle, const Worked& worked) {
  const auto f = [&](dt::Var z) { return bundle.errors(z); };
  const dt::SparseFunction jacobian = dt::sparse_jacobian(f);
  const dt::Tensor z = bundle.inputs();
  const dt::SparseInfo info = jacobian.prepare(z);
  const std::int64_t p = bundle.p;
  // The place of the principal point along the other axis is the one number that a row does not
  // depend on.
  CHECK(info.pattern.entries() == 2 * 14 * p + p);
  CHECK(info.forward_sweeps + info.reverse_sweeps <= 15);
  const auto [value, j] = jacobian.value_and(z);
  const auto errors = value.data<double>(), values = j.values.data<double>();
  const auto starts = j.row_starts.data<std::int64_t>(), columns = j.columns.data<std::int64_t>();
  std::size_t wrong = 0;
  const auto hold = [&](double got, double wanted) {
    wrong += std::abs(got - wanted) <= 1e-11 * std::max(1.0, std::abs(wanted)) ? 0 : 1;
  };
  for (std::int64_t i = 0; i < p; ++i)
    for (std::int64_t axis = 0; axis < 2; ++axis) {
      const auto row = static_cast<std::size_t>(2 * i + axis);
      hold(errors[row], worked.errors[static_cast<std::size_t>(axis)]);
      Numbers block(15);
      for (auto e = starts[row]; e < starts[row + 1]; ++e) {
        const std::int64_t column = columns[static_cast<std::size_t>(e)];
        const std::int64_t after_cameras = column - 11 * bundle.n;
        const std::int64_t place = after_cameras < 0 ? column - 11 * (i % bundle.n)
                                   : after_cameras < 3 * bundle.m
                                       ? 11 + after_cameras - 3 * (i % bundle.m)
                                       : 14 + after_cameras - 3 * bundle.m - i;
        wrong += place >= 0 && place < 15 ? 0 : 1;
        if (place >= 0 && place < 15)
          block[static_cast<std::size_t>(place)] = values[static_cast<std::size_t>(e)];
      }
      for (std::size_t k = 0; k < 15; ++k)
        hold(block[k], worked.blocks[static_cast<std::size_t>(15 * axis) + k]);
    }
  for (std::int64_t i = 0; i < p; ++i) {
    const auto row = static_cast<std::size_t>(2 * p + i);
    hold(errors[row], worked.errors[2]);
    const std::int64_t column = columns[static_cast<std::size_t>(starts[row])];
    wrong += starts[row + 1] == starts[row] + 1 ? 0 : 1;
    wrong += column == 11 * bundle.n + 3 * bundle.m + i ? 0 : 1;
    hold(values[static_cast<std::size_t>(starts[row])], worked.weight_slope);
  }
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("GradBench: ba, a few observations") {
  check_bundle({2,
                3,
                20,
                {0.1, -0.2, 0.3, 0.5, -0.4, 0.2, 2.0, 0.1, -0.3, 0.05, -0.01},
                {1.0, 0.5, 4.0},
                0.9,
                {0.25, -0.5}},
               {{-0.36352369114621136, 0.41896215105307716, 0.19},
                {0.27381566112057215,
                 1.7900564578435527,
                 -0.3490190964991486,
                 -0.4486048163808056,
                 0.1379731886376436,
                 0.026349089056979882,
                 -0.11426184557310569,
                 0.9,
                 0.0,
                 -0.0076724730041934025,
                 -0.00025802646974546595,
                 0.4486048163808056,
                 -0.1379731886376436,
                 -0.026349089056979882,
                 -0.4039152123846793,
                 -1.8269167845482268,
                 0.236724738376008,
                 -0.05212155183229678,
                 -0.11833557169064843,
                 -0.4393784128948336,
                 0.11963377827649327,
                 0.11948107552653857,
                 0.0,
                 0.9,
                 0.00802293470660631,
                 0.00026981255173039637,
                 0.11833557169064843,
                 0.4393784128948336,
                 -0.11963377827649327,
                 0.4655135011700857},
                -1.8});
}

TEST_CASE("GradBench: ba, no rotation") {
  check_bundle({2,
                3,
                20,
                {0.0, 0.0, 0.0, 0.5, -0.4, 0.2, 2.0, 0.1, -0.3, 0.05, -0.01},
                {1.0, 0.5, 4.0},
                0.9,
                {0.25, -0.5}},
               {{0.10269863856412849, 0.6078575494154312, 0.19},
                {-0.062141436476128485,
                 1.8410326733518925,
                 -0.4278575494154313,
                 -0.4761932873039406,
                 -0.00143281831623049,
                 0.06299636319383625,
                 0.11884931928206424,
                 0.9,
                 0.0,
                 0.017385916314331534,
                 0.0012762514745977443,
                 0.4761932873039406,
                 0.00143281831623049,
                 -0.06299636319383625,
                 0.11410959840458722,
                 -1.9183642387444078,
                 0.062141436476128485,
                 0.23769863856412848,
                 -0.00143281831623049,
                 -0.47797635009747186,
                 0.11339345374890525,
                 0.21392877470771565,
                 0.0,
                 0.9,
                 0.03129464936579676,
                 0.0022972526542759395,
                 0.00143281831623049,
                 0.47797635009747186,
                 -0.11339345374890525,
                 0.675397277128257},
                -1.8});
}

TEST_CASE("GradBench: ba, 49 cameras, 7776 points and 31843 observations") {
  check_bundle({49,
                7776,
                31843,
                {-0.758453, -1.109613, -0.845551, 34.556073, 39.676747, 53.881673, 419.194514,
                 5.864426, -8.51887, 0.087812, 0.002739},
                {7.203245, 0.001144, 3.023326},
                0.417022,
                {271.760969, 834.209256}},
               {{0.10133583791441925, -0.06896776592440072, 0.826092651516},
                {-461.44632100159936,
                 178.86792801444562,
                 -19.423916472206336,
                 -3.061598342041031,
                 6.392457556226443,
                 -3.340282281299017,
                 0.2647602492070314,
                 0.417022,
                 0.0,
                 243.62824566082992,
                 676.4867782658688,
                 3.061598342041031,
                 -6.392457556226443,
                 3.340282281299017,
                 0.24299878163362904,
                 -803.7436233648796,
                 -309.59541752344904,
                 604.780284662503,
                 -15.049628170340554,
                 6.248486312079826,
                 3.2194799516049275,
                 0.8381960857313309,
                 0.0,
                 0.417022,
                 771.2949451366337,
                 2141.668061159957,
                 15.049628170340554,
                 -6.248486312079826,
                 -3.2194799516049275,
                 -0.16538160078940853},
                -0.834044});
}
