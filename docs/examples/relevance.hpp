// A backward mode: how much of an output is due to which element of the input.
//
// Layer-wise relevance propagation with the epsilon rule (Bach et al., PLoS ONE 10(7), 2015, eq.
// 60): what arrives at a sum is shared among its terms in proportion, and passes through functions
// of one operand unchanged. So all relevance that goes in comes out at inputs and biases. For nets
// of relu without biases it is gradient times input (Ancona et al., ICLR 2018, proposition 1).
#pragma once

#include <vector>

#include <dualtape/dualtape.hpp>

namespace relevance {
namespace dt = dualtape;
using dt::Var;

// [relevance]
class Relevance : public dt::BackwardMode<Var> {
 public:
  explicit Relevance(double epsilon = 1e-9) : epsilon_(epsilon) {}

 protected:
  using Wanted = std::vector<bool>;
  using Out = std::span<const dt::MaybeVar>;

  Var joined(const Var& a, const Var& b) override { return a + b; }

  std::vector<dt::MaybeVar> linear(const dt::NodeView& node, const Wanted& wanted,
                                   Out out) override {
    return times_operands(node, node.op.transpose_all(node, wanted, per_unit(node, out)));
  }
  std::vector<dt::MaybeVar> bilinear(const dt::NodeView& node, const Wanted& wanted,
                                     Out out) override {
    if (wanted[0] && wanted[1])
      dt::refuse_node(node, "relevance", "both factors depend on the inputs");
    return linear(node, wanted, out);
  }
  std::vector<dt::MaybeVar> elementwise(const dt::NodeView& node, const Wanted& wanted,
                                        Out out) override {
    if (node.in.size() == 1) return {out[0]};
    const Var share = *per_unit(node, out)[0];
    std::vector<dt::MaybeVar> in(node.in.size());
    for (std::size_t i = 0; i < in.size(); ++i) {
      if (!wanted[i]) continue;
      const dt::Factor slope = node.op.partial(node, i);
      in[i] = slope.is_literal() ? slope.literal() * share : slope.var() * share;
    }
    return times_operands(node, std::move(in));
  }
  // Gradient times operand, in proportion: the gradient of this node alone.
  std::vector<dt::MaybeVar> general(const dt::NodeView& node, const Wanted& wanted,
                                    Out out) override {
    std::vector<dt::Wrt> operands;
    for (std::size_t i = 0; i < wanted.size(); ++i)
      if (wanted[i]) operands.emplace_back(node.in[i]);
    const dt::Gradients slopes = dt::vjp({node.out[0]}, operands, {*per_unit(node, out)[0]});
    std::vector<dt::MaybeVar> in(wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i)
      if (wanted[i]) in[i] = slopes[node.in[i]];
    return times_operands(node, std::move(in));
  }
  void visit(const dt::Node& node, const std::function<void()>& rule) override {
    const dt::Graph::Emitting as(
        *graph_, {dt::own_place, dt::Role::cotangent, node.where, node.label, node.scope, node.op});
    rule();
  }
  void begin(dt::Graph& graph, dt::Location) override { graph_ = &graph; }

 private:
  // Relevance over value, which an epsilon of the value's sign keeps from dividing by 0.
  std::vector<dt::MaybeVar> per_unit(const dt::NodeView& node, Out out) const {
    std::vector<dt::MaybeVar> shares;
    for (std::size_t i = 0; i < out.size(); ++i) {
      const Var y = node.out[i];
      shares.push_back(out[i] ? dt::MaybeVar(*out[i] / (y + dt::where(y < 0, -epsilon_, epsilon_)))
                              : std::nullopt);
    }
    return shares;
  }
  static std::vector<dt::MaybeVar> times_operands(const dt::NodeView& node,
                                                  std::vector<dt::MaybeVar> shares) {
    for (std::size_t i = 0; i < shares.size(); ++i)
      if (shares[i]) shares[i] = node.in[i] * dt::sum_to_shape(*shares[i], node.in[i].shape());
    return shares;
  }
  double epsilon_;
  dt::Graph* graph_ = nullptr;
};
// [/relevance]

}  // namespace relevance
