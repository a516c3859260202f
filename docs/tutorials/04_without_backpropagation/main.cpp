// Tutorial 4: descent by forward gradients on Beale's and Rosenbrock's functions, against gradient
// descent, against published runs, and against the theory of the estimates' spread.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include <dualtape/dualtape.hpp>

#include "common/text.hpp"
#include "common/tutorial.hpp"

namespace dt = dualtape;
using dt::docs::fixed;
using dt::docs::pad_left;
using dt::docs::pad_right;

namespace {

using Numbers = std::vector<double>;
using Function = dt::Var (*)(dt::In);

std::string pair(double a, double b, int digits) {
  return "(" + fixed(a, digits) + ", " + fixed(b, digits) + ")";
}

void guess(const dt::docs::Tutorial& t) {
  t.section("guess");
  // [guess]
  dt::Graph g;
  const dt::Var x = g.input("x", {2});
  const dt::Var key = g.input("key", {}, dt::int64);
  const dt::Var f = dt::beale(x);
  const auto exact = dt::reverse(f, {x});
  const auto guess = dt::forward_gradient(f, {x}, key);
  dt::Program program = dt::compile({exact[x], guess.gradients[x]});
  for (std::uint64_t i = 0; i < 5; ++i) {
    const auto out = program.run({{x, {1.5, -0.1}}, {key, dt::Key{i}.to_tensor()}});
    if (i == 0) std::cout << "gradient  " << out[exact[x]] << '\n';
    std::cout << "estimate  " << out[guess.gradients[x]] << '\n';
  }
  // [/guess]
  t.aside();
}

// [draw]
// Directions for many estimates side by side: each row of (rows, 2) is one.
dt::Var draw_rows(dt::Var x, dt::Var key, dt::Perturbation perturbation) {
  if (perturbation != dt::Perturbation::sphere)
    return dt::draw_direction({x}, key, perturbation)[0];
  // A circle for each row, not one sphere for them all.
  const dt::Var v = dt::random_normal(key, x.shape(), 0, 1, x.dtype());
  return v * (std::sqrt(2.0) / dt::norm(v, {1}, true));
}
// [/draw]

struct Cloud {
  Numbers a, b;  // the components of the estimates
};

// [cloud]
Cloud estimates(dt::Perturbation perturbation, std::int64_t count) {
  dt::Graph g;
  const dt::Var x = g.constant(dt::Tensor{1.5, -0.1}.to(dt::float64));
  const dt::Var points = dt::broadcast_to(x, {count, 2});
  const dt::Var key = g.input("key", {}, dt::int64);
  const dt::Var v = draw_rows(points, key, perturbation);
  const dt::Var slopes = dt::forward(dt::beale(points), {points}, {v});  // (count,)
  const dt::Var estimate = dt::unsqueeze(slopes, 1) * v;                 // (count, 2)
  const dt::Tensor values = dt::eval(estimate, {{key, dt::Key{4}.to_tensor()}});
  // [/cloud]
  Cloud cloud;
  const auto data = values.data<double>();
  for (std::size_t i = 0; i < data.size(); i += 2) {
    cloud.a.push_back(data[i]);
    cloud.b.push_back(data[i + 1]);
  }
  return cloud;
}

struct Moments {
  double mean = 0;
  double deviation = 0;
};
Moments moments(const Numbers& values) {
  Moments m;
  for (const double value : values) m.mean += value / static_cast<double>(values.size());
  for (const double value : values) {
    const double d = value - m.mean;
    m.deviation += d * d / static_cast<double>(values.size() - 1);
  }
  m.deviation = std::sqrt(m.deviation);
  return m;
}

// [theory]
// The standard deviation of component i of an estimate, from the gradient's component g and the
// length of the rest, other. For independent components v with E v^4 = kappa:
//   var = (kappa - 1) g^2 + other^2,
// and on the circle of radius sqrt(2), whose components are not independent, (g^2 + other^2) / 2.
double theory(dt::Perturbation perturbation, double g, double other) {
  switch (perturbation) {
    case dt::Perturbation::normal: return std::sqrt(2.0 * g * g + other * other);   // kappa = 3
    case dt::Perturbation::uniform: return std::sqrt(0.8 * g * g + other * other);  // 9 / 5
    case dt::Perturbation::rademacher: return std::abs(other);                      // 1
    case dt::Perturbation::sphere: break;
  }
  return std::sqrt((g * g + other * other) / 2);
}
// [/theory]

void spread(const dt::docs::Tutorial& t) {
  const double ga = -3.433947;
  const double gb = -0.807885;
  constexpr std::int64_t count = 100000;
  std::vector<Cloud> clouds;
  const std::vector<dt::Perturbation> kinds = {dt::Perturbation::normal, dt::Perturbation::uniform,
                                               dt::Perturbation::sphere,
                                               dt::Perturbation::rademacher};
  bool means = true;
  bool spreads = true;
  t.section("spread");
  std::cout << "directions   mean                deviation          theory\n";
  for (const dt::Perturbation kind : kinds) {
    clouds.push_back(estimates(kind, count));
    const Moments a = moments(clouds.back().a);
    const Moments b = moments(clouds.back().b);
    const double ta = theory(kind, ga, gb);
    const double tb = theory(kind, gb, ga);
    std::cout << pad_right(dt::name_of(kind), 12) << " " << pad_right(pair(a.mean, b.mean, 3), 19)
              << " " << pad_right(pair(a.deviation, b.deviation, 3), 18) << " " << pair(ta, tb, 3)
              << "\n";
    const double errors = 4 / std::sqrt(static_cast<double>(count));
    means = means && std::abs(a.mean - ga) < errors * ta && std::abs(b.mean - gb) < errors * tb;
    spreads =
        spreads && std::abs(a.deviation / ta - 1) < 0.02 && std::abs(b.deviation / tb - 1) < 0.02;
  }
  t.section("spread_verdict");
  std::cout << "all means within 4 standard errors of the gradient: " << (means ? "yes" : "NO")
            << "\nall deviations within 2 % of the theory:            " << (spreads ? "yes" : "NO")
            << "\n";
  t.aside();

  const auto first = [](const Numbers& all, std::ptrdiff_t n) {
    return Numbers(all.begin(), all.begin() + n);
  };
  const Cloud& normal = clouds[0];
  const Moments a = moments(normal.a);
  const Moments b = moments(normal.b);
  constexpr std::ptrdiff_t arrows = 150;
  dt::docs::Figure cloud("cloud", "Estimates of the gradient of Beale's function at (1.5, -0.1)");
  cloud.labels("first component", "second component").x_range(-14, 4).y_range(-7, 6).square();
  cloud
      .arrows("150 estimates", Numbers(arrows, 0.0), Numbers(arrows, 0.0), first(normal.a, arrows),
              first(normal.b, arrows), {.colour = 5, .width = 1, .faint = true})
      .arrows("mean of 100000", {0}, {0}, {a.mean}, {b.mean}, {.colour = 1, .width = 5})
      .arrows("gradient", {0}, {0}, {ga}, {gb}, {.colour = dt::docs::ink, .width = 2});
  t.draw(cloud);

  dt::docs::Figure shapes("kinds", "Estimates by four kinds of directions");
  shapes.labels("first component", "second component").x_range(-14, 4).y_range(-7, 6).square();
  const int colours[] = {5, 2, 1, 3};
  for (std::size_t k = 0; k < kinds.size(); ++k) {
    const std::ptrdiff_t shown = kinds[k] == dt::Perturbation::rademacher ? 20 : 250;
    shapes.points(
        std::string(dt::name_of(kinds[k])), first(clouds[k].a, shown), first(clouds[k].b, shown),
        kinds[k] == dt::Perturbation::rademacher ? dt::docs::Mark::star : dt::docs::Mark::dot,
        {.colour = colours[k]});
  }
  shapes.arrows("gradient", {0}, {0}, {ga}, {gb}, {.colour = dt::docs::ink, .width = 2});
  t.draw(shapes);
}

struct Paths {
  std::vector<Numbers> x, y, f;  // by run, then by step; f before the step's update
};

// [descend]
// Draws the directions (runs, 2) of a step.
using Directions = std::function<dt::Tensor(std::uint64_t step)>;

// Each row of `start` (runs, 2) is a run of its own; without directions, by gradient descent.
Paths descend(Function function, const dt::Tensor& start, double rate, std::uint64_t steps,
              const Directions& directions = {}) {
  dt::Graph g;
  const dt::Parameter x{"x", start};
  const dt::Var point = g.read(x);
  const dt::Var f = function(point);  // (runs,)
  dt::Var v, change;
  if (directions) {
    v = g.input("v", start.shape(), start.dtype());
    change = dt::unsqueeze(dt::forward(f, {point}, {v}), 1) * v;
  } else {
    change = dt::reverse(dt::sum(f), {point})[point];
  }
  dt::Program program = dt::compile({f, point}, {dt::assign(x, point - rate * change)});

  const auto runs = static_cast<std::size_t>(start.size(0));
  Paths paths{std::vector<Numbers>(runs), std::vector<Numbers>(runs), std::vector<Numbers>(runs)};
  for (std::uint64_t step = 0; step < steps; ++step) {
    const auto out = directions ? program.run({{v, directions(step)}}) : program.run();
    for (std::size_t run = 0; run < runs; ++run) {
      const auto row = static_cast<std::int64_t>(run);
      paths.x[run].push_back(out[point].at({row, 0}));
      paths.y[run].push_back(out[point].at({row, 1}));
      paths.f[run].push_back(out[f].at({row}));
    }
  }
  return paths;
}
// [/descend]

// The same point in every row.
dt::Tensor rows_of(double x, double y, std::int64_t runs) {
  dt::Tensor start = dt::zeros({runs, 2}, dt::float64);
  for (std::int64_t run = 0; run < runs; ++run) {
    dt::Tensor point = start.row(run);
    point.data<double>()[0] = x;
    point.data<double>()[1] = y;
  }
  return start;
}

struct Task {
  std::string name;
  Function function;
  double x, y;  // start
  double rate;
  std::uint64_t steps;
  std::int64_t runs;
  double published;  // f at the end, read off a figure
};

// The first 300 steps, which leap, and 250 of the rest, which creep.
Numbers early_dense(const Numbers& path) {
  Numbers shown;
  const std::size_t stride = path.size() > 550 ? (path.size() - 300) / 250 : 1;
  for (std::size_t i = 0; i < path.size(); i += i < 300 ? 1 : stride) shown.push_back(path[i]);
  return shown;
}

void draw_map(const dt::docs::Tutorial& t, const Task& task, const Paths& exact,
              const Paths& random) {
  const bool is_beale = task.name == "beale";
  dt::docs::Figure map(task.name + "_paths", "Paths on the function " + task.name);
  map.labels("x", "y").size(620, 460);
  if (is_beale)
    map.x_range(-0.3, 4).y_range(-0.7, 1.1);
  else
    map.x_range(-1.5, 1.5).y_range(-0.4, 1.5);
  map.contours(
      [&](double x, double y) {
        if (is_beale)
          return std::pow(1.5 - x + x * y, 2) + std::pow(2.25 - x + x * y * y, 2) +
                 std::pow(2.625 - x + x * y * y * y, 2);
        return 100 * std::pow(y - x * x, 2) + std::pow(1 - x, 2);
      },
      is_beale ? dt::docs::log_steps(0.01, 100, 13) : dt::docs::log_steps(0.1, 500, 11));
  map.line("gradient descent", early_dense(exact.x[0]), early_dense(exact.y[0]),
           {.colour = 0, .width = 4});
  const int colours[] = {1, 2, 3, 4};
  for (std::size_t run = 0; run < 4; ++run)
    map.line(run == 0 ? "four runs by forward gradients" : "", early_dense(random.x[run]),
             early_dense(random.y[run]), {.colour = colours[run], .width = 1});
  map.points("minimum", {is_beale ? 3.0 : 1.0}, {is_beale ? 0.5 : 1.0}, dt::docs::Mark::star,
             {.colour = dt::docs::ink});
  t.draw(map);
}

void draw_bands(const dt::docs::Tutorial& t, const Task& task, const Paths& exact,
                const Paths& random) {
  const auto count = static_cast<std::size_t>(task.steps);
  // Steps evenly in the logarithm: all else would be hidden at the left.
  Numbers steps, descent;
  std::vector<Numbers> curves(random.f.size());
  for (const double at : dt::docs::log_steps(1, static_cast<double>(count - 1), 300)) {
    const auto step = static_cast<std::size_t>(at);
    if (!steps.empty() && static_cast<double>(step) <= steps.back()) continue;
    steps.push_back(static_cast<double>(step));
    descent.push_back(exact.f[0][step]);
    for (std::size_t run = 0; run < curves.size(); ++run)
      curves[run].push_back(random.f[run][step]);
  }
  const dt::docs::Bands bands = dt::docs::bands(curves);
  dt::docs::Figure figure(task.name + "_loss", "Descent on the function " + task.name);
  figure.labels("step", "f").log_x().log_y();
  figure.band(steps, bands.low, bands.high, 1)
      .line("forward gradients, median and 5 to 95 %", steps, bands.mid, {.colour = 1})
      .line("gradient descent", steps, descent, {.colour = 0, .dashed = true});
  t.draw(figure);
}

void landscapes(const dt::docs::Tutorial& t) {
  const std::vector<Task> tasks = {
      {"beale", dt::beale, 0, 0, 0.01, 1000, 200, 5.5e-5},
      {"rosenbrock", dt::rosenbrock, -1, 0, 5e-4, 25000, 100, 5e-6},
  };
  t.section("landscapes");
  std::cout << "f at the end  published  gradient descent  forward gradients: 5 %, median, 95 %\n";
  for (const Task& task : tasks) {
    const Paths exact = descend(task.function, rows_of(task.x, task.y, 1), task.rate, task.steps);
    // [seeds]
    const dt::Shape shape{task.runs, 2};
    const Paths random =
        descend(task.function, rows_of(task.x, task.y, task.runs), task.rate, task.steps,
                [&](std::uint64_t step) {
                  return dt::normal(dt::Key{7}.fold(step), shape, 0, 1, dt::float64);
                });
    // [/seeds]
    Numbers ends;
    for (const Numbers& f : random.f) ends.push_back(f.back());
    std::cout << pad_right(task.name, 14) << pad_right("~" + dt::docs::figure(task.published), 11)
              << pad_right(dt::docs::figure(exact.f[0].back()), 18)
              << dt::docs::figure(dt::docs::quantile(ends, 0.05)) << "  "
              << dt::docs::figure(dt::docs::median(ends)) << "  "
              << dt::docs::figure(dt::docs::quantile(ends, 0.95)) << "\n";
    draw_map(t, task, exact, random);
    draw_bands(t, task, exact, random);
  }
  t.aside();
}

struct Published {
  std::string name;
  Function function;
  std::uint64_t seed;
  double rate;
  Numbers descent, forward;  // f at steps 0 to 4 and 99
};

// A hundred steps from a start, and along directions, that PyTorch's generator draws.
void hundred_steps(const dt::docs::Tutorial& t) {
  const std::vector<Published> all = {
      {"beale",
       dt::beale,
       0,
       0.01,
       {2.043823, 1.938255, 1.837282, 1.740870, 1.648979, 0.076303},
       {2.043823, 1.923024, 1.608876, 1.533391, 1.486995, 0.050617}},
      {"rosenbrock",
       dt::rosenbrock,
       1,
       5e-4,
       {3.020431, 1.681095, 0.996111, 0.631951, 0.433178, 0.163828},
       {3.020431, 2.852851, 2.756150, 0.714101, 0.673320, 0.202451}},
  };
  double worst = 0;
  t.section("hundred");
  std::cout << "function     step   descent: published, ours      forward: published, ours\n";
  for (const Published& run : all) {
    // [hundred]
    dt::TorchGenerator generator(run.seed);
    const dt::Tensor start = generator.randn({1, 2});
    const Paths exact = descend(run.function, start, run.rate, 100);
    const Paths random = descend(run.function, start, run.rate, 100, [&](std::uint64_t) {
      return generator.randn({1, 2});
    });
    // [/hundred]
    for (std::size_t i = 0; i < 6; ++i) {
      const std::size_t step = i < 5 ? i : 99;
      const double d = exact.f[0][step];
      const double f = random.f[0][step];
      worst = std::max({worst, std::abs(d - run.descent[i]), std::abs(f - run.forward[i])});
      std::cout << pad_right(run.name, 12) << pad_left(std::to_string(step), 5)
                << pad_left(fixed(run.descent[i], 6), 11) << pad_left(fixed(d, 6), 11)
                << pad_left(fixed(run.forward[i], 6), 18) << pad_left(fixed(f, 6), 11) << "\n";
    }
  }
  t.section("hundred_verdict");
  std::cout << "published digits, to 1e-5: " << (worst < 1e-5 ? "yes" : "NO") << "\n";
  t.aside();
}

// Five thousand steps on Rosenbrock's function from torch.rand(2) of seed 42, rate 1e-3.
void script(const dt::docs::Tutorial& t) {
  const Numbers printed = {1.8800, 0.0031, 0.0026, 0.0022, 0.0018, 0.0015, 0.0013, 0.0011, 0.0009,
                           0.0008, 0.0007, 0.0006, 0.0005, 0.0004, 0.0003, 0.0003, 0.0002, 0.0002,
                           0.0002, 0.0002, 0.0001, 0.0001, 0.0001, 0.0001, 0.0001, 0.0001};
  dt::TorchGenerator generator(42);
  const dt::Tensor start = generator.rand({1, 2});
  const Paths exact = descend(dt::rosenbrock, start, 1e-3, 5001);
  const Paths random = descend(dt::rosenbrock, start, 1e-3, 5001, [&](std::uint64_t) {
    return generator.randn({1, 2});
  });
  std::size_t right = 0;
  for (std::size_t i = 0; i < printed.size(); ++i)
    right += std::abs(exact.f[0][199 * i] - printed[i]) < 5.1e-5 ? 1 : 0;
  t.section("script_verdict");
  std::cout << "losses of gradient descent as printed: " << right << " of " << printed.size()
            << "\n";
  t.section("script");
  std::cout << "end after 5000 steps   published                    ours\n"
            << "gradient descent       (0.9924673438, 0.9849612117) "
            << pair(exact.x[0].back(), exact.y[0].back(), 7) << "\n"
            << "forward gradients      (0.9916718006, 0.9829806685) "
            << pair(random.x[0].back(), random.y[0].back(), 7) << "\n";
  t.aside();
}

void body(const dt::docs::Tutorial& t) {
  guess(t);
  spread(t);
  landscapes(t);
  hundred_steps(t);
  script(t);
}

}  // namespace

int main(int argc, char** argv) {
  return dt::docs::run_tutorial(argc, argv, "Descent without backpropagation", body);
}
