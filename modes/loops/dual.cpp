#include <dualtape/modes/loops/dual.hpp>

#include <algorithm>

#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/walk/arithmetic.hpp>

namespace dualtape::detail {

namespace {
std::vector<bool> present(const Loop& loop, std::span<const MaybeVar> tangents) {
  std::vector<bool> flags;
  for (std::size_t i = loop.first(); i < tangents.size(); ++i)
    flags.push_back(tangents[i].has_value());
  return flags;
}
}  // namespace

Moving::Moving(const Loop& loop, std::span<const MaybeVar> tangents)
    : Moving(loop, present(loop, tangents)) {}

Moving::Moving(const Loop& loop, std::vector<bool> moving_inputs)
    : inputs(std::move(moving_inputs)) {
  for (bool grows = true; grows;) {
    grows = false;
    outputs = reached_outputs(*loop.body, inputs, true);
    for (std::size_t i = 0; i < loop.carried; ++i) {
      if (outputs[i] && !inputs[i]) grows = inputs[i] = true;
      outputs[i] = outputs[i] || inputs[i];
    }
  }
}

std::string Moving::key() const {
  std::string text;
  for (const bool moves : inputs) text += moves ? '1' : '0';
  return text;
}

bool Moving::any_output() const {
  return std::ranges::any_of(outputs, [](bool moves) { return moves; });
}

std::vector<std::size_t> Moving::marked(const std::vector<bool>& flags, std::size_t first,
                                        std::size_t last) {
  std::vector<std::size_t> found;
  for (std::size_t i = first; i < last; ++i)
    if (flags[i]) found.push_back(i);
  return found;
}

std::string layout_of(const Loop& loop) {
  return " " + std::to_string(loop.carried) + " " + std::to_string(loop.sliced) + " ";
}

std::vector<Var> tangents_for(const Loop& loop, const NodeView& node,
                              std::span<const MaybeVar> tangents,
                              const std::vector<std::size_t>& inputs) {
  std::vector<Var> found;
  for (const std::size_t i : inputs) {
    const std::size_t operand = loop.first() + i;
    found.push_back(tangents[operand] ? *tangents[operand] : zeros_like(node.in[operand]));
  }
  return found;
}

std::vector<MaybeVar> spread(const Loop& loop, const std::vector<bool>& moving,
                             std::span<const Var> found) {
  std::vector<MaybeVar> result(loop.outputs());
  std::size_t next = 0;
  for (std::size_t i = 0; i < moving.size(); ++i)
    if (moving[i]) result[i] = found[next++];
  return result;
}

Dual::Dual(const Loop& loop, const Moving& moving)
    : loop_(loop),
      carried_(Moving::marked(moving.inputs, 0, loop.carried)),
      sliced_(Moving::marked(moving.inputs, loop.carried, loop.carried + loop.sliced)),
      constant_(Moving::marked(moving.inputs, loop.carried + loop.sliced, moving.inputs.size())),
      stacked_(Moving::marked(moving.outputs, loop.carried, moving.outputs.size())),
      moving_(moving) {}

std::vector<Var> Dual::woven(std::span<const Var> x, std::span<const Var> dx) const {
  const std::size_t c = loop_.carried, s = loop_.sliced;
  return joined({x.first(c), dx.first(carried_.size()), x.subspan(c, s),
                 dx.subspan(carried_.size(), sliced_.size()), x.subspan(c + s, loop_.constants()),
                 dx.subspan(carried_.size() + sliced_.size(), constant_.size())});
}

Loop Dual::loop() const {
  Loop dual = loop_;
  dual.body = loop_.body->derived(
      "dual of" + layout_of(loop_) + moving_.key(), [this] { return body(); }, loop_.body->where());
  dual.carried += carried_.size();
  dual.sliced += sliced_.size();
  dual.linear.clear();
  dual.primal = loop_.body;
  dual.primal_operands.clear();
  dual.primal_outputs.clear();
  if (loop_.counted) dual.primal_operands.push_back(0);
  for (std::size_t i = 0; i < loop_.body->inputs().size(); ++i)
    dual.primal_operands.push_back(static_cast<std::int64_t>(loop_.first() + place_of_input(i)));
  for (std::size_t i = 0; i < loop_.body->outputs().size(); ++i)
    dual.primal_outputs.push_back(static_cast<std::int64_t>(place_of_output(i)));
  if (loop_.stops)
    dual.primal_outputs.push_back(static_cast<std::int64_t>(dual.body->outputs().size()));
  return dual;
}

std::vector<Var> Dual::tangents(const std::vector<Var>& out) const {
  std::vector<Var> found;
  for (std::size_t i = 0; i < carried_.size(); ++i) found.push_back(out[loop_.carried + i]);
  const std::size_t first = loop_.carried + carried_.size() + loop_.stacked();
  for (std::size_t i = 0; i < stacked_.size(); ++i) found.push_back(out[first + i]);
  return found;
}

std::size_t Dual::place_of_input(std::size_t i) const {
  if (loop_.is_carried(i)) return i;
  return i + carried_.size() + (loop_.is_sliced(i) ? 0 : sliced_.size());
}

std::size_t Dual::place_of_output(std::size_t i) const {
  return loop_.is_carried(i) ? i : i + carried_.size();
}

FunctionPtr Dual::body() const {
  const Function& f = *loop_.body;
  std::vector<Type> types;
  std::vector<Var> tangent_inputs;
  for (const std::size_t i : moving_.moving_inputs()) tangent_inputs.push_back(f.inputs()[i]);
  for (const Var& input : woven(f.inputs(), tangent_inputs)) types.push_back(input.type());
  return Function::make(
      "jvp of " + f.name(), types, [&](std::span<const Var> x) { return dual(f, x); }, f.where());
}

std::vector<Var> Dual::dual(const Function& f, std::span<const Var> x) const {
  std::vector<Var> values(f.inputs().size());
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = x[place_of_input(i)];
  const std::vector<Var> outputs = f.inlined(values, f.where());
  std::vector<Wrt> wrt;
  std::vector<Var> directions;
  const auto add = [&](const std::vector<std::size_t>& inputs, std::size_t first) {
    for (std::size_t k = 0; k < inputs.size(); ++k) {
      wrt.emplace_back(values[inputs[k]], f.where());
      directions.push_back(x[first + k]);
    }
  };
  const std::size_t c = loop_.carried + carried_.size();
  const std::size_t s = loop_.sliced + sliced_.size();
  add(carried_, loop_.carried);
  add(sliced_, c + loop_.sliced);
  add(constant_, c + s + loop_.constants());
  const std::vector<MaybeVar> found = forward_all(outputs, wrt, directions, f.where());
  const auto tangent = [&](std::size_t i) { return found[i] ? *found[i] : zeros_like(outputs[i]); };
  std::vector<Var> results(outputs.begin(),
                           outputs.begin() + static_cast<std::ptrdiff_t>(loop_.carried));
  for (const std::size_t i : carried_) results.push_back(tangent(i));
  results.insert(results.end(), outputs.begin() + static_cast<std::ptrdiff_t>(loop_.carried),
                 outputs.end());
  for (const std::size_t i : stacked_) results.push_back(tangent(i));
  return results;
}

std::vector<Var> Dual::woven_outputs(std::span<const Var> y, std::span<const Var> dy) const {
  const std::size_t c = loop_.carried, dc = carried_.size();
  return joined({y.first(c), dy.first(dc), y.subspan(c), dy.subspan(dc)});
}

std::vector<MaybeVar> tangents_in_one_loop(const Loop& loop, const NodeView& node,
                                           std::span<const MaybeVar> tangents,
                                           const Moving& moving) {
  const Dual dual(loop, moving);
  const std::vector<Var> directions = tangents_for(loop, node, tangents, moving.moving_inputs());
  std::vector<Var> operands(node.in.begin(),
                            node.in.begin() + static_cast<std::ptrdiff_t>(loop.first()));
  const std::vector<Var> woven = dual.woven(node.in.subspan(loop.first()), directions);
  operands.insert(operands.end(), woven.begin(), woven.end());
  const std::vector<Var> out = apply_loop(dual.loop(), operands);
  return spread(loop, moving.outputs, dual.tangents(out));
}

}  // namespace dualtape::detail
