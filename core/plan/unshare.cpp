// The pass that gives outputs and assigned values memory of their own.
#include <algorithm>
#include <unordered_map>

#include <dualtape/core/kept.hpp>
#include <dualtape/core/leaves.hpp>
#include <dualtape/core/plan.hpp>
#include <dualtape/core/plan/index.hpp>

namespace dualtape {
namespace {

class CopyOp : public Op {
 public:
  CopyOp() {
    info_.name = "copy";
    info_.doc = "the same elements in memory of their own";
    info_.kind = Kind::linear;
  }
  const OpInfo& info() const override { return info_; }
  void infer(Inference& inference) const override { inference.out = {inference.in[0]}; }
  Kernel kernel(const KernelRequest& request) const override {
    const std::size_t bytes = bytes_of(request.out[0]);
    return {[bytes](const KernelArgs& args) {
              const auto* from = args.input<std::byte>(0);
              std::copy(from, from + bytes, args.output<std::byte>());
            },
            0};
  }
  std::vector<Case> cases() const override { return {}; }

 private:
  OpInfo info_;
};

const Op& copy_op() {
  static const detail::Kept<CopyOp> op;
  return op.value;
}

}  // namespace

void unshare(Plan& plan) {
  const detail::PlanIndex index(plan);
  // Whether a value shares memory with a leaf.
  const auto foreign = [&](ValueId value) {
    return is_leaf(*plan.nodes[index.producer(index.root(value))].op);
  };
  std::vector<bool> taken(plan.values.size());
  const auto own = [&](ValueId value) {
    if (const ValueId root = index.root(value); !foreign(value) && !taken[root]) {
      taken[root] = true;
      return value;
    }
    PlanNode copy;
    copy.op = &copy_op();
    copy.first_operand = static_cast<std::uint32_t>(plan.operands.size());
    copy.operand_count = 1;
    copy.value_count = 1;
    copy.first_value = static_cast<ValueId>(plan.values.size());
    plan.operands.push_back(value);
    const Type type = plan.values[value];
    plan.values.push_back(type);
    plan.nodes.push_back(copy);
    return copy.first_value;
  };
  std::unordered_map<ValueId, ValueId> output_of;  // one value asked for twice is one output
  for (ValueId& v : plan.outputs) {
    const auto [it, is_new] = output_of.try_emplace(v, v);
    if (is_new) it->second = own(v);
    v = it->second;
  }
  // An assigned value may share memory with an output: both are only read at the end.
  for (PlanAssign& a : plan.assigns)
    if (foreign(a.value)) a.value = own(a.value);
}

}  // namespace dualtape
