// Derivatives of loops.
//
// Forward mode carries values and tangents through one loop, whose memory does not grow with the
// steps. The tape of reverse mode has a loop that is linear in the tangents; the coefficients that
// it reads come from a loop that computes the values once more and stacks them, in the place of the
// loop itself when the program is planned. What depends on the constants alone is computed once,
// outside. The transpose of a linear loop runs from the last step to the first: it carries the
// cotangents of the carried values, and the sums of those of the constants.
#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include <dualtape/core/leaves.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/loops/loop.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/modes/walk/arithmetic.hpp>
#include <dualtape/modes/walk/copy.hpp>
#include <dualtape/ops/arithmetic.hpp>

namespace dualtape::detail {
namespace {

std::vector<Var> concat(std::initializer_list<std::vector<Var>> lists) {
  std::vector<Var> all;
  for (const std::vector<Var>& list : lists) all.insert(all.end(), list.begin(), list.end());
  return all;
}

std::vector<Type> types_of(std::span<const Var> vars) {
  std::vector<Type> types;
  for (const Var& var : vars) types.push_back(var.type());
  return types;
}

// Which inputs and outputs of a loop's body have tangents.
struct Moving {
  std::vector<bool> inputs;
  std::vector<bool> outputs;

  // What moves before a step moves after it, and the other way round.
  Moving(const Loop& loop, std::span<const MaybeVar> tangents) {
    for (std::size_t i = loop.first(); i < tangents.size(); ++i)
      inputs.push_back(tangents[i].has_value());
    for (bool grows = true; grows;) {
      grows = false;
      outputs = reached_outputs(*loop.body, inputs, true);
      for (std::size_t i = 0; i < loop.carried; ++i) {
        if (outputs[i] && !inputs[i]) grows = inputs[i] = true;
        outputs[i] = outputs[i] || inputs[i];
      }
    }
  }
  std::string key() const {
    std::string text;
    for (const bool moves : inputs) text += moves ? '1' : '0';
    return text;
  }
  std::vector<std::size_t> moving_inputs() const { return marked(inputs, 0, inputs.size()); }
  static std::vector<std::size_t> marked(const std::vector<bool>& flags, std::size_t first,
                                         std::size_t last) {
    std::vector<std::size_t> found;
    for (std::size_t i = first; i < last; ++i)
      if (flags[i]) found.push_back(i);
    return found;
  }
};

std::string layout_of(const Loop& loop) {
  return " " + std::to_string(loop.carried) + " " + std::to_string(loop.sliced) + " ";
}

// Operand for input i of the body, or its tangent: zeros for a start that does not move.
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

// The tangents of the node's outputs, of which `moving` are in `found`, in their order.
std::vector<MaybeVar> spread(const Loop& loop, const std::vector<bool>& moving,
                             std::span<const Var> found) {
  std::vector<MaybeVar> result(loop.outputs());
  std::size_t next = 0;
  for (std::size_t i = 0; i < moving.size(); ++i)
    if (moving[i]) result[i] = found[next++];
  return result;
}

// Values and tangents in one loop ----------------------------------------------------------------

// Values before tangents in each of the three groups of operands, and in both of outputs.
class Dual {
 public:
  Dual(const Loop& loop, const Moving& moving)
      : loop_(loop),
        carried_(Moving::marked(moving.inputs, 0, loop.carried)),
        sliced_(Moving::marked(moving.inputs, loop.carried, loop.carried + loop.sliced)),
        constant_(Moving::marked(moving.inputs, loop.carried + loop.sliced, moving.inputs.size())),
        stacked_(Moving::marked(moving.outputs, loop.carried, moving.outputs.size())),
        moving_(moving) {}

  // A list of values, one for each input of the body, and their tangents, in the order of the dual
  // body's inputs.
  std::vector<Var> woven(std::span<const Var> x, std::span<const Var> dx) const {
    const std::size_t c = loop_.carried, s = loop_.sliced;
    const auto part = [](std::span<const Var> all, std::size_t first, std::size_t count) {
      return std::vector<Var>(all.begin() + static_cast<std::ptrdiff_t>(first),
                              all.begin() + static_cast<std::ptrdiff_t>(first + count));
    };
    return concat({part(x, 0, c), part(dx, 0, carried_.size()), part(x, c, s),
                   part(dx, carried_.size(), sliced_.size()), part(x, c + s, loop_.constants()),
                   part(dx, carried_.size() + sliced_.size(), constant_.size())});
  }
  Loop loop() const {
    Loop dual = loop_;
    dual.body = loop_.body->derived(
        "dual of" + layout_of(loop_) + moving_.key(), [this] { return body(); },
        loop_.body->where());
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
  // Of the dual loop's outputs, the tangents.
  std::vector<Var> tangents(const std::vector<Var>& out) const {
    std::vector<Var> found;
    for (std::size_t i = 0; i < carried_.size(); ++i) found.push_back(out[loop_.carried + i]);
    const std::size_t first = loop_.carried + carried_.size() + loop_.stacked();
    for (std::size_t i = 0; i < stacked_.size(); ++i) found.push_back(out[first + i]);
    return found;
  }

 private:
  std::size_t place_of_input(std::size_t i) const {
    if (loop_.is_carried(i)) return i;
    return i + carried_.size() + (loop_.is_sliced(i) ? 0 : sliced_.size());
  }
  std::size_t place_of_output(std::size_t i) const {
    return loop_.is_carried(i) ? i : i + carried_.size();
  }

  FunctionPtr body() const {
    const Function& f = *loop_.body;
    std::vector<Type> types;
    std::vector<Var> tangent_inputs;
    for (const std::size_t i : moving_.moving_inputs()) tangent_inputs.push_back(f.inputs()[i]);
    for (const Var& input : woven(f.inputs(), tangent_inputs)) types.push_back(input.type());
    return Function::make(
        "jvp of " + f.name(), types, [&](std::span<const Var> x) { return dual(f, x); }, f.where());
  }
  std::vector<Var> dual(const Function& f, std::span<const Var> x) const {
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
    const auto tangent = [&](std::size_t i) {
      return found[i] ? *found[i] : zeros_like(outputs[i]);
    };
    std::vector<Var> results(outputs.begin(),
                             outputs.begin() + static_cast<std::ptrdiff_t>(loop_.carried));
    for (const std::size_t i : carried_) results.push_back(tangent(i));
    results.insert(results.end(), outputs.begin() + static_cast<std::ptrdiff_t>(loop_.carried),
                   outputs.end());
    for (const std::size_t i : stacked_) results.push_back(tangent(i));
    return results;
  }

  const Loop& loop_;
  std::vector<std::size_t> carried_;  // inputs of the body that move
  std::vector<std::size_t> sliced_;
  std::vector<std::size_t> constant_;
  std::vector<std::size_t> stacked_;  // outputs that move
  const Moving& moving_;
};

std::vector<MaybeVar> in_one_loop(const Loop& loop, const NodeView& node,
                                  std::span<const MaybeVar> tangents, const Moving& moving) {
  const Dual dual(loop, moving);
  const std::vector<Var> directions = tangents_for(loop, node, tangents, moving.moving_inputs());
  std::vector<Var> operands(node.in.begin(),
                            node.in.begin() + static_cast<std::ptrdiff_t>(loop.first()));
  const std::vector<Var> woven = dual.woven(node.in.subspan(loop.first()), directions);
  operands.insert(operands.end(), woven.begin(), woven.end());
  const std::vector<Var> out = apply_loop(dual.loop(), operands);
  return spread(loop, moving.outputs, dual.tangents(out));
}

// A recording loop and a linear one --------------------------------------------------------------

// What the linear body reads of the values: where each coefficient comes from.
struct Coefficients {
  std::vector<Var> stacked;   // of the values' graph: one of each step
  std::vector<Var> slices;    // inputs of the body that are sliced
  std::vector<Var> constant;  // the same in every step
};

// The derivative of a body, in two functions and one for what is the same in every step.
struct Recorded {
  FunctionPtr recording;  // the body, with the stacked coefficients after what it stacks
  FunctionPtr linear;     // (tangents, coefficients) -> tangents
  FunctionPtr constant;   // the body's constants -> constant coefficients; null for none
  std::vector<std::size_t> sliced_inputs;  // of the body, that the linear one reads as well
  std::size_t stacked = 0;                 // coefficients
};

class Recorder {
 public:
  Recorder(const Loop& loop, const Moving& moving) : loop_(loop), moving_(moving) {
    const Function& f = *loop.body;
    for (std::size_t i = 0; i < f.inputs().size(); ++i)
      inputs_.push_back(values_.input("x" + std::to_string(i), f.inputs()[i].shape(),
                                      f.inputs()[i].dtype(), f.where()));
    outputs_ = f.inlined(inputs_, f.where());
    std::vector<Wrt> wrt;
    for (const std::size_t i : moving.moving_inputs()) wrt.emplace_back(inputs_[i], f.where());
    std::vector<Var> moved;
    for (std::size_t i = 0; i < outputs_.size(); ++i)
      if (moving.outputs[i]) moved.push_back(outputs_[i]);
    linearized_.emplace(moved, wrt, f.where());
    mark_constants();
  }

  Recorded recorded() {
    find_coefficients();
    const Function& f = *loop_.body;
    const std::string key = layout_of(loop_) + moving_.key();
    Recorded made;
    made.linear = f.derived(
        "linear" + key, [&] { return linear(); }, f.where());
    made.recording = f.derived(
        "recorded" + key, [&] { return recording(); }, f.where());
    if (!found_.constant.empty())
      made.constant = f.derived(
          "constants" + key, [&] { return constant(); }, f.where());
    for (const Var& slice : found_.slices)
      made.sliced_inputs.push_back(
          static_cast<std::size_t>(std::ranges::find(inputs_, slice) - inputs_.begin()));
    made.stacked = found_.stacked.size();
    return made;
  }

 private:
  bool is_constant(Var var) const { return constant_[var.id()]; }
  // What depends on the body's constants, or on nothing, alone. Coefficients are nodes of the
  // values' graph, too.
  void mark_constants() {
    literal_.resize(values_.size());
    for (NodeId id = 0; id < values_.size(); ++id) {
      const Node& node = values_.node(id);
      literal_[id] = node.op != &input_op() && all_operands(node, literal_);
    }
    constant_ = literal_;
    for (std::size_t i = loop_.carried + loop_.sliced; i < inputs_.size(); ++i)
      constant_[inputs_[i].id()] = true;
    for (NodeId id = 0; id < values_.size(); ++id) {
      const Node& node = values_.node(id);
      if (node.op != &input_op()) constant_[id] = all_operands(node, constant_);
    }
  }
  static bool all_operands(const Node& node, const std::vector<bool>& flags) {
    return std::ranges::all_of(node.inputs(), [&](const Ref& ref) { return flags[ref.node]; });
  }
  // What takes no more memory as an operand and no time to speak of.
  static bool computed_again(const Node& node) {
    return node.input_count == 1 && (node.op->is_alias() || node.op->name() == "broadcast_to");
  }
  Var source(Var var) const {
    while (computed_again(var.node())) var = values_graph().var(var.node().input_refs[0]);
    return var;
  }
  Graph& values_graph() const { return const_cast<Graph&>(values_); }

  void find_coefficients() {
    Graph& tape = const_cast<Graph&>(linearized_->tape());
    std::vector<bool> needed(tape.size());
    for (const MaybeVar& entry : linearized_->output_entries())
      if (entry) needed[entry->id()] = true;
    for (std::size_t id = tape.size(); id-- > 0;) {
      if (!needed[id]) continue;
      for (const Ref& ref : tape.node(static_cast<NodeId>(id)).inputs()) {
        if (!ref.outer)
          needed[ref.node] = true;
        else
          add(source(tape.var(ref)));
      }
    }
  }
  void add(Var var) {
    if (literal_[var.id()]) return;  // copied
    std::vector<Var>* list = &found_.stacked;
    const auto input = std::ranges::find(inputs_, var);
    if (is_constant(var))
      list = &found_.constant;
    else if (input != inputs_.end() &&
             loop_.is_sliced(static_cast<std::size_t>(input - inputs_.begin())))
      list = &found_.slices;
    if (std::ranges::find(*list, var) == list->end()) list->push_back(var);
  }

  FunctionPtr linear() const {
    const Function& f = *loop_.body;
    std::vector<Type> types;
    const auto entries = linearized_->input_entries();
    const std::vector<std::size_t> in = moving_.moving_inputs();
    const auto add_moving = [&](auto belongs) {
      for (std::size_t k = 0; k < in.size(); ++k)
        if (belongs(in[k])) types.push_back(entries[k].type());
    };
    const auto add_types = [&](const std::vector<Var>& vars) {
      for (const Var& var : vars) types.push_back(var.type());
    };
    add_moving([&](std::size_t i) { return loop_.is_carried(i); });
    add_moving([&](std::size_t i) { return loop_.is_sliced(i); });
    add_types(found_.stacked);
    add_types(found_.slices);
    add_moving([&](std::size_t i) { return i >= loop_.carried + loop_.sliced; });
    add_types(found_.constant);
    return Function::make(
        "linear " + f.name(), types, [&](std::span<const Var> x) { return replayed(x); },
        f.where());
  }
  std::vector<Var> replayed(std::span<const Var> x) const {
    Graph& tape = const_cast<Graph&>(linearized_->tape());
    Graph& graph = x[0].graph();
    GraphCopy entries(tape, graph);
    GraphCopy values(values_graph(), graph);
    const auto moving_entries = linearized_->input_entries();
    const std::vector<std::size_t> in = moving_.moving_inputs();
    std::size_t next = 0;
    const auto set_moving = [&](auto belongs) {
      for (std::size_t k = 0; k < in.size(); ++k)
        if (belongs(in[k])) entries.set(moving_entries[k], x[next++]);
    };
    const auto set_values = [&](const std::vector<Var>& vars) {
      for (const Var& var : vars) values.set(var, x[next++]);
    };
    set_moving([&](std::size_t i) { return loop_.is_carried(i); });
    set_moving([&](std::size_t i) { return loop_.is_sliced(i); });
    set_values(found_.stacked);
    set_values(found_.slices);
    set_moving([&](std::size_t i) { return i >= loop_.carried + loop_.sliced; });
    set_values(found_.constant);
    entries.outer([&](Var var) { return values.copy(std::array{var})[0]; });
    std::vector<Var> results;
    std::size_t entry = 0;
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      if (!moving_.outputs[i]) continue;
      const MaybeVar& out = linearized_->output_entries()[entry++];
      if (!out) {
        results.push_back(zeros_in(graph, outputs_[i].type()));
        continue;
      }
      const Var copy = entries.copy(std::array{Var(*out)})[0];
      results.push_back(broadcast_as(copy, outputs_[i].shape()));
    }
    return results;
  }
  static Var zeros_in(Graph& graph, const Type& type) {
    return broadcast_as(graph.constant(0.0, type.dtype), type.shape);
  }

  FunctionPtr recording() const {
    const Function& f = *loop_.body;
    return Function::make(
        "recorded " + f.name(), types_of(f.inputs()),
        [&](std::span<const Var> x) {
          GraphCopy copy(values_graph(), x[0].graph());
          for (std::size_t i = 0; i < inputs_.size(); ++i) copy.set(inputs_[i], x[i]);
          return copy.copy(concat({outputs_, found_.stacked}));
        },
        f.where());
  }
  FunctionPtr constant() const {
    const Function& f = *loop_.body;
    const std::size_t first = loop_.carried + loop_.sliced;
    const std::vector<Type> types = types_of(std::span(f.inputs()).subspan(first));
    return Function::make(
        "constants of " + f.name(), types,
        [&](std::span<const Var> x) {
          GraphCopy copy(values_graph(), x[0].graph());
          for (std::size_t i = first; i < inputs_.size(); ++i) copy.set(inputs_[i], x[i - first]);
          return copy.copy(found_.constant);
        },
        f.where());
  }

  const Loop& loop_;
  const Moving& moving_;
  Graph values_;
  std::vector<Var> inputs_;
  std::vector<Var> outputs_;
  std::optional<Linearized> linearized_;
  std::vector<bool> literal_;   // by node of the values' graph: depends on nothing
  std::vector<bool> constant_;  // on the body's constants alone
  Coefficients found_;
};

// The loop that records, whose first outputs are those of `loop`.
Loop recording_loop(const Loop& loop, const Recorded& recorded) {
  Loop made = loop;
  made.body = recorded.recording;
  made.linear.clear();
  made.primal = loop.body;
  made.primal_operands.clear();
  made.primal_outputs.clear();
  for (std::size_t i = 0; i < loop.operands(); ++i)
    made.primal_operands.push_back(static_cast<std::int64_t>(i));
  for (std::size_t i = 0; i < loop.body->outputs().size(); ++i)
    made.primal_outputs.push_back(static_cast<std::int64_t>(i));
  if (loop.stops)
    made.primal_outputs.push_back(static_cast<std::int64_t>(made.body->outputs().size()));
  return made;
}

std::vector<MaybeVar> on_tape(const Loop& loop, const NodeView& node,
                              std::span<const MaybeVar> tangents, const Moving& moving) {
  const Recorded recorded = Recorder(loop, moving).recorded();
  const std::vector<Var> values(node.in.begin(), node.in.end());
  const std::vector<Var> out = apply_loop(recording_loop(loop, recorded), values);

  const auto directions = [&](std::size_t first, std::size_t last) {
    return tangents_for(loop, node, tangents, Moving::marked(moving.inputs, first, last));
  };
  const std::size_t first_constant = loop.carried + loop.sliced;
  const std::vector<Var> carried = directions(0, loop.carried);
  const std::vector<Var> sliced = directions(loop.carried, first_constant);
  const std::vector<Var> constant = directions(first_constant, moving.inputs.size());
  const auto stacked = out.begin() + static_cast<std::ptrdiff_t>(loop.body->outputs().size());
  std::vector<Var> read(stacked, stacked + static_cast<std::ptrdiff_t>(recorded.stacked));
  for (const std::size_t i : recorded.sliced_inputs) read.push_back(values[loop.first() + i]);
  std::vector<Var> same;
  if (recorded.constant != nullptr)
    same = recorded.constant->inlined(std::span(values).subspan(loop.first() + first_constant),
                                      loop.body->where());
  std::vector<Var> count;
  if (loop.stops) count = {out.back()};
  if (loop.counted) count = {values[0]};

  Loop linear;
  linear.body = recorded.linear;
  linear.carried = carried.size();
  linear.sliced = sliced.size() + read.size();
  linear.length = loop.length;
  linear.backward = loop.backward;
  linear.counted = !count.empty();
  const auto add_linear = [&](std::size_t first, std::size_t n) {
    for (std::size_t i = first; i < first + n; ++i)
      linear.linear.push_back(static_cast<std::int64_t>(i));
  };
  add_linear(linear.first(), carried.size() + sliced.size());
  add_linear(linear.first() + linear.carried + linear.sliced, constant.size());
  const std::vector<Var> found =
      apply_loop(linear, concat({count, carried, sliced, read, constant, same}));
  return spread(loop, moving.outputs, found);
}

// The transpose ----------------------------------------------------------------------------------

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
    for (std::size_t k = 0; k < inputs.constant.size(); ++k)
      results.push_back(x[loop.carried + k] + of(loop.carried + inputs.sliced.size() + k));
    for (std::size_t k = 0; k < inputs.sliced.size(); ++k) results.push_back(of(loop.carried + k));
    return results;
  };
  return Function::make("transpose of " + f.name(), types, body, f.where());
}

}  // namespace

std::vector<bool> reached_outputs(const Function& function, const std::vector<bool>& inputs,
                                  bool by_derivative) {
  const Graph& graph = function.graph();
  std::vector<bool> reached(graph.size());
  const auto may_move = [&](const Type& type) { return !by_derivative || is_floating(type.dtype); };
  for (std::size_t i = 0; i < inputs.size(); ++i)
    reached[function.inputs()[i].id()] = inputs[i] && may_move(function.inputs()[i].type());
  for (NodeId id = 0; id < graph.size(); ++id) {
    const Node& node = graph.node(id);
    if (node.op == &input_op()) continue;
    if (by_derivative && node.op->kind() == Kind::zero_derivative) continue;
    reached[id] =
        std::ranges::any_of(node.inputs(), [&](const Ref& ref) { return reached[ref.node]; });
  }
  std::vector<bool> outputs;
  for (const Var& out : function.outputs())
    outputs.push_back(reached[out.id()] && may_move(out.type()));
  return outputs;
}

std::vector<MaybeVar> loop_tangents(const Loop& loop, const NodeView& node,
                                    std::span<const MaybeVar> tangents) {
  bool alone = !loop.linear.empty();
  bool tape = false;
  for (std::size_t i = 0; i < tangents.size(); ++i) {
    if (!tangents[i]) continue;
    alone = alone && loop.is_linear(i);
    tape = tape || tangents[i]->graph().parent() != nullptr;
  }
  if (alone) {
    std::vector<Var> operands(node.in.begin(), node.in.end());
    for (const std::int64_t i : loop.linear) {
      const auto at = static_cast<std::size_t>(i);
      operands[at] = tangents[at] ? *tangents[at] : zeros_like(node.in[at]);
    }
    const std::vector<Var> out = apply_loop(loop, operands);
    return {out.begin(), out.end()};
  }
  const Moving moving(loop, tangents);
  if (std::ranges::none_of(moving.outputs, [](bool moves) { return moves; }))
    return std::vector<MaybeVar>(loop.outputs());
  return tape ? on_tape(loop, node, tangents, moving) : in_one_loop(loop, node, tangents, moving);
}

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
