#include <dualtape/modes/functional.hpp>

#include <algorithm>

#include <dualtape/modes/walk/dependence.hpp>

namespace dualtape {
namespace {

std::vector<Var> make_inputs(Graph& graph, std::span<const Tensor> x, const std::string& name,
                             Location where) {
  std::vector<Var> inputs;
  for (std::size_t i = 0; i < x.size(); ++i)
    inputs.push_back(graph.input(name + std::to_string(i), x[i].shape(), x[i].dtype(), where));
  return inputs;
}

void feed(std::vector<Feed>& feeds, const std::vector<Var>& vars, const std::vector<Tensor>& x,
          Location where) {
  for (std::size_t i = 0; i < x.size(); ++i) feeds.emplace_back(vars[i], x[i], where);
}

void require_same_graph(Var value, std::span<const Var> inputs, std::string_view op,
                        Location where) {
  if (!inputs.empty() && value.graph_id() != inputs[0].graph_id())
    fail<GraphError>({.op = op,
                      .what = "what the function returns, " + detail::place_of(value) +
                              ", does not belong to the graph of its arguments",
                      .where = where,
                      .help = "compute it from the Vars that the function is given"});
}

// f at the inputs, which must be a Var of their graph.
Var value_of(const VarFunction& f, std::span<const Var> inputs, std::string_view op,
             Location where) {
  const Var value = detail::require_alive(f(inputs), op, "what the function returns", where);
  require_same_graph(value, inputs, op, where);
  return value;
}

}  // namespace

struct Pullback::Impl {
  Graph graph;
  std::vector<Var> inputs;
  std::vector<Tensor> point;
  Var value;
  Var cotangent;
  std::vector<Var> gradients;
  std::optional<Program> program;
};

// A function's graph at a point, with access to what a Pullback keeps.
struct FunctionAtPoint {
  static VjpResult vjp(const VarFunction& f, const std::vector<Tensor>& x, Location where) {
    auto impl = std::make_shared<Pullback::Impl>();
    impl->inputs = make_inputs(impl->graph, x, "x", where);
    impl->point = x;
    impl->value = value_of(f, impl->inputs, "vjp", where);
    impl->cotangent =
        impl->graph.input("cotangent", impl->value.shape(), impl->value.dtype(), where);
    impl->gradients = dualtape::vjp({impl->value}, {impl->inputs, where}, {impl->cotangent},
                                    Unreachable::zero, where)
                          .all();
    impl->program = compile(impl->gradients, {}, where);
    VjpResult result;
    Program forward = compile({impl->value}, {}, where);
    std::vector<Feed> feeds;
    feed(feeds, impl->inputs, x, where);
    result.value = forward.run(feeds, where)[impl->value];
    result.pullback.impl_ = std::move(impl);
    return result;
  }
};

std::vector<Tensor> Pullback::all(const Tensor& c, Location where) const {
  if (impl_ == nullptr)
    fail<GraphError>({.op = "Pullback",
                      .what = "it belongs to no function: it was made by default or moved from",
                      .where = where,
                      .help = "take it from dt::vjp(f, x)"});
  const Type& wanted = impl_->value.type();
  if (c.type() != wanted) {
    const Complaint complaint{.op = "pullback",
                              .what = "the cotangent is " + to_string(c.type()) +
                                      ", the function's value " + to_string(wanted),
                              .where = where,
                              .help =
                                  "give one number for each number of the value, such as "
                                  "ones(value.shape(), value.dtype())"};
    if (c.shape() != wanted.shape) fail<ShapeError>(complaint);
    fail<TypeError>(complaint);
  }
  std::vector<Feed> feeds;
  feed(feeds, impl_->inputs, impl_->point, where);
  feeds.emplace_back(impl_->cotangent, c, where);
  const Outputs out = impl_->program->run(feeds, where);
  std::vector<Tensor> result;
  for (const Var& gradient : impl_->gradients) result.push_back(out[gradient]);
  return result;
}

namespace detail {

Tensor eval_at(const VarFunction& f, const std::vector<Tensor>& x, Location where) {
  Graph graph;
  const std::vector<Var> inputs = make_inputs(graph, x, "x", where);
  const Var y = value_of(f, inputs, "eval", where);
  Program program = compile({y}, {}, where);
  std::vector<Feed> feeds;
  feed(feeds, inputs, x, where);
  return program.run(feeds, where)[y];
}

JvpResult jvp_at(const VarFunction& f, const std::vector<Tensor>& x, const std::vector<Tensor>& v,
                 Location where) {
  Graph graph;
  const std::vector<Var> inputs = make_inputs(graph, x, "x", where);
  const std::vector<Var> directions = make_inputs(graph, v, "v", where);
  const Var y = value_of(f, inputs, "jvp", where);
  const MaybeVar dy = forward_all({y}, {inputs, where}, directions, where)[0];
  std::vector<Var> outputs{y};
  if (dy) outputs.push_back(*dy);
  Program program = compile(outputs, {}, where);
  std::vector<Feed> feeds;
  feed(feeds, inputs, x, where);
  feed(feeds, directions, v, where);
  const Outputs out = program.run(feeds, where);
  return {out[y], dy ? out[*dy] : zeros(y.shape(), y.dtype(), where)};
}

VjpResult vjp_at(const VarFunction& f, const std::vector<Tensor>& x, Location where) {
  return FunctionAtPoint::vjp(f, x, where);
}

Tensor hvp_at(const VarFunction& f, const Tensor& x, const Tensor& v, Location where) {
  Graph graph;
  const Var input = graph.input("x", x.shape(), x.dtype(), where);
  const Var direction = graph.input("v", v.shape(), v.dtype(), where);
  const Var value = value_of(f, std::span<const Var>(&input, 1), "hvp", where);
  const WrtList by{{input, where}};
  const Var slope = reverse(value, by, Unreachable::zero, where).all()[0];
  const MaybeVar product = forward_all({slope}, by, {direction}, where)[0];
  if (!product) return zeros(x.shape(), x.dtype(), where);
  Program program = compile({*product}, {}, where);
  const std::vector<Feed> feeds{{input, x, where}, {direction, v, where}};
  return program.run(feeds, where)[*product];
}

struct FunctionCache::Compiled {
  Compiled(const Body& f, std::span<const Tensor> x, const CompileOptions& options, Location where)
      : inputs(make_inputs(graph, x, "x", where)),
        outputs(f(inputs)),
        program(compile(outputs, {}, options, where)) {
    for (const Var& output : outputs) require_same_graph(output, inputs, "function of Vars", where);
    for (const Var& input : inputs) feeds.emplace_back(input, Tensor(), where);
  }

  bool fits(std::span<const Tensor> x) const {
    return std::ranges::equal(inputs, x, [](const Var& input, const Tensor& given) {
      return input.type() == given.type();
    });
  }
  std::vector<Tensor> run(std::span<const Tensor> x, Location where) {
    for (std::size_t i = 0; i < x.size(); ++i) feeds[i].value = x[i];
    const Outputs out = program.run(feeds, where);
    std::vector<Tensor> results;
    for (const Var& output : outputs) results.push_back(out[{output, where}]);
    for (Feed& fed : feeds) fed.value = Tensor();  // the caller's memory is not kept
    return results;
  }

  Graph graph;
  std::vector<Var> inputs;
  std::vector<Var> outputs;
  Program program;
  std::vector<Feed> feeds;
};

FunctionCache::FunctionCache(CompileOptions options, Location where)
    : options_(std::move(options)), where_(where) {}
FunctionCache::~FunctionCache() = default;

std::unique_ptr<FunctionCache::Compiled> FunctionCache::take(std::span<const Tensor> x) {
  const std::lock_guard lock(mutex_);
  const auto found =
      std::ranges::find_if(idle_, [&](const auto& compiled) { return compiled->fits(x); });
  if (found == idle_.end()) return nullptr;
  std::unique_ptr<Compiled> taken = std::move(*found);
  idle_.erase(found);
  return taken;
}

std::vector<Tensor> FunctionCache::run(const Body& f, std::span<const Tensor> x) {
  constexpr std::size_t most_idle = 16;
  std::unique_ptr<Compiled> compiled = take(x);
  if (compiled == nullptr) compiled = std::make_unique<Compiled>(f, x, options_, where_);
  std::vector<Tensor> results = compiled->run(x, where_);
  const std::lock_guard lock(mutex_);
  if (idle_.size() == most_idle) idle_.erase(idle_.begin());
  idle_.push_back(std::move(compiled));
  return results;
}

void require_arguments(std::size_t taken, std::size_t given, Called called) {
  if (given == taken) return;
  const std::string arguments = taken == 1 ? " argument" : " arguments";
  fail<ValueError>({.op = called.function,
                    .what = "the function takes " + std::to_string(taken) + arguments + ", got " +
                            std::to_string(given),
                    .where = called.where,
                    .help = "call it with " + std::to_string(taken) +
                            "; a lambda captures what is to be no argument"});
}

namespace {

void require_floating_argument(Var x, std::size_t number, Called called) {
  if (is_floating(x.dtype())) return;
  fail<TypeError>({.op = called.function,
                   .label = x.label(),
                   .what = "argument " + std::to_string(number) + " (from 0) is " +
                           to_string(x.type()) + ", and only float32 and float64 have derivatives",
                   .where = called.where,
                   .help = std::string(x.rank() == 0 ? "write 3.0 for 3; " : "") +
                           "capture data in the lambda instead of passing them, or convert them "
                           "with x.to(dt::float64)"});
}

}  // namespace

std::vector<Var> by_arguments(Var value, std::span<const Var> x, Called called) {
  require_alive(value, called.function, "what the function returns", called.where);
  const std::vector<bool> read = ancestors_of(value);
  for (std::size_t i = 0; i < x.size(); ++i) {
    require_alive(x[i], called.function, "an argument", called.where);
    require_floating_argument(x[i], i, called);
    if (&value.graph() != &x[i].graph()) continue;  // reverse() says so
    if (x[i].id() < read.size() && read[x[i].id()]) continue;
    const std::string number = std::to_string(i);
    fail<DerivativeError>(
        {.op = called.function,
         .label = x[i].label(),
         .what = "the function's value does not depend on argument " + number + " (from 0)",
         .where = called.where,
         .help = "use it, or capture it in the lambda instead of passing it; where zeros are "
                 "wanted, add 0.0 * sum(x) of it"});
  }
  const WrtList by(std::vector<Var>(x.begin(), x.end()), called.where);
  return reverse(value, by, Unreachable::error, called.where).all();
}

}  // namespace detail
}  // namespace dualtape
