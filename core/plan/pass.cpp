#include <dualtape/core/pass.hpp>

#include <algorithm>
#include <cassert>
#include <limits>

#include <dualtape/core/leaves.hpp>
#include <dualtape/core/plan/check_options.hpp>
#include <dualtape/core/plan/library.hpp>
#include <dualtape/core/plan/rename.hpp>

namespace dualtape {
namespace {

constexpr auto unseen = std::numeric_limits<std::uint32_t>::max();

void check_names(const CompileOptions& options, Location where) {
  for (const std::string& name : options.without) {
    const auto found = std::ranges::find(passes(), name, &Pass::name);
    if (found != passes().end() && found->optional) continue;
    std::string known;
    for (const Pass& pass : passes())
      if (pass.optional) known += (known.empty() ? "" : ", ") + std::string(pass.name);
    fail<GraphError>({.op = "compile",
                      .what = found == passes().end()
                                  ? "there is no pass '" + name + "' to leave out"
                                  : "the pass '" + name + "' cannot be left out",
                      .where = where,
                      .help = "the passes that can be left out are " + known});
  }
}

}  // namespace

Plan optimised_plan(std::span<const Var> outputs, std::span<const Assign> assigns,
                    const CompileOptions& options, Location where) {
  detail::check_numbers("optimised_plan", options, where);
  check_names(options, where);
  Plan plan = make_plan(outputs, assigns, where);
  plan.options = options;
  for (const Pass& pass : passes())
    if (std::ranges::find(options.without, pass.name) == options.without.end()) pass.run(plan);
  return plan;
}

std::span<const Pass> passes() { return detail::library().passes; }

Rewriter::Rewriter(Plan& plan)
    : plan_(plan),
      producer_(plan.values.size(), unseen),
      uses_(plan.values.size()),
      replacement_(detail::identity(plan)) {
  for (const PlanNode& node : plan.nodes)
    for (const ValueId v : plan.operands_of(node)) ++uses_[v];
  for (const ValueId v : plan.outputs) ++uses_[v];
  for (const PlanAssign& a : plan.assigns) ++uses_[a.value];
}

std::size_t Rewriter::sweep(std::span<const Rule> rules) {
  std::vector<PlanNode> nodes = std::move(plan_.nodes);
  plan_.nodes.clear();
  done_.reserve(nodes.size());
  std::size_t count = 0;
  for (PlanNode& node : nodes) {
    for (ValueId& v : plan_.operands_of(node)) v = replacement_[v];
    current_ = std::move(node);
    replaced_ = false;
    for (const Rule& rule : rules)
      if (rule(*this, current_)) break;
    if (replaced_) {
      ++count;
      continue;
    }
    for (ValueId v = current_.first_value; v < current_.first_value + current_.value_count; ++v)
      producer_[v] = static_cast<std::uint32_t>(done_.size());
    done_.push_back(std::move(current_));
  }
  plan_.nodes = std::move(done_);
  detail::rename(plan_, replacement_);
  return count;
}

const PlanNode* Rewriter::producer(ValueId value) const {
  const std::uint32_t place = producer_[value];
  return place == unseen ? nullptr : &done_[place];
}
const PlanNode* Rewriter::producer(ValueId value, std::string_view op) const {
  const PlanNode* const node = producer(value);
  return node != nullptr && node->op->name() == op ? node : nullptr;
}
std::span<const ValueId> Rewriter::operands(const PlanNode& node) const {
  return plan_.operands_of(node);
}

const Tensor* Rewriter::constant(ValueId value) const {
  const PlanNode* const node = producer(value);
  if (node == nullptr || node->op != &constant_op()) return nullptr;
  return &node->attributes.get<Tensor>("value");
}

bool Rewriter::is_constant(ValueId value, double number) const {
  const Tensor* const tensor = constant(value);
  if (tensor == nullptr || tensor->count() == 0) return false;
  return dispatch(tensor->dtype(), [&]<class T>() {
    return std::ranges::all_of(tensor->data<T>(),
                               [&](T x) { return static_cast<double>(x) == number; });
  });
}

ValueId Rewriter::add(const Op& op, Attributes attributes,
                      std::initializer_list<ValueId> operands) {
  return add(op, std::move(attributes), std::span(operands.begin(), operands.size()));
}

ValueId Rewriter::add(const Op& op, Attributes attributes, std::span<const ValueId> operands) {
  std::vector<const Type*> types;
  for (const ValueId v : operands) types.push_back(&plan_.values[v]);
  Inference inference(op, types, attributes, current_.where, {});
  op.infer(inference);
  assert(inference.out.size() == 1);
  return add_laid_out(op, std::move(attributes), operands, std::move(inference.out[0]));
}

ValueId Rewriter::add_laid_out(const Op& op, Attributes attributes,
                               std::span<const ValueId> operands, Type type) {
  PlanNode node = current_;
  node.op = &op;
  node.attributes = std::move(attributes);
  node.first_operand = static_cast<std::uint32_t>(plan_.operands.size());
  node.operand_count = static_cast<std::uint32_t>(operands.size());
  node.value_count = 1;
  node.first_value = static_cast<ValueId>(plan_.values.size());
  plan_.operands.insert(plan_.operands.end(), operands.begin(), operands.end());
  plan_.values.push_back(std::move(type));
  replacement_.push_back(node.first_value);
  producer_.push_back(static_cast<std::uint32_t>(done_.size()));
  done_.push_back(std::move(node));
  return done_.back().first_value;
}

void Rewriter::replace_by(ValueId value) {
  assert(current_.value_count == 1);
  assert(plan_.values[value] == plan_.values[current_.first_value]);
  replacement_[current_.first_value] = value;
  replaced_ = true;
}

void rewrite(Plan& plan, std::span<const Rewriter::Rule> rules, int sweeps) {
  for (int i = 0; i < sweeps; ++i)
    if (Rewriter(plan).sweep(rules) == 0) break;
  eliminate_dead(plan);
}

}  // namespace dualtape
