#include <dualtape/modes/reverse.hpp>

#include <unordered_map>

#include <dualtape/core/base/enumeration.hpp>
#include <dualtape/core/leaves.hpp>
#include <dualtape/modes/walk/arithmetic.hpp>
#include <dualtape/modes/walk/dependence.hpp>

namespace dualtape {
namespace {

// Forward mode whose tangents live on the tape. What its rules compute from primals alone are
// coefficients: nodes of the graph itself, run as late as possible.
class TapeMode : public ForwardMode {
 public:
  TapeMode(Graph& graph, Graph& tape) : ForwardMode(graph), tape_(&tape) {}

 protected:
  void visit(const Node& node, const std::function<void()>& rule) override {
    const Graph::Emitting coefficients(
        graph(), {no_node, Role::coefficient, node.where, node.label, node.scope, node.op});
    const Graph::Emitting entries(
        *tape_, {node.origin, Role::tangent, node.where, node.label, node.scope, node.op});
    rule();
  }

 private:
  Graph* tape_;
};

// Cotangents by tape entry while the tape is played backwards.
class Cotangents {
 public:
  Cotangents(Graph& tape) : tape_(&tape), first_(tape.size()) {}

  void add(Ref ref, Var cotangent) {
    MaybeVar& sum = ref.output == 0 ? first_[ref.node] : later_[key(ref)];
    sum = detail::add_scaled(
        sum, 1.0, detail::sum_to(cotangent, tape_->node(ref.node).type(ref.output).shape));
  }
  MaybeVar get(Ref ref) const {
    if (ref.output == 0) return first_[ref.node];
    const auto it = later_.find(key(ref));
    return it == later_.end() ? MaybeVar{} : it->second;
  }

 private:
  static std::uint64_t key(Ref ref) { return (std::uint64_t{ref.node} << 32) | ref.output; }
  Graph* tape_;
  std::vector<MaybeVar> first_;
  std::unordered_map<std::uint64_t, MaybeVar> later_;
};

}  // namespace

struct Linearized::Impl {
  GraphHandle handle;  // of the graph, which may end before
  std::unique_ptr<Graph> tape;
  std::vector<Var> inputs;   // primal
  std::vector<Var> entries;  // the inputs' tangents on the tape
  std::vector<Var> outputs;
  std::vector<MaybeVar> output_entries;

  Graph& graph() const { return *handle.get(); }  // impl() has seen that it lives
  void play(Cotangents& cotangents) const;
  void transpose_entry(NodeId id, Cotangents& cotangents) const;
};

Linearized::Linearized(const std::vector<Var>& outputs, const WrtList& wrt, Location where)
    : impl_(std::make_unique<Impl>()) {
  Impl& impl = *impl_;
  if (outputs.empty())
    fail<GraphError>({.op = "Linearized",
                      .what = "there are no outputs",
                      .where = where,
                      .help = "list the Vars to differentiate, at least one"});
  Graph& graph = detail::require_one_graph(outputs, "reverse", "outputs", where);
  if (graph.parent(where) != nullptr)
    fail<GraphError>({.op = "reverse",
                      .what = "the Vars of a scratch graph cannot be differentiated backwards",
                      .where = where});
  impl.handle = graph.handle();
  impl.tape = std::make_unique<Graph>(graph, where);
  impl.outputs = outputs;
  impl.inputs = wrt.in(graph, "reverse", where);
  for (std::size_t i = 0; i < wrt.size(); ++i)
    impl.entries.push_back(impl.tape->input("d" + std::to_string(i), impl.inputs[i].shape(),
                                            impl.inputs[i].dtype(), where));
  TapeMode mode(graph, *impl.tape);
  impl.output_entries = mode.run(graph, impl.inputs, impl.entries, outputs, where);
}

Linearized::Linearized(Linearized&&) noexcept = default;
Linearized& Linearized::operator=(Linearized&&) noexcept = default;
Linearized::~Linearized() = default;
const Linearized::Impl& Linearized::impl(Location where) const {
  if (impl_ != nullptr && impl_->handle.get() != nullptr) return *impl_;
  fail<GraphError>({.op = "Linearized",
                    .what = impl_ == nullptr ? "this object was moved from"
                                             : "the graph it was made from has ended",
                    .where = where,
                    .help = impl_ == nullptr ? "use what it was moved to"
                                             : "keep the Graph for as long as its derivatives"});
}
const Graph& Linearized::tape(Location where) const { return *impl(where).tape; }
const std::vector<Var>& Linearized::input_entries(Location where) const {
  return impl(where).entries;
}
const std::vector<MaybeVar>& Linearized::output_entries(Location where) const {
  return impl(where).output_entries;
}

std::vector<MaybeVar> Linearized::transpose(std::span<const MaybeVar> cotangents,
                                            Location where) const {
  const Impl& impl = this->impl(where);
  if (cotangents.size() != impl.outputs.size())
    fail<GraphError>({.op = "vjp",
                      .what = std::to_string(impl.outputs.size()) + " outputs but " +
                              std::to_string(cotangents.size()) + " cotangents",
                      .where = where,
                      .help = "give one for each output, std::nullopt for none"});
  Cotangents sums(*impl.tape);
  const auto ref_of = [](Var var) { return Ref{var.id(), var.output(), false}; };
  {
    const Graph::Emitting emitting(impl.graph(), {own_place, Role::cotangent, {}, 0, 0, nullptr});
    for (std::size_t i = 0; i < cotangents.size(); ++i) {
      if (!cotangents[i]) continue;
      detail::require_alive(*cotangents[i], "vjp", "a cotangent", where);
      if (cotangents[i]->graph_id() != impl.handle.id())
        fail<GraphError>({.op = "vjp",
                          .label = impl.outputs[i].label(),
                          .what = "the cotangent, " + detail::place_of(*cotangents[i]) +
                                  ", belongs to another graph than the output, " +
                                  detail::place_of(impl.outputs[i]),
                          .where = where,
                          .help = "make the cotangent on the graph of the output"});
      if (cotangents[i]->type() != impl.outputs[i].type())
        fail<ShapeError>({.op = "vjp",
                          .label = impl.outputs[i].label(),
                          .what = "the output is " + to_string(impl.outputs[i].type()) +
                                  ", its cotangent is " + to_string(cotangents[i]->type()),
                          .where = where,
                          .help = "a cotangent has the shape and dtype of its output"});
      if (impl.output_entries[i]) sums.add(ref_of(*impl.output_entries[i]), *cotangents[i]);
    }
  }
  impl.play(sums);
  std::vector<MaybeVar> result;
  for (const Var& entry : impl.entries) result.push_back(sums.get(ref_of(entry)));
  return result;
}

void Linearized::Impl::play(Cotangents& cotangents) const {
  for (auto id = static_cast<NodeId>(tape->size()); id-- > 0;) {
    const Node& entry = tape->node(id);
    if (entry.input_count == 0) continue;
    const Graph::Emitting emitting(
        graph(), {own_place, Role::cotangent, entry.where, entry.label, entry.scope, entry.op});
    transpose_entry(id, cotangents);
  }
}

void Linearized::Impl::transpose_entry(NodeId id, Cotangents& cotangents) const {
  const Node& entry = tape->node(id);
  std::vector<MaybeVar> arriving;
  bool any = false;
  for (std::uint32_t i = 0; i < entry.output_count; ++i) {
    arriving.push_back(cotangents.get({id, i, false}));
    any = any || arriving.back();
  }
  if (!any) return;
  std::vector<Var> in;
  for (const Ref& ref : entry.inputs()) in.push_back(tape->var(ref));
  const NodeView view{*entry.op, in, {}, entry.attributes};
  if (entry.op->kind() == Kind::elementwise) {
    for (std::size_t i = 0; i < in.size(); ++i) {
      if (entry.input_refs[i].outer) continue;
      if (const MaybeVar scaled = detail::add_scaled({}, entry.op->partial(view, i), *arriving[0]))
        cotangents.add(entry.input_refs[i], *scaled);
    }
    return;
  }
  std::vector<bool> wanted;
  for (const Ref& ref : entry.inputs()) wanted.push_back(!ref.outer);
  const std::vector<MaybeVar> found = entry.op->transpose_all(view, wanted, arriving);
  for (std::size_t i = 0; i < in.size(); ++i)
    if (wanted[i] && found[i]) cotangents.add(entry.input_refs[i], *found[i]);
}

Gradients vjp(const std::vector<Var>& outputs, const WrtList& wrt,
              const std::vector<Var>& cotangents, Unreachable unreachable, Location where) {
  if (outputs.empty() || outputs.size() != cotangents.size())
    fail<GraphError>({.op = "vjp",
                      .what = std::to_string(outputs.size()) + " outputs but " +
                              std::to_string(cotangents.size()) + " cotangents",
                      .where = where,
                      .help = "give one cotangent for each output, and at least one output"});
  detail::require_listed("reverse", "Unreachable", unreachable, 2,
                         "Unreachable::error or Unreachable::zero", where);
  const Linearized linear(outputs, wrt, where);
  const std::vector<MaybeVar> seeds(cotangents.begin(), cotangents.end());
  const std::vector<MaybeVar> found = linear.transpose(seeds, where);
  Graph& graph = outputs.front().graph();
  Gradients gradients;
  for (std::size_t i = 0; i < wrt.size(); ++i) {
    const Var input = wrt[i].in(graph, "reverse", where);
    if (!found[i] && unreachable == Unreachable::error) {
      const std::string cut = detail::cut_between(input, outputs.front());
      fail<DerivativeError>(
          {.op = "reverse",
           .label = input.label(),
           .what = "the output " + detail::place_of(outputs.front()) + "," +
                   (cut.empty() ? " does not depend on it, so its gradient is zero"
                                : " depends on it only through " + cut +
                                      ", whose derivative is zero, and so is its gradient"),
           .where = where,
           .help = "leave it out of the list, or pass Unreachable::zero"});
    }
    gradients.add(wrt[i], input, found[i] ? *found[i] : detail::zeros_like(input));
  }
  return gradients;
}

Gradients reverse(Var loss, const WrtList& wrt, Unreachable unreachable, Location where) {
  detail::require_alive(loss, "reverse", "the loss", where);
  if (loss.shape().count() != 1)
    fail<ShapeError>(
        {.op = "reverse",
         .label = loss.label(),
         .what = "a gradient is of one number, but the loss is " + to_string(loss.type()),
         .where = where,
         .help = "reduce it with sum or mean, or use vjp with a cotangent"});
  if (!is_floating(loss.dtype()))
    fail<TypeError>({.op = "reverse",
                     .label = loss.label(),
                     .what = "the loss is " + to_string(loss.type()) + ", which has no derivative",
                     .where = where});
  const Var one = detail::broadcast_as(loss.graph().constant(1.0, loss.dtype()), loss.shape());
  return vjp({loss}, wrt, {one}, unreachable, where);
}

}  // namespace dualtape
