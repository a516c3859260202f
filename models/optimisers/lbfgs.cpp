#include <dualtape/models/lbfgs.hpp>

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include <dualtape/models/files/counts.hpp>
#include <dualtape/models/optimisers/line_search.hpp>
#include <dualtape/models/optimisers/minimised.hpp>
#include <dualtape/models/optimisers/optimiser_parts.hpp>
#include <dualtape/models/training/at_work.hpp>

namespace dualtape {
namespace {

using detail::require;
using detail::Trial;
using Vector = std::vector<double>;

double inner(const Vector& a, const Vector& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

// NaN where one of them is.
double largest(const Vector& v) {
  double most = 0;
  for (const double x : v) {
    if (std::isnan(x)) return x;
    most = std::max(most, std::abs(x));
  }
  return most;
}

// a b + c
Vector combine(double a, const Vector& b, const Vector& c) {
  Vector result(c);
  for (std::size_t i = 0; i < c.size(); ++i) result[i] += a * b[i];
  return result;
}

// The inverse Hessian's estimate: steps and the changes of the gradient along them.
class History {
 public:
  explicit History(std::int64_t size) : size_(static_cast<std::size_t>(size)) {}

  bool empty() const { return pairs_.empty(); }
  std::size_t count() const { return pairs_.size(); }
  const Vector& step(std::size_t i) const { return pairs_[i].step; }
  const Vector& change(std::size_t i) const { return pairs_[i].change; }
  void clear() { pairs_.clear(); }

  void add(Vector step, Vector change) {
    const double product = inner(step, change);
    // Without curvature the estimate would no longer be positive definite.
    if (!(product > std::numeric_limits<double>::epsilon() * inner(change, change))) return;
    if (pairs_.size() == size_) pairs_.pop_front();
    pairs_.push_back({std::move(step), std::move(change), 1 / product});
  }

  // -H g, algorithm 7.4.
  Vector direction(const Vector& gradient) const {
    Vector q = gradient;
    Vector alphas(pairs_.size());
    for (std::size_t i = pairs_.size(); i-- > 0;) {
      alphas[i] = pairs_[i].rho * inner(pairs_[i].step, q);
      q = combine(-alphas[i], pairs_[i].change, q);
    }
    if (!pairs_.empty()) {
      const Pair& last = pairs_.back();
      const double scale = 1 / (last.rho * inner(last.change, last.change));
      for (double& x : q) x *= scale;
    }
    for (std::size_t i = 0; i < pairs_.size(); ++i) {
      const double beta = pairs_[i].rho * inner(pairs_[i].change, q);
      q = combine(alphas[i] - beta, pairs_[i].step, q);
    }
    for (double& x : q) x = -x;
    return q;
  }

 private:
  struct Pair {
    Vector step;
    Vector change;
    double rho = 0;
  };
  std::size_t size_;
  std::deque<Pair> pairs_;
};

// All that the iterations to come depend on.
struct Progress {
  explicit Progress(std::int64_t history_size) : history(history_size) {}

  Trial now = {};
  double change = std::numeric_limits<double>::infinity();  // of the loss, relative
  History history;
  std::int64_t iterations = 0;
  std::int64_t evaluations = 0;
};

void check(const LbfgsOptions& options, Location where) {
  const auto at_least_one = [where](const char* name, std::int64_t value) {
    require(value >= 1, "lbfgs", name, static_cast<double>(value), "at least 1", where);
  };
  at_least_one("history", options.history);
  at_least_one("iterations", options.iterations);
  at_least_one("evaluations", options.evaluations);
  require(options.gradient_below >= 0, "lbfgs", "gradient_below", options.gradient_below,
          "at least 0", where);
  require(options.change_below >= 0, "lbfgs", "change_below", options.change_below, "at least 0",
          where);
  require(options.c1 > 0 && options.c1 < 1, "lbfgs", "c1", options.c1, "between 0 and 1", where);
  require(options.c2 > options.c1 && options.c2 < 1, "lbfgs", "c2", options.c2, "between c1 and 1",
          where);
}

class Minimiser {
 public:
  Minimiser(const LossAndGradient& function, const LbfgsOptions& options, Progress& progress)
      : function_(function), options_(options), progress_(progress) {}

  void begin(std::span<const double> point, Location where) {
    Trial& now = progress_.now;
    now = *evaluate(Vector(point.begin(), point.end()));
    if (!now.finite() || !std::isfinite(inner(now.gradient, now.gradient)))
      fail<ValueError>({.op = "lbfgs",
                        .what = "the loss at the start is " + std::to_string(now.loss) +
                                ", or its gradient is not finite",
                        .where = where,
                        .help = "begin at another point"});
  }

  LbfgsResult run(std::span<double> point) {
    std::optional<LbfgsStop> stop = reached();
    while (!stop) stop = iterate();
    const Trial& now = progress_.now;
    std::copy(now.point.begin(), now.point.end(), point.begin());
    return {*stop, now.loss, largest(now.gradient), progress_.iterations, progress_.evaluations};
  }

 private:
  std::optional<LbfgsStop> reached() const {
    if (largest(progress_.now.gradient) <= options_.gradient_below) return LbfgsStop::gradient;
    if (progress_.change <= options_.change_below) return LbfgsStop::change;
    if (progress_.iterations >= options_.iterations) return LbfgsStop::iterations;
    return std::nullopt;
  }

  bool no_evaluation_is_left() const { return progress_.evaluations >= options_.evaluations; }

  // Nothing where no evaluation is left.
  std::optional<Trial> evaluate(Vector point) {
    if (no_evaluation_is_left()) return std::nullopt;
    ++progress_.evaluations;
    Trial trial;
    trial.gradient.resize(point.size());
    trial.loss = function_(point, trial.gradient);
    trial.point = std::move(point);
    return trial;
  }

  std::optional<Trial> search(Trial& now) {
    const Vector direction = progress_.history.direction(now.gradient);
    now.slope = inner(now.gradient, direction);
    now.step = 0;
    if (!(now.slope < 0)) return std::nullopt;
    double first = 1;
    if (progress_.history.empty()) {
      double sum = 0;
      for (const double x : now.gradient) sum += std::abs(x);
      first = std::min(1.0, 1 / sum);  // nothing is known of the scale yet
    }
    const auto at = [&](double step) {
      std::optional<Trial> trial = evaluate(combine(step, direction, now.point));
      if (trial) {
        trial->step = step;
        trial->slope = inner(trial->gradient, direction);
      }
      return trial;
    };
    return detail::search_line(at, now, first, {options_.c1, options_.c2});
  }

  std::optional<LbfgsStop> iterate() {
    Trial& now = progress_.now;
    History& history = progress_.history;
    std::optional<Trial> next = search(now);
    if (!next && !history.empty()) {  // the history may mislead
      history.clear();
      next = search(now);
    }
    if (!next) return no_evaluation_is_left() ? LbfgsStop::evaluations : LbfgsStop::line_search;
    ++progress_.iterations;
    history.add(combine(-1, now.point, next->point), combine(-1, now.gradient, next->gradient));
    progress_.change =
        std::abs(now.loss - next->loss) / std::max({std::abs(now.loss), std::abs(next->loss), 1.0});
    now = std::move(*next);
    if (options_.on_iteration &&
        !options_.on_iteration({progress_.iterations, now.loss, now.point, now.gradient}))
      return LbfgsStop::callback;
    return reached();
  }

  const LossAndGradient& function_;
  const LbfgsOptions& options_;
  Progress& progress_;
};

// What a state holds, by name. The numbers are the loss and its change, the counts iterations and
// evaluations; steps and changes are those of the history, one a row.
constexpr const char* point_name = "lbfgs/point";
constexpr const char* gradient_name = "lbfgs/gradient";
constexpr const char* numbers_name = "lbfgs/numbers";
constexpr const char* counts_name = "lbfgs/counts";
constexpr const char* steps_name = "lbfgs/steps";
constexpr const char* changes_name = "lbfgs/changes";

Tensor vector_tensor(const Vector& values) {
  return Tensor::from(values, Shape{static_cast<std::int64_t>(values.size())});
}
Vector vector_of(const Tensor& tensor) {
  const auto values = tensor.data<double>();
  return {values.begin(), values.end()};
}

std::vector<NamedTensor> saved(const Progress& progress) {
  const History& history = progress.history;
  Vector steps;
  Vector changes;
  for (std::size_t i = 0; i < history.count(); ++i) {
    steps.insert(steps.end(), history.step(i).begin(), history.step(i).end());
    changes.insert(changes.end(), history.change(i).begin(), history.change(i).end());
  }
  const Shape pairs{static_cast<std::int64_t>(history.count()),
                    static_cast<std::int64_t>(progress.now.point.size())};
  return {{point_name, vector_tensor(progress.now.point)},
          {gradient_name, vector_tensor(progress.now.gradient)},
          {numbers_name, vector_tensor({progress.now.loss, progress.change})},
          {counts_name, Tensor::of({progress.iterations, progress.evaluations})},
          {steps_name, Tensor::from(steps, pairs)},
          {changes_name, Tensor::from(changes, pairs)}};
}

// The tensor of that name, of rank 1 or 2 with `last` elements along the last axis.
const Tensor& needed(const std::vector<NamedTensor>& state, const char* name, DType dtype,
                     std::size_t rank, std::int64_t last, Location where) {
  const auto found = std::ranges::find(state, name, &NamedTensor::name);
  const bool there = found != state.end();
  if (there && found->tensor.dtype() == dtype && found->tensor.rank() == rank &&
      found->tensor.shape().back() == last)
    return found->tensor;
  fail<ValueError>(
      {.op = "Lbfgs",
       .label = name,
       .what = "the state to restore has " +
               (there ? "'" + std::string(name) + "' as " + to_string(found->tensor.type())
                      : "no '" + std::string(name) + "'") +
               ", but " + std::string(name_of(dtype)) + " numbers, " + std::to_string(last) +
               (rank > 1 ? " a row," : "") + " are needed",
       .where = where,
       .help = "restore into an Lbfgs of the same parameters"});
}

[[noreturn]] void not_whole(const char* name, const std::string& what, Location where) {
  fail<ValueError>({.op = "Lbfgs",
                    .label = name,
                    .what = "the state to restore has '" + std::string(name) + "' " + what,
                    .where = where,
                    .help = "restore from a file that is whole"});
}

Vector finite_values(const char* name, const Tensor& tensor, Location where) {
  Vector values = vector_of(tensor);
  for (const double value : values)
    if (!std::isfinite(value))
      not_whole(name, "with a value of " + std::to_string(value) + ", which no run comes to",
                where);
  return values;
}

Progress restored(const std::vector<NamedTensor>& state, std::int64_t size,
                  std::int64_t history_size, Location where) {
  Progress progress(history_size);
  const auto vector = [&](const char* name) {
    return finite_values(name, needed(state, name, float64, 1, size, where), where);
  };
  progress.now.point = vector(point_name);
  progress.now.gradient = vector(gradient_name);
  const Tensor& numbers = needed(state, numbers_name, float64, 1, 2, where);
  progress.now.loss = numbers.at({0});
  progress.change = numbers.at({1});
  if (!std::isfinite(progress.now.loss) || !(progress.change >= 0))
    not_whole(numbers_name,
              "a loss of " + std::to_string(progress.now.loss) + " and a change of it of " +
                  std::to_string(progress.change),
              where);
  const auto counts = needed(state, counts_name, int64, 1, 2, where).data<std::int64_t>();
  for (const std::int64_t count : counts)
    if (!detail::is_count(count))
      not_whole(counts_name, std::to_string(count) + ", which is no count", where);
  progress.iterations = counts[0];
  progress.evaluations = counts[1];
  const Tensor& steps = needed(state, steps_name, float64, 2, size, where);
  const Tensor& changes = needed(state, changes_name, float64, 2, size, where);
  if (steps.size(0) != changes.size(0))
    fail<ValueError>({.op = "Lbfgs",
                      .what = "the state to restore has " + std::to_string(steps.size(0)) +
                              " steps and " + std::to_string(changes.size(0)) +
                              " changes of the gradient",
                      .where = where,
                      .help = "restore from a file that is whole"});
  for (std::int64_t i = 0; i < steps.size(0); ++i)
    progress.history.add(finite_values(steps_name, steps.rows(i, i + 1), where),
                         finite_values(changes_name, changes.rows(i, i + 1), where));
  return progress;
}

// The elements of `tensor`, which is floating, as doubles, and back.
void read_into(const Tensor& tensor, std::span<double> out) {
  const Tensor wide = tensor.to(float64);
  std::ranges::copy(std::as_const(wide).data<double>(), out.begin());
}
Tensor tensor_of(std::span<const double> values, const Type& type) {
  return Tensor::from(values, type.shape).to(type.dtype);
}

}  // namespace

std::string_view name_of(LbfgsStop stop) {
  switch (stop) {
    case LbfgsStop::gradient: return "gradient";
    case LbfgsStop::change: return "change";
    case LbfgsStop::iterations: return "iterations";
    case LbfgsStop::evaluations: return "evaluations";
    case LbfgsStop::line_search: return "line_search";
    case LbfgsStop::callback: return "callback";
  }
  return "";
}

LbfgsResult lbfgs(const LossAndGradient& function, std::span<double> point,
                  const LbfgsOptions& options, Location where) {
  check(options, where);
  if (!function) fail<ValueError>({.op = "lbfgs", .what = "the function is null", .where = where});
  Progress progress(options.history);
  Minimiser minimiser(function, options, progress);
  minimiser.begin(point, where);
  return minimiser.run(point);
}

struct Lbfgs::Impl {
  std::vector<Parameter> parameters;
  Var loss;
  std::vector<Var> gradients;
  LbfgsOptions options;
  Program program;
  std::optional<Progress> progress = {};  // of the last call, or restored
  bool resumed = false;                   // restored and not gone on with
  bool running = false;                   // minimise() is at work

  std::size_t size() const {
    std::size_t count = 0;
    for (const Parameter& parameter : parameters)
      count += static_cast<std::size_t>(parameter.count());
    return count;
  }

  // Calls `visit` with each parameter's number and its part of a vector over all.
  template <class T, class Visit>
  void each(std::span<T> all, const Visit& visit) const {
    std::size_t begin = 0;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const auto count = static_cast<std::size_t>(parameters[i].count());
      visit(i, all.subspan(begin, count));
      begin += count;
    }
  }
  void set(std::span<const double> point) {
    each(point, [&](std::size_t i, std::span<const double> part) {
      parameters[i].set(tensor_of(part, parameters[i].type()));
    });
  }
  double evaluate(std::span<const double> point, std::span<double> gradient,
                  std::span<const Feed> feeds, Location where) {
    set(point);
    const Outputs out = program.run(feeds, where);
    each(gradient,
         [&](std::size_t i, std::span<double> part) { read_into(out[gradients[i]], part); });
    return out[loss].item();
  }
};

Lbfgs::Lbfgs(std::vector<Parameter> parameters, Var loss, const Gradients& gradients,
             LbfgsOptions options, Location where) {
  check(options, where);
  std::vector<Var> slopes = detail::check_minimised(parameters, loss, gradients, where);
  std::vector<Var> outputs{loss};
  outputs.insert(outputs.end(), slopes.begin(), slopes.end());
  impl_ = std::make_shared<Impl>(Impl{std::move(parameters), loss, std::move(slopes),
                                      std::move(options), compile(outputs, {}, where)});
}
Lbfgs::Lbfgs(Lbfgs&&) noexcept = default;
Lbfgs& Lbfgs::operator=(Lbfgs&&) noexcept = default;
Lbfgs::~Lbfgs() = default;

Lbfgs::Impl& Lbfgs::impl(const char* function, Location where) const {
  if (impl_ != nullptr) return *impl_;
  fail<GraphError>({.op = function,
                    .what = "this Lbfgs was moved from and has nothing to minimise",
                    .where = where,
                    .help = "call the Lbfgs that it was moved to"});
}

LbfgsResult Lbfgs::minimise(std::initializer_list<Feed> feeds, Location where) {
  return minimise(std::span<const Feed>(feeds.begin(), feeds.size()), where);
}

LbfgsResult Lbfgs::minimise(std::span<const Feed> feeds, Location where) {
  Impl& impl = this->impl("minimise", where);
  const std::shared_ptr<Impl> held = impl_;  // on_iteration may move this Lbfgs away
  const detail::AtWork at_work(impl.running, "minimise", where);
  Vector start(impl.size());
  impl.each(std::span(start), [&](std::size_t i, std::span<double> part) {
    read_into(impl.parameters[i].value(), part);
  });
  Vector point = start;
  const auto check_there = [&] {
    if (impl_ == held) return;
    fail<GraphError>({.op = "minimise",
                      .what = "the Lbfgs was moved, or another was assigned to it, while it "
                              "minimised",
                      .where = where,
                      .help = "move an Lbfgs before or after minimise(), not in on_iteration"});
  };
  const LossAndGradient function = [&](std::span<const double> at, std::span<double> gradient) {
    check_there();
    return impl.evaluate(at, gradient, feeds, where);
  };
  const bool resumed = std::exchange(impl.resumed, false);
  try {
    if (!resumed) impl.progress.emplace(impl.options.history);
    Minimiser minimiser(function, impl.options, *impl.progress);
    if (!resumed) minimiser.begin(point, where);
    const LbfgsResult result = minimiser.run(point);
    check_there();
    impl.set(point);
    return result;
  } catch (...) {
    impl.progress.reset();
    impl.set(start);
    throw;
  }
}

std::vector<NamedTensor> Lbfgs::state(Location where) const {
  const Impl& impl = this->impl("state", where);
  if (impl.progress) return saved(*impl.progress);
  fail<ValueError>({.op = "Lbfgs",
                    .what = "there is no state before the first iteration, nor after an error",
                    .where = where,
                    .help = "save from within on_iteration or after minimise()"});
}

void Lbfgs::restore(const std::vector<NamedTensor>& state, Location where) {
  Impl& impl = this->impl("restore", where);
  detail::refuse_while(impl.running, "minimise", "restore", where);
  // All that can fail comes first.
  Progress progress =
      restored(state, static_cast<std::int64_t>(impl.size()), impl.options.history, where);
  std::vector<Tensor> values;
  impl.each(std::span<const double>(progress.now.point),
            [&](std::size_t i, std::span<const double> part) {
              values.push_back(tensor_of(part, impl.parameters[i].type()));
            });
  for (std::size_t i = 0; i < values.size(); ++i) impl.parameters[i].set(values[i]);
  impl.progress = std::move(progress);
  impl.resumed = true;
}

}  // namespace dualtape
