// How a sum over a batch gets past one node of a plan, for the pass that collapses such sums.
// Private. Plain values and pure functions; any thread.
#pragma once

#include <algorithm>
#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <dualtape/core/pass.hpp>
#include <dualtape/core/plan.hpp>

namespace dualtape::detail::batches {

inline constexpr ValueId no_value = static_cast<ValueId>(-1);

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
inline std::optional<Place> place_of(const Shape& shape, const Batch& batch) {
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
inline Batch batch_on(const Shape& shape, std::size_t axis, const Place& place, const Batch& like) {
  Batch batch = like;
  batch.stride = place.inner;
  for (std::size_t i = axis + 1; i < shape.rank(); ++i) batch.stride *= shape[i];
  return batch;
}
// What is left of a shape when the members are added up.
inline Shape without(const Shape& shape, const Place& place) {
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
inline std::optional<std::size_t> broadcast_axis(const Shape& operand, const Shape& result,
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

}  // namespace dualtape::detail::batches
