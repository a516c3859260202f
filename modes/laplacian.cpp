#include <dualtape/modes/laplacian.hpp>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include <dualtape/core/tensor/new_tensor.hpp>
#include <dualtape/modes/taylor/sums.hpp>
#include <dualtape/modes/walk/vars.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/indexing.hpp>
#include <dualtape/ops/like.hpp>
#include <dualtape/ops/random.hpp>
#include <dualtape/ops/shapes.hpp>
#include <dualtape/ops/sort.hpp>

namespace dualtape {
namespace {

// A value, what it is differentiated by, and what of that numbers points.
class Task {
 public:
  Task(const char* function, Var value, Var input, std::int64_t points, Location line)
      : y(value), x(input), where(line), function_(function) {
    detail::require_derivable(y, function, "the value", where);
    detail::require_derivable(x, function, "the input", where);
    detail::require_one_graph(std::array{y, x}, function, "value and input", where);
    const auto most = static_cast<std::int64_t>(std::min(x.rank(), y.rank()));
    if (points < 0 || points > most)
      fail<ShapeError>({.op = function,
                        .label = x.label(),
                        .what = std::to_string(points) + " axes of points, but the input is " +
                                to_string(x.type()) + " and the value " + to_string(y.type()),
                        .where = where,
                        .help = "points are counted by the first axes of both"});
    const auto split = x.shape().begin() + points;
    if (!std::equal(x.shape().begin(), split, y.shape().begin()))
      fail<ShapeError>({.op = function,
                        .label = x.label(),
                        .what = "the points of the input " + to_string(x.type()) +
                                " are not those of the value " + to_string(y.type()),
                        .where = where,
                        .help = "the first axes that number points have the same sizes in both"});
    rest_ = Ints(split, x.shape().end());
    for (const std::int64_t size : rest_) count_ *= size;
  }

  std::int64_t count() const { return count_; }  // elements of x at one point
  Shape shape_of(std::int64_t directions) const {
    Ints sizes = rest_;
    sizes.insert(sizes.begin(), directions);
    return Shape(sizes, where);
  }
  Var in_shape(Var rows) const { return reshape(rows, shape_of(rows.shape()[0]).vector()); }
  Var units() const {
    Tensor numbers = detail::new_tensor(function_, {Shape{count_}, int64}, where);
    std::ranges::generate(numbers.data<std::int64_t>(),
                          [n = std::int64_t{0}]() mutable { return n++; });
    return in_shape(one_hot(x.graph().constant(numbers), count_, x.dtype()));
  }
  Var sum(Var directions, int order, const std::optional<Tensor>& weights = {}) const {
    return detail::sum_over_directions(y, {{x, directions}}, weights, order, where);
  }

  const Var y, x;
  const Location where;

 private:
  const char* function_;
  Ints rest_;
  std::int64_t count_ = 1;
};

// The directions of a biharmonic, and what the coefficients of t^4 along them count.
struct Pairs {
  Tensor directions;
  Tensor weights;
};
Pairs pairs_of(std::int64_t n, DType dtype) {
  std::vector<double> rows, weights;
  const auto add = [&](double w, std::int64_t i, std::int64_t j, double sign) {
    const std::size_t begin = rows.size();
    rows.resize(begin + static_cast<std::size_t>(n));
    rows[begin + static_cast<std::size_t>(i)] = 1;
    if (sign != 0) rows[begin + static_cast<std::size_t>(j)] = sign;
    weights.push_back(w);
  };
  for (std::int64_t i = 0; i < n && n != 4; ++i) add(8.0 * static_cast<double>(4 - n), i, i, 0);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = i + 1; j < n; ++j)
      for (const double sign : {1.0, -1.0}) add(4, i, j, sign);
  const auto count = static_cast<std::int64_t>(weights.size());
  return {Tensor::from(rows, {count, n}).to(dtype), Tensor::from(weights, {count})};
}

void check(const char* function, const Task& task, const ProbeOptions& options) {
  const bool coordinates = options.probe == Probe::coordinates;
  if (options.samples < 1 || (coordinates && options.samples > task.count()))
    fail<ValueError>(
        {.op = function,
         .what = std::to_string(options.samples) + " samples" +
                 (coordinates ? " of " + std::to_string(task.count()) + " coordinates" : ""),
         .where = task.where,
         .help = "draw one direction at least, and no coordinate twice"});
}

void require_key(const char* function, const Task& task, Var key) {
  detail::require_alive(key, function, "the key", task.where);
  detail::require_one_graph(std::array{task.x, key}, function, "input and key", task.where);
}

Var draws(const Task& task, Var key, const ProbeOptions& options) {
  const Shape shape = task.shape_of(options.samples);
  switch (options.probe) {
    case Probe::rademacher: return random_rademacher(In(key, task.where), shape, task.x.dtype());
    case Probe::normal: return random_normal(In(key, task.where), shape, 0, 1, task.x.dtype());
    case Probe::coordinates: break;
  }
  // The places of the largest of as many random numbers are distinct and any of them as likely.
  const Var numbers = random_uniform(In(key, task.where), {task.count()}, 0, 1, float64);
  const Var places = top_k(numbers, options.samples).indices;
  return task.in_shape(one_hot(places, task.count(), task.x.dtype()));
}

}  // namespace

Var laplacian(Var y, Var x, const PointOptions& options, Location where) {
  const Task task("laplacian", y, x, options.points, where);
  if (task.count() == 0) return zeros_like(y, where);
  return mul(2.0, task.sum(task.units(), 2));
}

Var biharmonic(Var y, Var x, const PointOptions& options, Location where) {
  const Task task("biharmonic", y, x, options.points, where);
  constexpr std::int64_t most = 1000;
  if (task.count() > most)
    fail<SizeError>({.op = "biharmonic",
                     .label = x.label(),
                     .what = "the directions are as many as the square of " +
                             std::to_string(task.count()) + " elements",
                     .where = where,
                     .help = "stochastic_biharmonic() takes as many as you ask for"});
  const Pairs pairs = pairs_of(task.count(), x.dtype());
  return task.sum(task.in_shape(x.graph().constant(pairs.directions, where)), 4, pairs.weights);
}

Var derivative_sum(Var y, Var x, Var directions, int order, const PointOptions& options,
                   const std::optional<Tensor>& weights, Location where) {
  const Task task("derivative_sum", y, x, options.points, where);
  detail::require_one_graph(
      std::array{x, detail::require_alive(directions, "derivative_sum", "the directions", where)},
      "derivative_sum", "input and directions", where);
  const std::int64_t count = directions.rank() == 0 ? 0 : directions.shape()[0];
  const Type wanted{task.shape_of(count), x.dtype()};
  if (directions.rank() == 0 || directions.type() != wanted)
    fail<ShapeError>({.op = "derivative_sum",
                      .label = directions.label(),
                      .what = "the directions are " + to_string(directions.type()) +
                              " for an input " + to_string(x.type()) + " with " +
                              std::to_string(options.points) + " axes of points",
                      .where = where,
                      .help = "directions are the axes of the input behind its points, with one "
                              "in front that numbers them"});
  if (weights && weights->shape() != Shape{count})
    fail<ShapeError>({.op = "derivative_sum",
                      .what = "the weights are " + to_string(weights->type()) + " for " +
                              std::to_string(count) + " directions",
                      .where = where,
                      .help = "give a weight for each direction"});
  return mul(detail::factorial(order), task.sum(directions, order, weights));
}

Var stochastic_laplacian(Var y, Var x, Var key, const ProbeOptions& options, Location where) {
  const Task task("stochastic_laplacian", y, x, options.points, where);
  check("stochastic_laplacian", task, options);
  require_key("stochastic_laplacian", task, key);
  const auto samples = static_cast<double>(options.samples);
  const auto count = static_cast<double>(task.count());
  const double factor = 2 * (options.probe == Probe::coordinates ? count : 1.0) / samples;
  return mul(factor, task.sum(draws(task, key, options), 2));
}

Var stochastic_biharmonic(Var y, Var x, Var key, const ProbeOptions& options, Location where) {
  const Task task("stochastic_biharmonic", y, x, options.points, where);
  check("stochastic_biharmonic", task, options);
  if (options.probe != Probe::normal)
    fail<ValueError>({.op = "stochastic_biharmonic",
                      .what = "the probe is not Probe::normal",
                      .where = where,
                      .help = "of signs and coordinates the fourth derivatives say nothing about "
                              "mixed ones"});
  require_key("stochastic_biharmonic", task, key);
  const double factor = detail::factorial(4) / (3 * static_cast<double>(options.samples));
  return mul(factor, task.sum(draws(task, key, options), 4));
}

}  // namespace dualtape
