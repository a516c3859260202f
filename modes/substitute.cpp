#include <dualtape/modes/substitute.hpp>

#include <algorithm>
#include <array>
#include <string>

#include <dualtape/modes/batching.hpp>
#include <dualtape/modes/mode.hpp>
#include <dualtape/modes/walk/arithmetic.hpp>
#include <dualtape/modes/walk/dependence.hpp>

namespace dualtape {
namespace {

// The state of a Var is what stands in its place.
class Substitution : public Mode<Var> {
 public:
  explicit Substitution(Graph& graph) : graph_(graph) {}

 protected:
  std::vector<MaybeVar> elementwise(const NodeView& node, std::span<const MaybeVar> in) override {
    std::vector<Var> operands(node.in.begin(), node.in.end());
    for (std::size_t i = 0; i < in.size(); ++i)
      if (in[i]) operands[i] = *in[i];
    return detail::apply_again(node, operands);
  }
  std::vector<MaybeVar> linear(const NodeView& node, std::span<const MaybeVar> in) override {
    return elementwise(node, in);
  }
  std::vector<MaybeVar> bilinear(const NodeView& node, std::span<const MaybeVar> in) override {
    return elementwise(node, in);
  }
  std::vector<MaybeVar> general(const NodeView& node, std::span<const MaybeVar> in) override {
    return elementwise(node, in);
  }
  std::vector<MaybeVar> zero_derivative(const NodeView& node,
                                        std::span<const MaybeVar> in) override {
    return elementwise(node, in);
  }
  std::vector<MaybeVar> not_differentiable(const NodeView& node,
                                           std::span<const MaybeVar> in) override {
    return elementwise(node, in);
  }
  bool carries(const Op&) const override { return true; }
  void visit(const Node& node, const std::function<void()>& rule) override {
    const Graph::Emitting emitting(
        graph_, {own_place, node.role, node.where, node.label, node.scope, node.op});
    rule();
  }

 private:
  Graph& graph_;
};

}  // namespace

std::vector<Var> substitute(const std::vector<Var>& outputs, const std::vector<Var>& before,
                            const std::vector<Var>& now, Location where) {
  if (outputs.empty()) return {};
  Graph& graph = detail::require_one_graph(outputs, "substitute", "outputs", where);
  if (before.size() != now.size())
    fail<GraphError>({.op = "substitute",
                      .what = std::to_string(now.size()) + " Vars in the place of " +
                              std::to_string(before.size()),
                      .where = where,
                      .help = "give one for each"});
  for (std::size_t i = 0; i < before.size(); ++i) {
    detail::require_alive(before[i], "substitute", "a Var to replace", where);
    detail::require_alive(now[i], "substitute", "a Var in its place", where);
    detail::require_one_graph(std::array{before[i], now[i]}, "substitute", "Vars", where);
    const std::string label = before[i].label();
    const Complaint complaint{
        .op = "substitute",
        .label = label,
        .what = to_string(now[i].type()) + " in the place of " + to_string(before[i].type()),
        .where = where,
        .help = "give a Var of its shape and dtype"};
    if (before[i].shape() != now[i].shape()) fail<ShapeError>(complaint);
    if (before[i].dtype() != now[i].dtype()) fail<TypeError>(complaint);
  }
  for (std::size_t i = 0; i < before.size(); ++i)
    if (std::ranges::count(before, before[i]) > 1)
      fail<GraphError>({.op = "substitute",
                        .label = before[i].label(),
                        .what = "one Var, " + detail::place_of(before[i]) + ", is replaced twice",
                        .where = where,
                        .help = "list it once"});
  Substitution mode(graph);
  const std::vector<MaybeVar> found = mode.run(graph, before, now, outputs, where);
  std::vector<Var> made;
  for (std::size_t i = 0; i < outputs.size(); ++i)
    made.push_back(found[i] ? *found[i] : outputs[i]);
  return made;
}

std::vector<Var> detail::stand_ins(std::span<const Var> vars, Location where) {
  std::vector<Var> made;
  for (const Var& var : vars)
    made.push_back(stand_in(require_alive(var, "functional", "an argument", where)));
  return made;
}

void detail::require_read(Var y, const std::vector<Var>& reads, Location where) {
  const std::vector<bool> read =
      ancestors_of(require_alive(y, "functional", "what the function returns", where));
  for (const Var& var : reads)
    if (var.id() >= read.size() || !read[var.id()])
      fail<GraphError>({.op = "functional",
                        .label = var.label(),
                        .what = "the function does not read the parameter '" + var.label() + "'",
                        .where = where,
                        .help = "list the parameters of the net that the function calls"});
}

}  // namespace dualtape
