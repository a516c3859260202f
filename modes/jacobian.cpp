#include <dualtape/modes/jacobian.hpp>

#include <limits>
#include <string>

#include <dualtape/core/tensor/new_tensor.hpp>
#include <dualtape/modes/batching.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/modes/walk/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/indexing.hpp>
#include <dualtape/ops/join.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {
namespace {

void require_floating(Var var, const char* function, const char* what, Location where) {
  detail::require_alive(var, function, what, where);
  if (is_floating(var.dtype())) return;
  fail<TypeError>({.op = function,
                   .label = var.label(),
                   .what = std::string(what) + " is " + to_string(var.type()) +
                           ", and only float32 and float64 have derivatives",
                   .where = where,
                   .help = "convert it with to(dt::float64)"});
}

// Everything of one Jacobian but its sweep.
struct Task {
  const char* function;
  Var y, x;
  JacobianOptions options;
  Location where;

  void check() const {
    require_floating(y, function, "the value", where);
    require_floating(x, function, "the input", where);
    detail::require_one_graph(std::array{y, x}, function, "value and input", where);
    if (options.bytes < 0)
      fail<ValueError>({.op = function,
                        .what = "a limit of " + std::to_string(options.bytes) + " bytes",
                        .where = where,
                        .help = "0 for no limit"});
    constexpr double most_elements = 1e12;
    if (static_cast<double>(x.shape().count()) * static_cast<double>(y.shape().count()) >
        most_elements)
      fail<SizeError>(
          {.op = function,
           .what = to_string(y.type()) + " by " + to_string(x.type()) + " has too many elements",
           .where = where,
           .help = "hvp(), vhp(), jvp() and vjp() give products with it"});
  }
  // Of y by x.
  Shape shape() const {
    Ints sizes = y.shape().vector();
    sizes.insert(sizes.end(), x.shape().begin(), x.shape().end());
    return Shape(sizes, where);
  }
};

// Unit directions number begin, begin + 1 ... of a Var's type, with their axis in front.
Var unit_directions(Var like, std::int64_t begin, std::int64_t end, const char* function,
                    Location where) {
  Tensor numbers = detail::new_tensor(function, {Shape{end - begin}, int64}, where);
  std::ranges::generate(numbers.data<std::int64_t>(), [n = begin]() mutable { return n++; });
  const Var rows = one_hot(like.graph().constant(numbers), like.shape().count(), like.dtype());
  Ints sizes = like.shape().vector();
  sizes.insert(sizes.begin(), end - begin);
  return reshape(rows, sizes);
}

// How many directions fit into the limit where each carries what one of `sweep` carries.
std::int64_t directions_at_once(std::int64_t count, std::size_t bytes_of_one, std::int64_t limit) {
  if (limit == 0) return std::max<std::int64_t>(count, 1);
  const auto fit = limit / static_cast<std::int64_t>(std::max<std::size_t>(bytes_of_one, 1));
  return std::clamp<std::int64_t>(fit, 1, std::max<std::int64_t>(count, 1));
}

// The largest set of values that one direction keeps at a time is not known before planning: what
// is counted is the two largest neighbours among the values on the way, an operand and its result.
std::size_t bytes_carried(Var from, Var to) {
  const Graph& graph = from.graph();
  std::size_t most = bytes_of(from.type()) + bytes_of(to.type());
  for (const NodeId id : active_region(graph, std::span(&to, 1))) {
    if (id < from.id()) continue;
    const Node& node = graph.node(id);
    std::size_t bytes = bytes_of(node.type(0));
    for (const Ref& ref : node.inputs())
      if (!ref.outer && ref.node >= from.id())
        bytes += bytes_of(graph.node(ref.node).type(ref.output));
    most = std::max(most, bytes);
  }
  return most;
}

// `one` is the result of one direction, a function of `direction` alone: for all of them. Each
// chunk has them in front; what finish() makes of it has them on `axis`.
template <class Finish>
Var for_all_directions(const Task& task, const MaybeVar& one, Var direction, std::int64_t axis,
                       Finish finish) {
  const std::int64_t count = direction.shape().count();
  if (!one || count == 0) return {};
  const std::int64_t step = directions_at_once(
      count, task.options.bytes == 0 ? 0 : bytes_carried(direction, *one), task.options.bytes);
  constexpr std::int64_t most_sweeps = 100'000;
  if ((count - 1) / step >= most_sweeps)
    fail<ValueError>({.op = task.function,
                      .what = std::to_string(count) + " directions, " + std::to_string(step) +
                              " at a time, are more than " + std::to_string(most_sweeps) +
                              " sweeps",
                      .where = task.where,
                      .help = "give a higher limit of bytes"});
  std::vector<Var> pieces;
  for (std::int64_t begin = 0; begin < count; begin += step) {
    const Var units =
        unit_directions(direction, begin, std::min(begin + step, count), task.function, task.where);
    pieces.push_back(finish(*batch_all({*one}, {direction}, {units}, task.where)[0]));
  }
  return pieces.size() == 1 ? pieces[0] : concat(pieces, axis);
}

Var zero_jacobian(const Task& task) {
  return broadcast_to(task.x.graph().constant(0.0, task.y.dtype()), task.shape());
}

// A direction to build one sweep on; nothing runs it.
Var one_direction(Var like) {
  Ints sizes = like.shape().vector();
  sizes.insert(sizes.begin(), 1);
  return detail::member_of(broadcast_to(like.graph().constant(1.0, like.dtype()), Shape(sizes)));
}

Var forward_jacobian(const Task& task) {
  task.check();
  const Var tangent = one_direction(task.x);
  const MaybeVar one = forward_all({task.y}, {Wrt(task.x, task.where)}, {tangent}, task.where)[0];
  const auto last = static_cast<std::int64_t>(task.y.rank());
  const auto to_the_end = [last](Var rows) {  // (directions) + y.shape()
    Ints order;
    for (std::int64_t axis = 1; axis <= last; ++axis) order.push_back(axis);
    order.push_back(0);
    return permute(rows, order);
  };
  const Var columns = for_all_directions(task, one, tangent, last, to_the_end);
  return columns.defined() ? reshape(columns, task.shape()) : zero_jacobian(task);
}

Var reverse_jacobian(const Task& task) {
  task.check();
  const Var cotangent = one_direction(task.y);
  const WrtList by{Wrt(task.x, task.where)};
  const Linearized linear({task.y}, by, task.where);
  const MaybeVar given = cotangent;
  const MaybeVar one = linear.transpose(std::span(&given, 1), task.where)[0];
  const Var rows = for_all_directions(  // (elements of y) + x.shape()
      task, one, cotangent, 0, [](Var chunk) { return chunk; });
  if (!rows.defined()) return zero_jacobian(task);
  // Of the value's dtype, as by forward mode.
  return reshape(rows.dtype() == task.y.dtype() ? rows : cast(rows, task.y.dtype()), task.shape());
}

void require_scalar(Var y, const char* function, Location where) {
  if (detail::require_alive(y, function, "the value", where).shape().count() == 1) return;
  fail<ShapeError>({.op = function,
                    .label = y.label(),
                    .what = "the value is " + to_string(y.type()) + ", not one number",
                    .where = where,
                    .help = "take the sum, or jacobian() of a gradient"});
}

Var slope_of(Var y, Var x, const char* function, Location where) {
  require_scalar(y, function, where);
  require_floating(x, function, "the input", where);
  const Var scalar = y.rank() == 0 ? y : reshape(y, Ints{});
  return reverse(scalar, {Wrt(x, where)}, Unreachable::zero, where).all()[0];
}

}  // namespace

Var jacfwd(Var y, Var x, const JacobianOptions& options, Location where) {
  return forward_jacobian({"jacfwd", y, x, options, where});
}
Var jacrev(Var y, Var x, const JacobianOptions& options, Location where) {
  return reverse_jacobian({"jacrev", y, x, options, where});
}
Var jacobian(Var y, Var x, const JacobianOptions& options, Location where) {
  const Task task{"jacobian", y, x, options, where};
  task.check();
  return x.shape().count() <= y.shape().count() ? forward_jacobian(task) : reverse_jacobian(task);
}
Var derivative(Var y, Var x, const JacobianOptions& options, Location where) {
  const Task task{"derivative", y, x, options, where};
  task.check();
  if (x.rank() != 0)
    fail<ShapeError>({.op = "derivative",
                      .label = x.label(),
                      .what = "the input is " + to_string(x.type()) + ", not a single number",
                      .where = where,
                      .help = "jacobian() is by every element"});
  return forward_jacobian(task);
}
Var hessian(Var y, Var x, const JacobianOptions& options, Location where) {
  return forward_jacobian({"hessian", slope_of(y, x, "hessian", where), x, options, where});
}
Var vhp(Var y, Var x, Var v, Location where) {
  const Var slope = slope_of(y, x, "vhp", where);
  return vjp({slope}, {Wrt(x, where)}, {v}, Unreachable::zero, where).all()[0];
}

}  // namespace dualtape
