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
#include <dualtape/ops/passes/batch_steps.hpp>
#include <dualtape/ops/passes/own_draws.hpp>
#include <dualtape/ops/passes/passes.hpp>

namespace dualtape::detail {
namespace {

using namespace batches;

class Collapse {
 public:
  explicit Collapse(Plan& plan)
      : plan_(plan),
        past_(plan),
        uses_(plan.values.size()),
        wanted_(plan.values.size()),
        made_by_(plan.values.size()),
        steps_(plan.nodes.size()),
        reaches_(plan.nodes.size()),
        kept_(plan.values.size()),
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
    for (std::size_t n = 0; n < plan.nodes.size(); ++n) reaches_[n] = reaches_product(n);
    for (std::size_t n = plan.nodes.size(); n-- > 0;) settle(n);
    for (std::size_t n = 0; n < plan.nodes.size(); ++n) end(n);
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
      end_node(plan, node, n);
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
    if (steps_[n] && steps_[n]->product && !is_own(node)) steps_[n].reset();
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
  bool has_step(ValueId v, const Batch& batch) const {
    const std::optional<Step>& step = steps_[made_by_[v]];
    return step && step->batch == batch;
  }
  // Whether the sum gets past a product from here on.
  bool reaches_product(std::size_t n) const {
    return steps_[n] && (steps_[n]->product ||
                         std::ranges::any_of(steps_[n]->operands, [&](const Operand& operand) {
                           return operand.batch && has_step(operand.value, *operand.batch) &&
                                  reaches_[made_by_[operand.value]];
                         }));
  }
  // Once more from the results: goes on where there is a product to come, and past factors in front
  // of where it ends, which are then multiplied once.
  void settle(std::size_t n) {
    const PlanNode& node = plan_.nodes[n];
    if (roots_[n]) {
      const auto& [value, batch] = *roots_[n];
      if (has_step(value, batch) && reaches_[made_by_[value]])
        ++kept_[value];
      else
        roots_[n].reset();
    }
    if (!steps_[n]) return;
    const bool kept = reaches_[n] || (is_factor(n) && is_own(node));
    if (!kept || kept_[node.first_value] != uses_[node.first_value]) return steps_[n].reset();
    for (const Operand& operand : steps_[n]->operands)
      if (operand.batch) ++kept_[operand.value];
  }
  bool is_own(const PlanNode& node) const { return plan_.options.reassociate || is_emitted(node); }
  bool is_factor(std::size_t n) const {
    const std::string_view name = plan_.nodes[n].op->name();
    if (name != "mul" && name != "div" && name != "neg") return false;
    return std::ranges::none_of(steps_[n]->operands, &Operand::weights);
  }
  // What is settled: where sums end, and which begin.
  void end(std::size_t n) {
    if (roots_[n] && !has_step(roots_[n]->value, roots_[n]->batch)) roots_[n].reset();
    if (!steps_[n]) return;
    for (const Operand& operand : steps_[n]->operands)
      if (operand.batch && !has_step(operand.value, *operand.batch))
        end_at(operand.value, *operand.batch);
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
  void end_node(Rewriter& plan, const PlanNode& node, std::size_t n) {
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
  std::vector<bool> reaches_;      // of steps: a product
  std::vector<std::size_t> kept_;  // of each value: readers who will read its sum
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
