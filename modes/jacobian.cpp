#include <dualtape/modes/jacobian.hpp>

#include <algorithm>
#include <string>

#include <dualtape/core/program.hpp>
#include <dualtape/core/tensor/new_tensor.hpp>
#include <dualtape/modes/batching.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/modes/walk/arithmetic.hpp>
#include <dualtape/modes/walk/dependence.hpp>
#include <dualtape/modes/walk/vars.hpp>
#include <dualtape/ops/batching.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/indexing.hpp>
#include <dualtape/ops/join.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {
namespace {

// Everything of one Jacobian but its sweep.
struct Task {
  const char* function;
  Var y, x;
  JacobianOptions options;
  Location where;

  void check() const {
    detail::require_derivable(y, function, "the value", where);
    detail::require_derivable(x, function, "the input", where);
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

// All directions of one Jacobian, in chunks. `one` is the result of one direction, a function of
// `direction` alone. Each chunk has them in front; what finish() makes of it has them on `axis`.
class Directions {
 public:
  using Finish = Var (*)(Var chunk);

  Directions(const Task& task, Var one, Var direction, std::int64_t axis, Finish finish)
      : task_(task),
        one_(one),
        direction_(direction),
        axis_(axis),
        finish_(finish),
        count_(direction.shape().count()) {}

  Var all() const {
    const std::int64_t step = at_once();
    constexpr std::int64_t most_sweeps = 100'000;
    if ((count_ - 1) / step >= most_sweeps)
      fail<ValueError>({.op = task_.function,
                        .what = std::to_string(count_) + " directions, " + std::to_string(step) +
                                " at a time, are more than " + std::to_string(most_sweeps) +
                                " sweeps",
                        .where = task_.where,
                        .help = "give a higher limit of bytes"});
    return chunks(count_, step);
  }

 private:
  // The first `count` directions, a chunk after the other.
  Var chunks(std::int64_t count, std::int64_t step) const {
    std::vector<Var> pieces;
    for (std::int64_t begin = 0; begin < count; begin += step) {
      const Var units = unit_directions(direction_, begin, std::min(begin + step, count),
                                        task_.function, task_.where);
      const MaybeVar before = pieces.empty() ? MaybeVar{} : pieces.back();
      pieces.push_back(finish_(*batch_all({one_}, {direction_}, {units}, task_.where, before)[0]));
    }
    return pieces.size() == 1 ? pieces[0] : concat(pieces, axis_);
  }

  // How many directions fit into the limit.
  std::int64_t at_once() const {
    const std::int64_t limit = task_.options.bytes;
    if (limit == 0 || count_ == 1) return count_;
    const auto one =
        static_cast<std::int64_t>(std::max<std::size_t>(bytes_carried(direction_, one_), 1));
    if (!can_compile()) return std::clamp<std::int64_t>(limit / one, 1, count_);
    // Fused and in place a direction may need less than that, but not a fourth of it.
    const std::int64_t most = std::clamp<std::int64_t>(4 * (limit / one), 1, count_);
    if (most == count_ && bytes_taken(count_) <= limit) return count_;
    std::int64_t fits = 0;  // so many do, or none is known to
    for (std::int64_t too_many = most == count_ ? count_ : most + 1; fits + 1 < too_many;) {
      const std::int64_t middle = fits + (too_many - fits) / 2;
      if (bytes_taken(middle) <= limit)
        fits = middle;
      else
        too_many = middle;
    }
    return std::max<std::int64_t>(fits, 1);
  }

  // Of a program that does so many at a time. Two chunks tell: what they leave behind is all that
  // the others add.
  std::int64_t bytes_taken(std::int64_t step) const {
    const std::int64_t tried = std::min(2 * step, count_);
    const MemoryUse use = compile({chunks(tried, step)}, {}, task_.where).memory();
    const auto rest = static_cast<std::size_t>(step == count_ ? 0 : count_ - tried);
    return static_cast<std::int64_t>(use.arena_bytes + use.workspace_bytes +
                                     rest * bytes_of(one_.type()));
  }

  // Not where something stands for a member of a batch, which has no value.
  bool can_compile() const {
    Graph& graph = one_.graph();
    const std::vector<bool> needed = detail::ancestors_of(one_);
    for (NodeId id = 0; id < needed.size(); ++id)
      if (needed[id] && id != direction_.id() && detail::is_stand_in(graph.node(id))) return false;
    return true;
  }

  const Task& task_;
  Var one_;
  Var direction_;
  std::int64_t axis_;
  Finish finish_;
  std::int64_t count_;
};

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
  if (!one || task.x.shape().count() == 0) return zero_jacobian(task);
  const auto to_the_end = [](Var rows) {  // (directions) + y.shape()
    return move_axis(rows, 0, static_cast<std::int64_t>(rows.rank()) - 1);
  };
  const auto last = static_cast<std::int64_t>(task.y.rank());
  const Var columns = Directions(task, *one, tangent, last, to_the_end).all();
  return reshape(columns, task.shape());
}

Var reverse_jacobian(const Task& task) {
  task.check();
  const Var cotangent = one_direction(task.y);
  const WrtList by{Wrt(task.x, task.where)};
  const Linearized linear({task.y}, by, task.where);
  const MaybeVar given = cotangent;
  const MaybeVar one = linear.transpose(std::span(&given, 1), task.where)[0];
  if (!one || task.y.shape().count() == 0) return zero_jacobian(task);
  // (elements of y) + x.shape()
  const Var rows = Directions(task, *one, cotangent, 0, [](Var chunk) { return chunk; }).all();
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
  detail::require_derivable(x, function, "the input", where);
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
