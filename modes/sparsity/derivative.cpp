#include <dualtape/modes/sparsity/derivative.hpp>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <string>
#include <utility>

#include <dualtape/core/leaves.hpp>
#include <dualtape/core/program.hpp>
#include <dualtape/core/tensor/new_tensor.hpp>
#include <dualtape/modes/batching.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/modes/sparsity/colouring.hpp>
#include <dualtape/modes/sparsity/visitor.hpp>
#include <dualtape/modes/substitute.hpp>
#include <dualtape/modes/walk/arithmetic.hpp>
#include <dualtape/modes/walk/dependence.hpp>
#include <dualtape/modes/walk/vars.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/indexing.hpp>
#include <dualtape/ops/join.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape::detail {
namespace {

// What is differentiated by forward mode: y, or the slope of a scalar y.
Var differentiated(const SparseTask& task) {
  require_derivable(task.y, task.function, "the value", task.where);
  require_derivable(task.x, task.function, "the input", task.where);
  require_one_graph(std::array{task.y, task.x}, task.function, "value and input", task.where);
  if (task.kind == SparseKind::jacobian) return task.y;
  if (task.y.shape().count() != 1)
    fail<ShapeError>({.op = task.function,
                      .label = task.y.label(),
                      .what = "the value is " + to_string(task.y.type()) + ", not one number",
                      .where = task.where,
                      .help = "take the sum, or sparse_jacobian() of a gradient"});
  const Var scalar = task.y.rank() == 0 ? task.y : reshape(task.y, Ints{});
  return reverse(scalar, {Wrt(task.x, task.where)}, Unreachable::zero, task.where).all()[0];
}

// What stands for one direction; nothing runs it.
Var one_direction(Var like) {
  Ints sizes = like.shape().vector();
  sizes.insert(sizes.begin(), 1);
  return member_of(broadcast_to(like.graph().constant(1.0, like.dtype()), Shape(sizes)));
}

// What moves with the direction, absent where nothing does.
struct Moved {
  Var direction;
  MaybeVar result;

  static Moved forward(Var y, Var x, Location where) {
    const Var direction = one_direction(x);
    return {direction, forward_all({y}, {Wrt(x, where)}, {direction}, where)[0]};
  }
  static Moved backward(Var y, Var x, Location where) {
    const Var direction = one_direction(y);
    const MaybeVar given = direction;
    return {direction,
            Linearized({y}, {Wrt(x, where)}, where).transpose(std::span(&given, 1), where)[0]};
  }
};

SparsityPattern empty_pattern(Var y, Var x) {
  SparsityPattern pattern;
  pattern.row_count = y.shape().count();
  pattern.column_count = x.shape().count();
  pattern.row_starts.assign(static_cast<std::size_t>(pattern.row_count) + 1, 0);
  return pattern;
}

// A pattern with all entries of its transpose, too.
SparsityPattern symmetric(const SparsityPattern& pattern) {
  const SparsityPattern turned = transposed(pattern);
  SparsityPattern made;
  made.row_count = pattern.row_count;
  made.column_count = pattern.column_count;
  for (std::int64_t i = 0; i < pattern.row_count; ++i) {
    std::ranges::set_union(pattern.row(i), turned.row(i), std::back_inserter(made.columns));
    made.row_starts.push_back(made.entries());
  }
  return made;
}

SparsityPattern pattern_of(const SparseTask& task, Var y, const Moved& moved, KnownValues& values) {
  if (!moved.result) return empty_pattern(y, task.x);
  SparsityPattern found = linear_sparsity(*moved.result, moved.direction, values);
  return task.kind == SparseKind::hessian ? symmetric(found) : found;
}

// For each colour the sum of unit directions of that colour.
Var seeds(Var direction, const Colouring& colouring, const SparseTask& task) {
  const std::int64_t count = direction.shape().count();
  Ints sizes = direction.shape().vector();
  sizes.insert(sizes.begin(), colouring.count);
  Tensor rows =
      new_tensor(task.function, {Shape(sizes, task.where), direction.dtype()}, task.where);
  dispatch(rows.dtype(), [&]<class T>() {
    const auto data = rows.data<T>();
    std::ranges::fill(data, T(0));
    for (std::int64_t e = 0; e < count; ++e)
      if (const std::int32_t c = colouring.colour_of[static_cast<std::size_t>(e)];
          c != Colouring::none)
        data[static_cast<std::size_t>(c * count + e)] = T(1);
  });
  return direction.graph().constant(rows);
}

// A sum of something with several constants, as it is where f is linear but for some of its terms,
// with one in the place of them: each would be read at each evaluation.
Var with_one_constant(Var sum, KnownValues& values) {
  MaybeVar constants;
  int count = 0;
  Var rest = sum;
  for (const Shape& shape = sum.shape(); !values.is_constant(rest); ++count) {
    const Node& node = rest.node();
    const bool adds = node.op->name() == "add", subtracts = node.op->name() == "sub";
    if (!adds && !subtracts) break;
    const Var left = rest.graph().var(node.inputs()[0]), right = rest.graph().var(node.inputs()[1]);
    const bool on_right = values.is_constant(right);
    if ((!on_right && (subtracts || !values.is_constant(left))) || left.shape() != shape ||
        right.shape() != shape)
      break;
    constants = add_scaled(constants, subtracts ? -1.0 : 1.0, on_right ? right : left);
    rest = on_right ? left : right;
  }
  return count < 2 ? sum : rest + *constants;
}

// What the seeds make together with constants is computed here, once, and not at each evaluation:
// where f is linear that is all of it.
Var with_constants(Var all, Var given, Location where) {
  Graph& graph = all.graph();
  KnownValues values(graph);
  const Var products = with_one_constant(all, values);
  const std::vector<bool> needed = ancestors_of(products);
  const std::int64_t most = 4 * given.shape().count();  // elements that are kept of one value
  std::vector<Var> known;
  for (NodeId id = given.id() + 1; id < needed.size(); ++id) {
    if (!needed[id] || values.is_constant(graph.var(id))) continue;
    for (const Ref& ref : graph.node(id).inputs()) {
      const Var operand = graph.var(ref);
      if (ref.node > given.id() && operand.node().op != &constant_op() &&
          values.is_constant(operand) && operand.shape().count() <= most &&
          std::ranges::find(known, operand) == known.end())
        known.push_back(operand);
    }
  }
  if (known.empty()) return products;
  const Outputs out = compile(known, {}, where).run({}, where);
  std::vector<Var> now;
  for (const Var& var : known) now.push_back(graph.constant(out[{var, where}], where));
  return substitute({products}, known, now, where)[0];
}

// All products of one mode as one vector.
Var products(const Moved& moved, const Colouring& colouring, DType dtype, const SparseTask& task) {
  const Var given = seeds(moved.direction, colouring, task);
  const Var all = with_constants(
      *batch_all({*moved.result}, {moved.direction}, {given}, task.where)[0], given, task.where);
  const Var flat = reshape(all, Ints{all.shape().count()});
  return flat.dtype() == dtype ? flat : cast(flat, dtype);
}

Tensor indices(std::span<const std::int64_t> values, const SparseTask& task) {
  Tensor made = new_tensor(task.function, {Shape{static_cast<std::int64_t>(values.size())}, int64},
                           task.where);
  std::ranges::copy(values, made.data<std::int64_t>().begin());
  return made;
}
// The smaller dtype, where it holds them: they are read at each evaluation.
Tensor places(std::span<const std::int64_t> values, const SparseTask& task) {
  Tensor made = indices(values, task);
  const auto most = std::ranges::max(values);
  return most <= std::numeric_limits<std::int32_t>::max() ? made.to(int32) : made;
}

}  // namespace

SparsityPattern linear_sparsity(Var result, Var direction, KnownValues& values) {
  ElementSets sets(direction.shape().count());
  auto start = std::make_shared<SetIds>();
  for (std::int64_t e = 0; e < direction.shape().count(); ++e) start->push_back(sets.single(e));
  SparsityMode mode(sets, values);
  const SharedSetIds state = start;
  const MaybeSetIds found = mode.run(result.graph(), std::span(&direction, 1), std::span(&state, 1),
                                     std::span(&result, 1))[0];
  SparsityPattern pattern = empty_pattern(result, direction);
  if (!found) return pattern;
  pattern.row_starts.assign(1, 0);
  std::int64_t entries = 0;
  for (const ElementSets::Id id : **found) entries += static_cast<std::int64_t>(sets.of(id).size());
  constexpr std::int64_t most = std::int64_t{1} << 31U;
  if (entries > most)
    fail<SizeError>(
        {.op = "sparsity",
         .label = result.label(),
         .what = "the pattern has " + std::to_string(entries) + " entries",
         .where = result.node().where,
         .help = "such a derivative is not sparse: hvp(), jvp() and vjp() give products with it"});
  pattern.columns.reserve(static_cast<std::size_t>(entries));
  for (const ElementSets::Id id : **found) {
    const auto set = sets.of(id);
    pattern.columns.insert(pattern.columns.end(), set.begin(), set.end());
    pattern.row_starts.push_back(pattern.entries());
  }
  return pattern;
}

SparsityPattern SparseTask::pattern() const {
  const Var differentiable = differentiated(*this);
  KnownValues values(x.graph());
  return pattern_of(*this, differentiable, Moved::forward(differentiable, x, where), values);
}

SparseDerivative SparseTask::derivative(const std::vector<Feed>* point) const {
  const Var from = differentiated(*this);
  const Moved moved = Moved::forward(from, x, where);
  KnownValues values(x.graph(), point);
  SparseDerivative made;
  made.info.pattern = pattern_of(*this, from, moved, values);
  made.decisions = values.decisions();
  const SparsityPattern& pattern = made.info.pattern;
  const CompressedPattern compressed =
      kind == SparseKind::hessian ? compress_symmetric(pattern) : compress(pattern, options.sweeps);
  made.info.forward_sweeps = compressed.columns.count;
  made.info.reverse_sweeps = compressed.rows.count;
  std::vector<Var> parts;
  if (compressed.columns.count > 0)
    parts.push_back(products(moved, compressed.columns, from.dtype(), *this));
  if (compressed.rows.count > 0)
    parts.push_back(
        products(Moved::backward(from, x, where), compressed.rows, from.dtype(), *this));
  Graph& graph = x.graph();
  const Var entries = parts.empty() ? graph.constant(zeros(Shape{0}, from.dtype(), where))
                                    : take(parts.size() == 1 ? parts[0] : concat(parts),
                                           graph.constant(places(compressed.read_at, *this)));
  made.matrix = {pattern.row_count, pattern.column_count, indices(pattern.row_starts, *this),
                 indices(pattern.columns, *this), entries};
  return made;
}

}  // namespace dualtape::detail
