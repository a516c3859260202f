#include <dualtape/core/leaves.hpp>

#include <algorithm>

#include <dualtape/core/kept.hpp>

namespace dualtape {
namespace {

constexpr std::string_view leaf_reason = "a leaf has no operands";

class Leaf : public Op {
 public:
  Leaf(std::string_view name, std::string_view doc, bool pure) : pure_(pure) {
    info_.name = name;
    info_.doc = doc;
    info_.kind = Kind::zero_derivative;
    info_.reason = leaf_reason;
  }
  const OpInfo& info() const override { return info_; }
  Kernel kernel(const KernelRequest&) const override {
    fail<GraphError>({.op = name(), .what = "a leaf has no kernel: programs bind its memory"});
  }
  std::vector<Case> cases() const override { return {}; }
  bool is_pure() const override { return pure_; }

 private:
  OpInfo info_;
  bool pure_;
};

class InputOp : public Leaf {
 public:
  InputOp() : Leaf("input", "a value fed at each run", false) {}
  void infer(Inference& inference) const override {
    inference.out = {
        {inference.attributes.get<Shape>("shape"), inference.attributes.get<DType>("dtype")}};
  }
};
class ConstantOp : public Leaf {
 public:
  ConstantOp() : Leaf("constant", "a fixed tensor", true) {}
  void infer(Inference& inference) const override {
    inference.out = {inference.attributes.get<Tensor>("value").type()};
  }
};
class ParameterOp : public Leaf {
 public:
  ParameterOp() : Leaf("parameter", "the value of a Parameter at the start of the run", false) {}
  void infer(Inference& inference) const override {
    inference.out = {inference.attributes.get<Parameter>("parameter").type()};
  }
};

}  // namespace

const Op& input_op() {
  static const detail::Kept<InputOp> op;
  return op.value;
}
const Op& constant_op() {
  static const detail::Kept<ConstantOp> op;
  return op.value;
}
const Op& parameter_op() {
  static const detail::Kept<ParameterOp> op;
  return op.value;
}

bool is_zero_constant(Var var) {
  // Whatever is linear in one operand, a broadcast or a reshape, leaves zero zero.
  while (var.node().op->kind() == Kind::linear && var.node().input_count == 1)
    var = var.graph().var(var.node().input_refs[0]);
  if (var.node().op != &constant_op()) return false;
  const auto& value = var.node().attributes.get<Tensor>("value");
  return dispatch(value.dtype(), [&]<class T>() {
    const auto data = value.data<T>();
    return std::all_of(data.begin(), data.end(), [](T x) { return x == T(0); });
  });
}

}  // namespace dualtape
