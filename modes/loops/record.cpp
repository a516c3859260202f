// Reverse mode through loops, the first half: what is put on the tape.
#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include <dualtape/core/leaves.hpp>
#include <dualtape/modes/loops/dual.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/modes/walk/arithmetic.hpp>
#include <dualtape/modes/walk/copy.hpp>

namespace dualtape::detail {
namespace {

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
    Graph& graph = x[0].graph();
    GraphCopy values(values_graph(), graph);
    const std::vector<std::size_t> in = moving_.moving_inputs();
    std::vector<Var> directions(in.size());
    std::size_t next = 0;
    const auto set_moving = [&](auto belongs) {
      for (std::size_t k = 0; k < in.size(); ++k)
        if (belongs(in[k])) directions[k] = x[next++];
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
    const std::vector<MaybeVar> along = copy_of_entries(
        *linearized_, directions, graph, [&](Var var) { return values.copy(std::array{var})[0]; });
    std::vector<Var> results;
    for (const std::size_t i : moving_.moving_outputs()) {
      const Type& type = outputs_[i].type();
      const MaybeVar& one = along[results.size()];
      results.push_back(one ? broadcast_as(*one, type.shape) : zeros_in(graph, type));
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
          return copy.copy(joined({outputs_, found_.stacked}));
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

}  // namespace

std::vector<MaybeVar> tangents_on_tape(const Loop& loop, const NodeView& node,
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
      apply_loop(linear, joined({count, carried, sliced, read, constant, same}));
  return spread(loop, moving.outputs, found);
}

}  // namespace dualtape::detail
