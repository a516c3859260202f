#include <dualtape/modes/sparsity/visitor.hpp>

#include <algorithm>
#include <memory>
#include <utility>

#include <dualtape/core/formula.hpp>
#include <dualtape/modes/calls/calls.hpp>

namespace dualtape::detail {
namespace {

using Id = ElementSets::Id;

// Of an operator that says nothing: every element of the results depends on every active one.
std::vector<SetIds> dense(const SparsityCall& call) {
  SetIds all;
  for (std::size_t i = 0; i < call.in.size(); ++i)
    if (call.active(i)) all.insert(all.end(), call.ids(i).begin(), call.ids(i).end());
  const Id id = call.sets.unite(all);
  std::vector<SetIds> out;
  for (std::size_t k = 0; k < call.node.out.size(); ++k)
    out.emplace_back(static_cast<std::size_t>(call.count_out(k)), id);
  return out;
}

// Elements of operand i that are known to have no part in the result: factors of a product that are
// constant zeros, and what a constant mask does not choose.
std::optional<std::vector<bool>> left_out(const SparsityCall& call, std::size_t i) {
  const std::string_view name = call.node.op.name();
  const bool product = name == "mul" && !call.active(1 - i);
  const bool choice = name == "where" && i > 0;
  if (!product && !choice) return std::nullopt;
  const std::optional<Tensor> value =
      product ? call.values.constant(call.node.in[1 - i]) : call.values.decided(call.node.in[0]);
  if (!value) return std::nullopt;
  const Tensor numbers = value->to(float64);
  const auto data = numbers.data<double>();
  const double without = choice && i == 2 ? 1 : 0;
  if (std::ranges::find(data, without) == data.end()) return std::nullopt;
  std::vector<bool> out;
  for (const std::int64_t from : broadcast_places(value->shape(), call.node.out[0].shape()))
    out.push_back(data[static_cast<std::size_t>(from)] == without);
  return out;
}

}  // namespace

SetIds unite_elementwise(const SparsityCall& call) {
  SetIds out = call.empty_out();
  const Shape& shape = call.node.out[0].shape();
  for (std::size_t i = 0; i < call.in.size(); ++i) {
    if (!call.active(i)) continue;
    const SetIds& ids = call.ids(i);
    const std::optional<std::vector<bool>> without = left_out(call, i);
    const bool same = call.node.in[i].shape() == shape;
    const std::vector<std::int64_t> places =
        same ? std::vector<std::int64_t>() : broadcast_places(call.node.in[i].shape(), shape);
    for (std::size_t e = 0; e < out.size(); ++e)
      if (!without || !(*without)[e])
        out[e] = call.sets.unite(out[e], ids[same ? e : static_cast<std::size_t>(places[e])]);
  }
  return out;
}

// A function's body is walked with what its arguments carry; over members, one after the other.
OutputSets SparsityMode::called(const SparsityCall& call) {
  const Attributes& attributes = call.node.attributes;
  const auto& function = attributes.get<std::shared_ptr<const Function>>("function");
  const bool loops = attributes.has("members");
  const std::int64_t members = loops ? attributes.get<std::int64_t>("members") : 1;
  const Ints same = loops ? attributes.get<Ints>("same") : Ints{};
  std::vector<SetIds> made(call.node.out.size());
  auto& graph = const_cast<Graph&>(function->graph());
  KnownValues values(graph);
  for (std::int64_t member = 0; member < members; ++member) {
    std::vector<Var> inputs;
    std::vector<SharedSetIds> states;
    for (std::size_t i = 0; i < call.in.size(); ++i) {
      if (!call.active(i)) continue;
      inputs.push_back(function->inputs()[i]);
      const bool whole =
          !loops || std::ranges::find(same, static_cast<std::int64_t>(i)) != same.end();
      const std::int64_t count = inputs.back().shape().count();
      const auto first = call.ids(i).begin() + (whole ? 0 : member * count);
      states.push_back(std::make_shared<SetIds>(first, first + count));
    }
    SparsityMode mode(call.sets, values);
    const std::vector<MaybeState> out = mode.run(graph, inputs, states, function->outputs());
    for (std::size_t k = 0; k < out.size(); ++k) {
      const auto count = static_cast<std::size_t>(function->outputs()[k].shape().count());
      const SetIds part = out[k] ? **out[k] : SetIds(count, ElementSets::none);
      made[k].insert(made[k].end(), part.begin(), part.end());
    }
  }
  return made;
}

std::vector<SparsityMode::MaybeState> SparsityMode::found(const NodeView& node,
                                                          std::span<const MaybeState> in) {
  const SparsityCall call{node, in, sets_, values_};
  OutputSets sets;
  if (node.op.recording() != nullptr)
    sets = of_one_output(unite_elementwise(call));
  else if (node.op.is_alias())
    return {in[0]};
  else if (&node.op == &call_operator())
    sets = called(call);
  else
    sets = sets_by_rule(call);
  if (!sets) sets = dense(call);
  std::vector<MaybeState> out;
  for (std::size_t k = 0; k < sets->size(); ++k) {
    const bool moves = is_floating(node.out[k].dtype());
    out.emplace_back(moves ? MaybeState(std::make_shared<SetIds>(std::move((*sets)[k])))
                           : std::nullopt);
  }
  return out;
}

}  // namespace dualtape::detail
