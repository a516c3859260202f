#include <dualtape/ops/batching.hpp>

#include <algorithm>
#include <string>
#include <utility>
#include <variant>

#include <dualtape/ops/shapes.hpp>

namespace dualtape {
namespace {

// Axes that count from the back stay.
std::int64_t moved(std::int64_t axis) { return axis < 0 ? axis : axis + 1; }

Ints with_front(std::int64_t front, const Ints& rest) {
  Ints all{front};
  all.insert(all.end(), rest.begin(), rest.end());
  return all;
}

Attribute shifted(const Attributes::Entry& entry, const Shift& shift, std::int64_t size) {
  const std::string& name = entry.first;
  if (name == shift.axis) return moved(std::get<std::int64_t>(entry.second));
  if (name == shift.axes || name == shift.permutation) {
    Ints axes = std::get<Ints>(entry.second);
    std::ranges::transform(axes, axes.begin(), moved);
    return name == shift.permutation ? with_front(0, axes) : axes;
  }
  if (name == shift.sizes) {
    if (const auto* const shape = std::get_if<Shape>(&entry.second))
      return batched_shape(*shape, size);
    return with_front(size, std::get<Ints>(entry.second));
  }
  if (name == shift.starts) return with_front(0, std::get<Ints>(entry.second));
  if (name == shift.steps) return with_front(1, std::get<Ints>(entry.second));
  return entry.second;
}

}  // namespace

Shape batched_shape(const Shape& member, std::int64_t size) {
  return Shape(with_front(size, member.vector()));
}

Var move_axis(Var x, std::int64_t from, std::int64_t to) {
  if (from == to) return x;
  Ints order;
  for (std::int64_t axis = 0; axis < static_cast<std::int64_t>(x.rank()); ++axis)
    if (axis != from) order.push_back(axis);
  order.insert(order.begin() + to, from);
  return permute(x, order);
}

Attributes shifted_attributes(const BatchView& view, const Shift& shift) {
  std::vector<Attributes::Entry> entries = view.node.attributes.entries();
  for (Attributes::Entry& entry : entries) entry.second = shifted(entry, shift, view.size);
  return Attributes(std::move(entries));
}

Var batched_operand(const BatchView& view, std::size_t i) {
  if (view.in[i]) return *view.in[i];
  return broadcast_to(view.node.in[i], batched_shape(view.node.in[i].shape(), view.size));
}

std::vector<Var> batched_operands(const BatchView& view) {
  std::vector<Var> operands;
  for (std::size_t i = 0; i < view.in.size(); ++i) operands.push_back(batched_operand(view, i));
  return operands;
}

Var aligned_operand(const BatchView& view, std::size_t i, std::size_t rank) {
  if (!view.in[i]) return view.node.in[i];
  const Shape& member = view.node.in[i].shape();
  if (member.rank() >= rank) return *view.in[i];
  Ints sizes{view.size};
  sizes.resize(1 + rank - member.rank(), 1);
  sizes.insert(sizes.end(), member.begin(), member.end());
  return reshape(*view.in[i], sizes);
}

Var fold_batch(Var x) {
  Ints sizes = x.shape().vector();
  const std::int64_t size = sizes.front();
  sizes.erase(sizes.begin());
  sizes.front() *= size;
  return reshape(x, sizes);
}

Var unfold_batch(Var x, const BatchView& view, std::size_t output) {
  return reshape(x, batched_shape(view.node.out[output].shape(), view.size));
}

std::vector<Var> apply_batched(const BatchView& view, const std::vector<Var>& operands) {
  const std::vector<In> in(operands.begin(), operands.end());
  return apply_all(view.node.op, in, view.node.attributes);
}

}  // namespace dualtape
