// Reverse mode through loops, the second half: the transpose of a linear loop.
#include <algorithm>
#include <string>

#include <dualtape/core/composite.hpp>
#include <dualtape/modes/loops/dual.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/modes/walk/arithmetic.hpp>
#include <dualtape/ops/arithmetic.hpp>

namespace dualtape::detail {
namespace {

// Inputs of a linear body, by what they are.
struct LinearInputs {
  std::vector<std::size_t> sliced;    // linear
  std::vector<std::size_t> constant;  // linear
  std::vector<std::size_t> read;      // coefficients that are sliced
  std::vector<std::size_t> same;      // and constant

  explicit LinearInputs(const Loop& loop) {
    for (std::size_t i = loop.carried; i < loop.body->inputs().size(); ++i) {
      const bool linear = loop.is_linear(loop.first() + i);
      if (loop.is_sliced(i))
        (linear ? sliced : read).push_back(i);
      else
        (linear ? constant : same).push_back(i);
    }
  }
};

FunctionPtr transposed_body(const Loop& loop, const LinearInputs& inputs) {
  const Function& f = *loop.body;
  std::vector<Type> types;
  const auto add_inputs = [&](const std::vector<std::size_t>& list) {
    for (const std::size_t i : list) types.push_back(f.inputs()[i].type());
  };
  for (std::size_t i = 0; i < loop.carried; ++i) types.push_back(f.inputs()[i].type());
  add_inputs(inputs.constant);
  for (std::size_t i = loop.carried; i < f.outputs().size(); ++i)
    types.push_back(f.outputs()[i].type());
  add_inputs(inputs.read);
  add_inputs(inputs.same);
  const auto body = [&](std::span<const Var> x) {
    std::vector<Var> full(f.inputs().size());
    std::vector<Wrt> wrt;
    std::size_t next = loop.carried + inputs.constant.size() + loop.stacked();
    for (const std::size_t i : inputs.read) full[i] = x[next++];
    for (const std::size_t i : inputs.same) full[i] = x[next++];
    for (std::size_t i = 0; i < full.size(); ++i) {
      if (full[i].defined()) continue;
      const Type& type = f.inputs()[i].type();
      full[i] = x[0].graph().constant(zeros(type.shape, type.dtype, f.where()), f.where());
      wrt.emplace_back(full[i], f.where());
    }
    const auto first = x.begin();
    std::vector<Var> cotangents(first, first + static_cast<std::ptrdiff_t>(loop.carried));
    const auto stacked = first + static_cast<std::ptrdiff_t>(loop.carried + inputs.constant.size());
    cotangents.insert(cotangents.end(), stacked,
                      stacked + static_cast<std::ptrdiff_t>(loop.stacked()));
    const std::vector<Var> outputs = f.inlined(full, f.where());
    const std::vector<Var> found =
        vjp(outputs, wrt, cotangents, Unreachable::zero, f.where()).all();
    // In the order of the inputs: carried, sliced, constant.
    const auto of = [&](std::size_t i) { return found[i]; };
    std::vector<Var> results;
    for (std::size_t i = 0; i < loop.carried; ++i) results.push_back(of(i));
    const Composite line("scan", {In(x[0], f.where())});
    for (std::size_t k = 0; k < inputs.constant.size(); ++k)
      results.push_back(x[loop.carried + k] + of(loop.carried + inputs.sliced.size() + k));
    for (std::size_t k = 0; k < inputs.sliced.size(); ++k) results.push_back(of(loop.carried + k));
    return results;
  };
  return Function::make("transpose of " + f.name(), types, body, f.where());
}

}  // namespace

std::vector<Var> loop_transposed(const Loop& loop, const NodeView& node,
                                 std::span<const MaybeVar> cotangents) {
  const auto arrived =
      std::ranges::find_if(cotangents, [](const MaybeVar& c) { return c.has_value(); });
  if (arrived == cotangents.end()) return {};
  Graph& graph = (*arrived)->graph();
  const LinearInputs inputs(loop);
  const auto zero = [&](const Type& type) {
    return graph.constant(zeros(type.shape, type.dtype, loop.body->where()), loop.body->where());
  };
  std::vector<Var> operands;
  if (loop.counted) operands.push_back(node.in[0]);
  const auto cotangent = [&](std::size_t k) {
    return cotangents[k] ? broadcast_as(*cotangents[k], loop.output_type(k).shape)
                         : zero(loop.output_type(k));
  };
  for (std::size_t k = 0; k < loop.carried; ++k) operands.push_back(cotangent(k));
  for (const std::size_t i : inputs.constant) operands.push_back(zero(loop.operand_type(i)));
  for (std::size_t k = loop.carried; k < loop.body->outputs().size(); ++k)
    operands.push_back(cotangent(k));
  for (const std::size_t i : inputs.read) operands.push_back(node.in[loop.first() + i]);
  for (const std::size_t i : inputs.same) operands.push_back(node.in[loop.first() + i]);

  Loop back;
  back.carried = loop.carried + inputs.constant.size();
  back.sliced = loop.stacked() + inputs.read.size();
  back.length = loop.length;
  back.backward = !loop.backward;
  back.counted = loop.counted;
  for (std::size_t i = 0; i < back.carried + loop.stacked(); ++i)
    back.linear.push_back(static_cast<std::int64_t>(back.first() + i));
  std::string key = "transposed" + layout_of(loop);
  for (const std::int64_t i : loop.linear) key += " " + std::to_string(i);
  back.body = loop.body->derived(
      key, [&] { return transposed_body(loop, inputs); }, loop.body->where());
  const std::vector<Var> out = apply_loop(back, operands);
  std::vector<Var> found(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(loop.carried));
  found.insert(found.end(), out.begin() + static_cast<std::ptrdiff_t>(back.carried), out.end());
  found.insert(found.end(), out.begin() + static_cast<std::ptrdiff_t>(loop.carried),
               out.begin() + static_cast<std::ptrdiff_t>(back.carried));
  return found;
}

}  // namespace dualtape::detail
