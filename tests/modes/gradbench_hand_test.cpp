// GradBench's ht, the tracking of a hand (formulas of microsoft/ADBench): the residuals of points
// against a posed model, and their Jacobian by 28 tangents in one sweep. The benchmark's own files
// are read where DUALTAPE_GRADBENCH names the folder that has ht/; a made-up hand is always there.
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include <dualtape/dualtape.hpp>
#include <tests/modes/gradbench.hpp>

namespace dt = dualtape;
using gradbench::check_numbers;
using gradbench::Numbers;
using gradbench::tensor;

namespace {

constexpr std::int64_t bones = 22, parameters = 26;

struct Model {
  std::vector<int> parents;      // -1 for the root
  dt::Tensor relatives;          // (bones, 4, 4), to the parent
  dt::Tensor inverse_absolutes;  // (bones, 4, 4)
  dt::Tensor positions;          // (vertices, 4), the last number 1
  dt::Tensor weights;            // (vertices, bones)
};
struct Instance {
  std::vector<std::array<std::int64_t, 3>>
      corners;                   // a vertex three times where there is no triangle
  dt::Tensor points;             // (N, 3)
  std::optional<dt::Tensor> us;  // (N, 2), where there are triangles
  dt::Tensor theta;              // (26)
};

// Rz Rx as (4, 4), with angles that may be Vars.
dt::Var turned(dt::Var x, dt::Var z) {
  const dt::Var sx = dt::sin(x), cx = dt::cos(x), sz = dt::sin(z), cz = dt::cos(z);
  const dt::Var zero = dt::zeros_like(x), one = dt::ones_like(x);
  return dt::reshape(
      dt::stack(std::vector<dt::Var>{cz, -(sz * cx), sz * sx, zero, sz, cz * cx, -(cz * sx), zero,
                                     zero, sx, cx, zero, zero, zero, zero, one}),
      {4, 4});
}

// By Rodrigues; the identity below a norm of 1e-4.
dt::Var rotation(dt::Var axis) {
  const dt::Var square = dt::sum(axis * axis);
  const dt::Var small = square < 1e-8;
  const dt::Var norm = dt::sqrt(dt::where(small, dt::ones_like(square), square));
  const dt::Var n = axis / norm;
  const dt::Var zero = dt::zeros_like(norm);
  const dt::Var cross = dt::reshape(
      dt::stack(std::vector<dt::Var>{zero, -n[2], n[1], n[2], zero, -n[0], -n[1], n[0], zero}),
      {3, 3});
  const dt::Var one = axis.graph().constant(dt::eye(3, 3, 0, dt::float64));
  const dt::Var turn =
      one + dt::sin(norm) * cross + (1.0 - dt::cos(norm)) * dt::matmul(cross, cross);
  return dt::where(small, one, turn);
}

// Every bone's transform, without its last row: (bones, 3, 4).
dt::Var transforms(const Model& model, dt::Var theta) {
  std::vector<dt::Var> absolute, all;
  for (std::int64_t b = 0; b < bones; ++b) {
    const auto at = static_cast<std::size_t>(b);
    dt::Var relative = theta.graph().constant(model.relatives.row(b).copy());
    const std::int64_t finger = (b - 1) / 4, joint = (b - 1) % 4;  // bones 4 f + 1 ... 4 f + 4
    if (b > 0 && finger < 5 && joint > 0) {
      const std::int64_t first = 6 + 4 * finger;
      const dt::Var z = joint == 1 ? theta[first + 1] : dt::zeros_like(theta[0]);
      relative = dt::matmul(relative, turned(theta[joint == 1 ? first : first + joint], z));
    }
    absolute.push_back(
        model.parents[at] < 0
            ? relative
            : dt::matmul(absolute[static_cast<std::size_t>(model.parents[at])], relative));
    all.push_back(dt::matmul(absolute.back(), model.inverse_absolutes.row(b).copy()));
  }
  return dt::slice(dt::stack(all), 1, 0, 3);
}

// (N, 3)
dt::Var residuals(const Model& model, const Instance& hand, dt::Var theta, dt::Var us) {
  const dt::Var bone = transforms(model, theta);
  const dt::Var turn = rotation(dt::slice(theta, 0, 0, 3)), shift = dt::slice(theta, 0, 3, 6);
  const auto posed = [&](std::size_t corner) {
    std::vector<std::int64_t> which;
    for (const auto& corners : hand.corners) which.push_back(corners[corner]);
    const dt::Tensor index =
        dt::Tensor::from(which, dt::Shape{static_cast<std::int64_t>(which.size())});
    const dt::Var p = dt::take(theta.graph().constant(model.positions), index, 0);
    const dt::Var w = dt::take(theta.graph().constant(model.weights), index, 0);
    const dt::Var v = dt::einsum("nb,bij,nj->ni", {w, bone, p});
    return dt::matmul(v, dt::transpose(turn, 0, 1)) + shift;
  };
  dt::Var y = posed(0);
  if (us.defined()) {
    const dt::Var a = dt::slice(us, 1, 0, 1), b = dt::slice(us, 1, 1, 2);
    y = a * y + b * posed(1) + (1.0 - a - b) * posed(2);
  }
  return hand.points - y;
}

// Columns 0 and 1 by each observation's own u, then by theta: all tangents in one sweep.
dt::Tensor jacobian(const Model& model, const Instance& hand) {
  dt::Graph graph;
  const std::int64_t n = hand.points.shape()[0], own = hand.us.has_value() ? 2 : 0;
  const dt::Var theta = graph.constant(hand.theta);
  dt::Tensor along_theta = dt::zeros({own + parameters, parameters}, dt::float64);
  for (std::int64_t i = 0; i < parameters; ++i)
    along_theta.data<double>()[static_cast<std::size_t>((own + i) * parameters + i)] = 1;
  dt::Var columns;
  if (own == 0) {
    const dt::Var error = residuals(model, hand, theta, {});
    columns = dt::vmap([&](dt::Var v) { return dt::forward(error, {theta}, {v}); })(
        graph.constant(along_theta));
  } else {
    const dt::Var us = graph.constant(*hand.us);
    const dt::Var error = residuals(model, hand, theta, us);
    dt::Tensor along_us = dt::zeros({own + parameters, n, 2}, dt::float64);
    for (std::int64_t k = 0; k < 2; ++k)
      for (std::int64_t i = 0; i < n; ++i)
        along_us.data<double>()[static_cast<std::size_t>((k * n + i) * 2 + k)] = 1;
    columns = dt::vmap([&](dt::Var v, dt::Var u) {
      return dt::forward(error, {theta, us}, {v, u});
    })(graph.constant(along_theta), graph.constant(along_us));
  }
  return dt::eval(dt::transpose(dt::reshape(columns, {own + parameters, 3 * n}), 0, 1));
}

double sum_of(const dt::Tensor& x, bool squares) {
  double sum = 0;
  for (const double value : x.data<double>()) sum += squares ? value * value : value;
  return sum;
}

// ---- a hand by formulas -------------------------------------------------------------------------

Model made_up_model(std::int64_t vertices) {
  gradbench::Draws draw;
  Model model;
  for (int b = 0; b < bones; ++b)
    model.parents.push_back(b == 0 || b == 21 ? b - 1 - 20 * (b / 21) : (b % 4 == 1 ? 0 : b - 1));
  model.parents[0] = -1;
  model.parents[21] = 0;
  const auto near_identity = [&] {
    dt::Tensor made = draw({bones, 4, 4});
    const auto values = made.data<double>();
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::size_t row = i / 4 % 4, column = i % 4;
      values[i] = (row == column ? 1.0 : 0.0) + (row < 3 ? 0.2 * (values[i] - 0.5) : 0.0);
    }
    return made;
  };
  model.relatives = near_identity();
  model.inverse_absolutes = near_identity();
  model.positions = draw({vertices, 4});
  for (std::int64_t v = 0; v < vertices; ++v)
    model.positions.data<double>()[static_cast<std::size_t>(4 * v + 3)] = 1;
  model.weights = draw({vertices, bones});
  for (std::int64_t v = 0; v < vertices; ++v) {
    const auto row =
        model.weights.data<double>().subspan(static_cast<std::size_t>(v * bones), bones);
    double sum = 0;
    for (const double w : row) sum += w;
    for (double& w : row) w /= sum;
  }
  return model;
}
Instance made_up_hand(std::int64_t n, std::int64_t vertices, bool triangles) {
  gradbench::Draws draw;
  Instance hand;
  for (std::int64_t i = 0; i < n; ++i)
    hand.corners.push_back({i * 7 % vertices, i * 5 % vertices, i * 3 % vertices});
  hand.points = draw({n, 3});
  if (triangles) hand.us = draw({n, 2});
  hand.theta = draw({parameters});
  return hand;
}

// ---- the benchmark's files ----------------------------------------------------------------------

std::string folder() {
  const char* const found = std::getenv("DUALTAPE_GRADBENCH");  // NOLINT(concurrency-mt-unsafe)
  return found == nullptr ? "" : std::string(found) + "/ht/";
}

std::vector<std::vector<std::string>> fields_of(const std::string& file) {
  std::ifstream in(file);
  REQUIRE_MESSAGE(in.good(), file);
  std::vector<std::vector<std::string>> lines;
  for (std::string line; std::getline(in, line);) {
    lines.emplace_back();
    std::istringstream parts(line);
    for (std::string field; std::getline(parts, field, ':');) lines.back().push_back(field);
  }
  return lines;
}

Model read_model(const std::string& path, std::vector<std::array<std::int64_t, 3>>& triangles) {
  Model model;
  Numbers relatives, inverses, positions, weights;
  for (const auto& line : fields_of(path + "/bones.txt")) {
    model.parents.push_back(std::stoi(line[1]));
    for (std::size_t i = 0; i < 16; ++i) relatives.push_back(std::stod(line[2 + i]));
    for (std::size_t i = 0; i < 16; ++i) inverses.push_back(std::stod(line[18 + i]));
  }
  for (const auto& line : fields_of(path + "/vertices.txt")) {
    for (std::size_t i = 0; i < 3; ++i) positions.push_back(std::stod(line[i]));
    positions.push_back(1);
    const std::size_t first = weights.size();
    weights.resize(first + bones);
    for (int k = 0; k < std::stoi(line[8]); ++k)
      weights[first + std::stoul(line[9 + 2 * static_cast<std::size_t>(k)])] =
          std::stod(line[10 + 2 * static_cast<std::size_t>(k)]);
  }
  for (const auto& line : fields_of(path + "/triangles.txt"))
    triangles.push_back({std::stoll(line[0]), std::stoll(line[1]), std::stoll(line[2])});
  const auto vertices = static_cast<std::int64_t>(positions.size() / 4);
  model.relatives = tensor(relatives, {bones, 4, 4});
  model.inverse_absolutes = tensor(inverses, {bones, 4, 4});
  model.positions = tensor(positions, {vertices, 4});
  model.weights = tensor(weights, {vertices, bones});
  return model;
}

Instance read_hand(const std::string& file,
                   const std::vector<std::array<std::int64_t, 3>>& triangles, bool complicated) {
  std::ifstream in(file);
  REQUIRE_MESSAGE(in.good(), file);
  std::int64_t n = 0, count = 0;
  in >> n >> count;
  Instance hand;
  Numbers points, us, theta(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < n; ++i) {
    std::int64_t index = 0;
    in >> index;
    hand.corners.push_back(complicated ? triangles[static_cast<std::size_t>(index)]
                                       : std::array{index, index, index});
    for (int k = 0; k < 3; ++k) in >> points.emplace_back();
  }
  for (std::int64_t i = 0; complicated && i < 2 * n; ++i) in >> us.emplace_back();
  for (double& x : theta) in >> x;
  REQUIRE(in);
  hand.points = tensor(points, {n, 3});
  if (complicated) hand.us = tensor(us, {n, 2});
  hand.theta = tensor(theta, {parameters});
  return hand;
}

struct Worked {
  const char* file;
  const char* model;
  bool complicated;
  double error, errors_squared, slopes, slopes_squared;
};

}  // namespace

TEST_CASE("GradBench: ht, 28 tangents in one sweep are the Jacobian by rows") {
  const Model model = made_up_model(40);
  for (const bool triangles : {false, true}) {
    const Instance hand = made_up_hand(12, 40, triangles);
    const dt::Tensor found = jacobian(model, hand);
    const auto flat = [&](dt::Var theta, dt::Var us) {
      return dt::reshape(residuals(model, hand, theta, us), {-1});
    };
    const auto by_theta = [&](dt::Var theta) {
      return flat(theta, triangles ? theta.graph().constant(*hand.us) : dt::Var{});
    };
    const std::int64_t own = triangles ? 2 : 0;
    const dt::Tensor rows = dt::jacrev(by_theta)(hand.theta);
    const dt::Tensor columns =
        dt::eval([&](dt::Var j) { return dt::slice(j, 1, own, own + parameters); }, found);
    CHECK(dt::all_close(columns, rows, 1e-11, 1e-12));
    CHECK(sum_of(rows, true) > 1);
    if (!triangles) continue;
    const auto by_us = [&](dt::Var us) { return flat(us.graph().constant(hand.theta), us); };
    const dt::Tensor all = dt::jacrev(by_us)(*hand.us);  // (3 N, N, 2)
    for (std::int64_t i = 0; i < 36; ++i)
      for (std::int64_t k = 0; k < 2; ++k)
        CHECK(found.at({i, k}) == doctest::Approx(all.at({i, i / 3, k})).epsilon(1e-11));
  }
}

TEST_CASE("GradBench: ht, the worked figures" * doctest::skip(folder().empty())) {
  const Worked worked[] = {
      {"hand_complicated.txt", "model_small", true, -0.13346239167715301, 0.1254283704961195,
       -6.171118781748576, 6.0322753050523525},
      {"simple_small/hand1_t26_c100.txt", "model_small", false, -1.1249345934313286,
       3.124739868938892, -313.17422824371766, 302.1105753751429},
      {"simple_big/hand1_t26_c100.txt", "model_big", false, 0.07791343532279194, 2.867947743162245,
       -303.41335388472004, 302.8258737251259},
      {"complicated_small/hand1_t26_c100.txt", "model_small", true, 0.8377987312408921,
       3.227015111369231, -309.2251216780237, 302.1833671081737},
      {"complicated_big/hand1_t26_c100.txt", "model_big", true, 1.9717706008417994,
       2.998460483629139, -290.80601683386624, 302.2903354504035}};
  for (const Worked& one : worked) {
    CAPTURE(std::string(one.file));
    std::vector<std::array<std::int64_t, 3>> triangles;
    const Model model = read_model(folder() + one.model, triangles);
    const Instance hand = read_hand(folder() + one.file, triangles, one.complicated);
    const dt::Tensor error = dt::eval(
        [&](dt::Var theta) {
          return residuals(model, hand, theta,
                           one.complicated ? theta.graph().constant(*hand.us) : dt::Var{});
        },
        hand.theta);
    const dt::Tensor slopes = jacobian(model, hand);
    CHECK(sum_of(error, false) == doctest::Approx(one.error).epsilon(1e-9));
    CHECK(sum_of(error, true) == doctest::Approx(one.errors_squared).epsilon(1e-9));
    CHECK(sum_of(slopes, false) == doctest::Approx(one.slopes).epsilon(1e-9));
    CHECK(sum_of(slopes, true) == doctest::Approx(one.slopes_squared).epsilon(1e-9));
  }
}
