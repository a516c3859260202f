#include <dualtape/ops/subscript.hpp>

#include <algorithm>
#include <string>

#include <dualtape/ops/indexing.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {
namespace {

// The range of one entry at `number`, which may count from the end.
Range entry(std::int64_t number, std::size_t axis, Var x, Location where) {
  const std::int64_t size = x.shape()[axis];
  if (number < -size || number >= size)
    fail<ShapeError>({.op = "x[...]",
                      .label = x.label(),
                      .what = "there is no place " + std::to_string(number) + " along axis " +
                              std::to_string(axis) + " of " + to_string(x.type()),
                      .where = where,
                      .help = size == 0 ? "this axis is empty"
                                        : "places are " + std::to_string(-size) + " ... " +
                                              std::to_string(size - 1)});
  const std::int64_t begin = number < 0 ? number + size : number;
  return {begin, begin + 1, 1};
}

}  // namespace

Var Places::of(Var x) const {
  if (!x.defined())
    fail<GraphError>({.op = "x[...]",
                      .what = "x is an empty Var",
                      .where = where_,
                      .help = "give it a value first: a graph's input, or the result of an "
                              "operator"});
  if (const Var* var = std::get_if<Var>(&indices_)) return take({x, where_}, {*var, where_});
  if (const Tensor* list = std::get_if<Tensor>(&indices_))
    return take({x, where_}, {*list, where_});
  if (places_.size() > x.rank())
    fail<ShapeError>({.op = "x[...]",
                      .label = x.label(),
                      .what = std::to_string(places_.size()) + " places for the " +
                              std::to_string(x.rank()) + " axes of " + to_string(x.type()),
                      .where = where_,
                      .help = "give at most one place or range an axis"});
  std::vector<Range> ranges;
  std::vector<std::int64_t> taken_away;
  for (std::size_t axis = 0; axis < places_.size(); ++axis) {
    const std::int64_t* number = places_[axis].number();
    ranges.push_back(number != nullptr ? entry(*number, axis, x, where_) : *places_[axis].range());
    if (number != nullptr) taken_away.push_back(static_cast<std::int64_t>(axis));
  }
  const Var part = slice({x, where_}, ranges);
  // squeeze() without axes would take all that are 1.
  return taken_away.empty() ? part : squeeze({part, where_}, taken_away);
}

Var Var::operator[](const Places& places) const { return places.of(*this); }

}  // namespace dualtape
