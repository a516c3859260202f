// A sum over a batch axis in front of what is linear in the batch: sum_b x_b W is (sum_b x_b) W,
// and so on upwards through sums, products with what has no such axis, and what only moves
// elements, until something is not linear. What many sweeps add up in the end, such as the second
// Taylor coefficients along all unit vectors that a Laplacian is the sum of, is then carried as one
// value from the place where it arises (Dangel, Siebert, Zeinhofer and Walther, Collapsing Taylor
// mode automatic differentiation, NeurIPS 2025). A weighted sum, sum_b w_b x_b, goes the same way.
//
// A sum moves past a value where all who read it want the same sum, since else it is needed for all
// members anyway, and only where it gets past a product of matrices or a convolution on the way. It
// adds up in another order, and multiplies after adding, so it gets past products that modes emit
// alone (or CompileOptions::reassociate), whatever stands between them and the sum.
#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <dualtape/core/leaves.hpp>
#include <dualtape/core/pass.hpp>
#include <dualtape/core/registry.hpp>
#include <dualtape/ops/passes/own_draws.hpp>
#include <dualtape/ops/passes/passes.hpp>

namespace dualtape::detail {
namespace {

constexpr ValueId no_value = static_cast<ValueId>(-1);

// A batch among a value's elements: so many members, whose elements lie so far apart. For a reshape
// of the value that is the same.
struct Batch {
  std::int64_t members;
  std::int64_t stride;
  ValueId weights = no_value;  // a number for each member, in order; none: each counts 1
  friend auto operator<=>(const Batch&, const Batch&) = default;
};

// Where a batch lies in a shape: on one axis of outer * members * inner entries.
struct Place {
  std::size_t axis;
  std::int64_t outer, inner;
};
std::optional<Place> place_of(const Shape& shape, const Batch& batch) {
  if (shape.count() == 0) return std::nullopt;
  std::int64_t stride = 1;  // of the axis
  for (std::size_t axis = shape.rank(); axis-- > 0;) {
    const std::int64_t size = shape[axis];
    if (batch.stride < stride * size) {
      const std::int64_t inner = batch.stride / stride;
      if (batch.stride % stride != 0 || size % (inner * batch.members) != 0) return std::nullopt;
      return Place{axis, size / (inner * batch.members), inner};
    }
    stride *= size;
  }
  return std::nullopt;
}
// The batch that lies so on `axis` of another shape.
Batch batch_on(const Shape& shape, std::size_t axis, const Place& place, const Batch& like) {
  Batch batch = like;
  batch.stride = place.inner;
  for (std::size_t i = axis + 1; i < shape.rank(); ++i) batch.stride *= shape[i];
  return batch;
}
// What is left of a shape when the members are added up.
Shape without(const Shape& shape, const Place& place) {
  Ints sizes = shape.vector();
  sizes[place.axis] = place.outer * place.inner;
  return Shape(sizes);
}

// An operand of a node whose result is summed over a batch.
struct Operand {
  ValueId value;               // as the pass found it
  std::optional<Batch> batch;  // to be summed over, too; none: the same for all members
  bool weights = false;        // a number for each member, which goes into the sum of the other
  bool added = false;          // the same for all members, of whom each adds it
};
struct Step {
  Batch batch;  // of the result
  std::vector<Operand> operands;
  bool product = false;
};

// The axis of an operand that axis `axis` of the result is, by broadcasting; none where it has
// none.
std::optional<std::size_t> broadcast_axis(const Shape& operand, const Shape& result,
                                          std::size_t axis) {
  const std::size_t missing = result.rank() - operand.rank();
  if (axis < missing || operand[axis - missing] != result[axis]) return std::nullopt;
  return axis - missing;
}

// How sums get past one node.
class Steps {
 public:
  explicit Steps(const Plan& plan) : plan_(plan) {}

  // None where the node is not linear in the batch, or is none of those known here.
  std::optional<Step> past(const PlanNode& node, const Batch& batch) const {
    const auto place = place_of(shape(node.first_value), batch);
    if (!place) return std::nullopt;
    std::optional<Step> step = past_at(node, batch, *place);
    // A product over nothing has operands without elements.
    if (step && std::ranges::any_of(step->operands, [&](const Operand& operand) {
          return operand.batch && shape(operand.value).count() == 0;
        }))
      return std::nullopt;
    return step;
  }

 private:
  std::optional<Step> past_at(const PlanNode& node, const Batch& batch, const Place& place) const {
    const std::string_view name = node.op->name();
    if (name == "add" || name == "sub" || name == "neg") return past_sum(node, batch, place, 0);
    if (name == "where") return past_sum(node, batch, place, 1);
    if (name == "mul" || name == "div") return past_factor(node, batch, place);
    if (name == "matmul" || name == "conv2d") return past_product(node, batch, place);
    return past_move(node, batch, place);
  }
  const Shape& shape(ValueId v) const { return plan_.values[v].shape; }

  Operand operand_of(const PlanNode& node, std::size_t i, std::optional<std::size_t> axis,
                     const Batch& batch, const Place& place) const {
    Operand operand{plan_.operands_of(node)[i], {}};
    if (axis) operand.batch = batch_on(shape(operand.value), *axis, place, batch);
    return operand;
  }
  Operand broadcast_operand(const PlanNode& node, std::size_t i, const Batch& batch,
                            const Place& place) const {
    const Shape& in = shape(plan_.operands_of(node)[i]);
    return operand_of(node, i, broadcast_axis(in, shape(node.first_value), place.axis), batch,
                      place);
  }

  // The first `conditions` operands choose between the others.
  std::optional<Step> past_sum(const PlanNode& node, const Batch& batch, const Place& place,
                               std::size_t conditions) const {
    Step step{batch, {}};
    for (std::size_t i = 0; i < node.operand_count; ++i) {
      Operand operand = broadcast_operand(node, i, batch, place);
      operand.added = i >= conditions && !operand.batch;
      if (operand.batch ? i < conditions : operand.added && batch.weights != no_value)
        return std::nullopt;
      step.operands.push_back(operand);
    }
    return step;
  }

  // By what is the same for all members, or by a number for each of them.
  std::optional<Step> past_factor(const PlanNode& node, const Batch& batch,
                                  const Place& place) const {
    Step step{batch, {}};
    for (std::size_t i = 0; i < 2; ++i)
      step.operands.push_back(broadcast_operand(node, i, batch, place));
    if (node.op->name() == "div")
      return step.operands[1].batch ? std::nullopt : std::optional(step);
    if (step.operands[0].batch.has_value() != step.operands[1].batch.has_value()) return step;
    for (const std::size_t i : {std::size_t{0}, std::size_t{1}}) {
      Operand& weights = step.operands[i];
      Operand& other = step.operands[1 - i];
      if (shape(weights.value).count() != batch.members || batch.weights != no_value ||
          shape(other.value) != shape(node.first_value))
        continue;
      other.batch->weights = weights.value;
      weights.batch.reset();
      weights.weights = true;
      return step;
    }
    return std::nullopt;
  }

  // With one operand that is the same for all members.
  std::optional<Step> past_product(const PlanNode& node, const Batch& batch,
                                   const Place& place) const {
    const std::size_t rank = shape(node.first_value).rank();
    std::array<std::optional<std::size_t>, 2> axes;
    if (node.op->name() == "conv2d") {
      if (place.axis != 0) return std::nullopt;
      axes[0] = 0;  // of images
    } else if (place.axis + 2 < rank) {
      for (std::size_t i = 0; i < 2; ++i)
        axes[i] =
            broadcast_axis(shape(plan_.operands_of(node)[i]), shape(node.first_value), place.axis);
      if (axes[0] && axes[1]) return std::nullopt;
    } else {
      const bool right = place.axis + 1 == rank;
      const bool turned = node.attributes.get<bool>(right ? "transpose_b" : "transpose_a");
      const std::size_t of = shape(plan_.operands_of(node)[right ? 1 : 0]).rank();
      axes[right ? 1 : 0] = of - (right == turned ? 2 : 1);
    }
    Step step{batch, {}, true};
    for (std::size_t i = 0; i < 2; ++i)
      step.operands.push_back(operand_of(node, i, axes[i], batch, place));
    return step;
  }

  std::optional<Step> past_move(const PlanNode& node, const Batch& batch,
                                const Place& place) const {
    Step step{batch, {}};
    const std::string_view name = node.op->name();
    const auto in = plan_.operands_of(node);
    const auto on = [&](std::size_t axis) {
      step.operands.push_back(operand_of(node, step.operands.size(), axis, batch, place));
    };
    if (name == "reshape") {
      if (!place_of(shape(in[0]), batch)) return std::nullopt;
      step.operands.push_back({in[0], batch});
    } else if (name == "broadcast_to") {
      step.operands.push_back(broadcast_operand(node, 0, batch, place));
      if (!step.operands[0].batch) return std::nullopt;
    } else if (name == "permute") {
      const std::int64_t axis = node.attributes.get<Ints>("axes")[place.axis];
      on(static_cast<std::size_t>(axis < 0 ? axis + static_cast<std::int64_t>(shape(in[0]).rank())
                                           : axis));
    } else if (name == "sum") {
      on(summed_from(node, place.axis));
    } else if (name == "slice" || name == "slice_scatter") {
      // All of the axis, as it is.
      if (shape(in[0])[place.axis] != shape(node.first_value)[place.axis] ||
          node.attributes.get<Ints>("starts")[place.axis] != 0)
        return std::nullopt;
      on(place.axis);
    } else if (name == "concat") {
      const std::int64_t axis = node.attributes.get<std::int64_t>("axis");
      const auto rank = static_cast<std::int64_t>(shape(node.first_value).rank());
      if (std::cmp_equal(axis < 0 ? axis + rank : axis, place.axis)) return std::nullopt;
      for (std::size_t i = 0; i < in.size(); ++i) on(place.axis);
    } else {
      return std::nullopt;
    }
    return step;
  }
  // The axis of a sum's operand that axis `axis` of its result is.
  static std::size_t summed_from(const PlanNode& node, std::size_t axis) {
    if (node.attributes.get<bool>("keepdims")) return axis;
    for (const std::int64_t gone : node.attributes.get<Ints>("axes"))  // in order
      if (std::cmp_less_equal(gone, axis)) ++axis;
    return axis;
  }

  const Plan& plan_;
};

class Collapse {
 public:
  explicit Collapse(Plan& plan)
      : plan_(plan),
        past_(plan),
        uses_(plan.values.size()),
        wanted_(plan.values.size()),
        made_by_(plan.values.size()),
        steps_(plan.nodes.size()),
        ends_(plan.nodes.size()),
        roots_(plan.nodes.size()) {
    for (std::size_t n = 0; n < plan.nodes.size(); ++n) {
      const PlanNode& node = plan.nodes[n];
      for (const ValueId v : plan.operands_of(node)) ++uses_[v];
      for (ValueId v = node.first_value; v < node.first_value + node.value_count; ++v)
        made_by_[v] = n;
    }
    for (const ValueId v : plan.outputs) ++uses_[v];
    for (const PlanAssign& a : plan.assigns) ++uses_[a.value];
    for (std::size_t n = plan.nodes.size(); n-- > 0;) look(n);
    for (std::size_t n = 0; n < plan.nodes.size(); ++n) settle(n);
  }

  bool any() const {
    return std::ranges::any_of(roots_, [](const auto& root) { return root.has_value(); });
  }

  // A rule for one sweep, which shows it the nodes in order.
  bool operator()(Rewriter& plan, const PlanNode& node) {
    const std::size_t n = next_++;
    if (steps_[n]) summed_[{node.first_value, steps_[n]->batch}] = summed_node(plan, node, n);
    if (roots_[n])
      plan.replace_by(root_value(plan, node, *roots_[n]));
    else if (!ends_[n].empty())
      end(plan, node, n);
    else
      return false;
    return true;
  }

 private:
  // What those who read a value want of it, as far as that is nothing but a sum over a batch.
  struct Wanted {
    std::optional<Batch> batch;
    std::size_t readers = 0;
    bool differ = false;
  };
  struct Root {
    ValueId value;
    Batch batch;
  };

  void want(ValueId value, const Batch& batch) {
    Wanted& wanted = wanted_[value];
    wanted.differ = wanted.differ || (wanted.batch && *wanted.batch != batch);
    if (!wanted.batch) wanted.batch = batch;
    ++wanted.readers;
  }

  // From the results up: whether the sum of the node can be made from sums of its operands.
  void look(std::size_t n) {
    const PlanNode& node = plan_.nodes[n];
    if (node.value_count != 1 || !is_floating(plan_.values[node.first_value].dtype)) return;
    const Wanted& wanted = wanted_[node.first_value];
    const bool alone = wanted.batch && !wanted.differ && wanted.readers == uses_[node.first_value];
    if (alone && (wanted.batch->weights == no_value || may_weight(wanted.batch->weights, n)))
      steps_[n] = past_.past(node, *wanted.batch);
    if (steps_[n] && steps_[n]->product && !plan_.options.reassociate && !is_emitted(node))
      steps_[n].reset();
    if (steps_[n]) {
      for (const Operand& operand : steps_[n]->operands)
        if (operand.batch) want(operand.value, *operand.batch);
    } else if (node.op->name() == "sum" || node.op->name() == "mean") {
      roots_[n] = root_of(node);
      if (roots_[n]) want(roots_[n]->value, roots_[n]->batch);
    }
  }
  // Whether the numbers are there before the node and stay what they are.
  bool may_weight(ValueId weights, std::size_t n) const {
    const std::string_view name = plan_.nodes[made_by_[weights]].op->name();
    return made_by_[weights] < n && name != "sum" && name != "mean";
  }
  // Then down: keeps what has a product above it.
  void settle(std::size_t n) {
    const auto reached = [&](ValueId v, const Batch& batch) {
      const std::optional<Step>& above = steps_[made_by_[v]];
      return above && above->batch == batch;
    };
    if (steps_[n] && !steps_[n]->product &&
        std::ranges::none_of(steps_[n]->operands, [&](const Operand& operand) {
          return operand.batch && reached(operand.value, *operand.batch);
        }))
      steps_[n].reset();
    if (steps_[n])
      for (const Operand& operand : steps_[n]->operands)
        if (operand.batch && !reached(operand.value, *operand.batch))
          end_at(operand.value, *operand.batch);
    if (roots_[n] && !reached(roots_[n]->value, roots_[n]->batch)) roots_[n].reset();
  }
  // No further up than this value.
  void end_at(ValueId value, const Batch& batch) {
    const std::size_t n = made_by_[value];
    const PlanNode& node = plan_.nodes[n];
    const bool weighted = batch.weights != no_value && made_by_[batch.weights] >= n;
    if (node.value_count != 1 || is_leaf(*node.op) || weighted) return;
    if (std::ranges::find(ends_[n], batch) == ends_[n].end()) ends_[n].push_back(batch);
  }

  // By the first of the axes that are summed: batches are in front.
  std::optional<Root> root_of(const PlanNode& node) const {
    const ValueId value = plan_.operands_of(node)[0];
    const Shape& in = plan_.values[value].shape;
    if (in.count() == 0) return std::nullopt;
    const Ints& axes = node.attributes.get<Ints>("axes");
    std::int64_t stride = in.count();
    for (std::size_t axis = 0; axis < in.rank(); ++axis) {
      stride /= in[axis];
      if (in[axis] > 1 && std::ranges::find(axes, static_cast<std::int64_t>(axis)) != axes.end())
        return Root{value, {in[axis], stride}};
    }
    return std::nullopt;
  }

  static ValueId reshaped(Rewriter& plan, ValueId x, const Ints& sizes) {
    return plan.add(require_op("reshape"), {{"sizes", sizes}}, {x});
  }
  static ValueId times(Rewriter& plan, double number, ValueId x) {
    const Tensor tensor = full({}, number, plan.type(x).dtype);
    const ValueId factor = plan.add(constant_op(), {{"value", tensor}}, {});
    return plan.add(require_op("mul"), {}, {factor, x});
  }

  // The sum over a batch of what is there for all members; its axis stays, with what else is on it.
  static ValueId summed_value(Rewriter& plan, ValueId x, const Batch& batch) {
    const Shape shape = plan.type(x).shape;
    const Place place = *place_of(shape, batch);
    Ints split = shape.vector();
    const auto axis = split.begin() + static_cast<std::ptrdiff_t>(place.axis);
    *axis = place.outer;
    split.insert(axis + 1, {batch.members, place.inner});
    ValueId value = place.outer == 1 && place.inner == 1 ? x : reshaped(plan, x, split);
    const bool whole = value == x;
    const std::size_t at = place.axis + (whole ? 0 : 1);
    if (batch.weights != no_value) {
      Ints column((whole ? shape.rank() : split.size()) - at, 1);
      column[0] = batch.members;
      value = plan.add(require_op("mul"), {}, {reshaped(plan, batch.weights, column), value});
    }
    value = plan.add(require_op("sum"),
                     {{"axes", Ints{static_cast<std::int64_t>(at)}}, {"keepdims", true}}, {value});
    return whole ? value : reshaped(plan, value, without(shape, place).vector());
  }

  // The sums of a value run right after it, as part of its node's loop: so they are made in its
  // place, and the node once more in front of them.
  void end(Rewriter& plan, const PlanNode& node, std::size_t n) {
    const auto before = plan.operands(node);
    const std::vector<ValueId> in(before.begin(), before.end());
    const ValueId value = plan.add(*node.op, node.attributes, in);
    for (const Batch& batch : ends_[n])
      summed_[{node.first_value, batch}] = summed_value(plan, value, batch);
    plan.replace_by(value);
  }

  ValueId summed_operand(Rewriter& plan, const Operand& operand, ValueId now) {
    const std::pair key{operand.value, *operand.batch};
    const auto found = summed_.find(key);
    if (found != summed_.end()) return found->second;
    return summed_[key] = summed_value(plan, now, *operand.batch);
  }

  ValueId summed_node(Rewriter& plan, const PlanNode& node, std::size_t n) {
    const Step& step = *steps_[n];
    const auto before = plan.operands(node);
    std::vector<ValueId> now(before.begin(), before.end());
    std::optional<ValueId> weighted;
    for (std::size_t i = 0; i < now.size(); ++i) {
      const Operand& operand = step.operands[i];
      if (operand.batch)
        now[i] = summed_operand(plan, operand, now[i]);
      else if (operand.added)
        now[i] = times(plan, static_cast<double>(step.batch.members), now[i]);
      else if (operand.weights)
        weighted = 1 - i;
    }
    if (weighted) return now[*weighted];
    const Shape shape = without(plan.type(node.first_value).shape,
                                *place_of(plan.type(node.first_value).shape, step.batch));
    return plan.add(*node.op, with_shape(node, shape), now);
  }

  // The node's attributes for a result of another shape, where they tell it.
  static Attributes with_shape(const PlanNode& node, const Shape& shape) {
    const std::string_view name = node.op->name();
    std::vector<Attributes::Entry> entries = node.attributes.entries();
    for (auto& [attribute, value] : entries) {
      if (attribute == "shape") value = shape;
      if (attribute == "sizes" || (name == "slice" && attribute == "counts"))
        value = shape.vector();
    }
    return Attributes(std::move(entries));
  }

  ValueId root_value(Rewriter& plan, const PlanNode& node, const Root& root) {
    ValueId value = summed_.at({root.value, root.batch});
    if (node.op->name() == "mean")
      value = times(plan, 1 / static_cast<double>(root.batch.members), value);
    const Type type = plan.type(node.first_value);
    return plan.type(value).shape.count() == type.shape.count()
               ? reshaped(plan, value, type.shape.vector())
               : plan.add(*node.op, node.attributes, {value});
  }

  Plan& plan_;
  Steps past_;
  std::vector<std::size_t> uses_;
  std::vector<Wanted> wanted_;        // of each value
  std::vector<std::size_t> made_by_;  // the node of each value
  std::vector<std::optional<Step>> steps_;
  std::vector<std::vector<Batch>> ends_;
  std::vector<std::optional<Root>> roots_;
  std::map<std::pair<ValueId, Batch>, ValueId> summed_;
  std::size_t next_ = 0;
};

}  // namespace

void collapse(Plan& plan) {
  Collapse sums(plan);
  if (!sums.any()) return;
  const std::array<Rewriter::Rule, 1> rules{
      [&](Rewriter& sweep, const PlanNode& node) { return sums(sweep, node); }};
  rewrite(plan, rules, 1);
}

}  // namespace dualtape::detail
