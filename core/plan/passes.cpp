// The passes from plan to plan. Each leaves a plan that computes the same outputs.
#include <algorithm>
#include <numeric>
#include <unordered_map>

#include <dualtape/core/kept.hpp>
#include <dualtape/core/leaves.hpp>
#include <dualtape/core/machine/denormals.hpp>
#include <dualtape/core/plan.hpp>
#include <dualtape/core/plan/rename.hpp>

namespace dualtape {

void eliminate_dead(Plan& plan) {
  std::vector<bool> needed_value(plan.values.size());
  for (const ValueId v : plan.outputs) needed_value[v] = true;
  for (const PlanAssign& a : plan.assigns) needed_value[a.value] = true;
  std::vector<bool> keep(plan.nodes.size());
  for (std::size_t n = plan.nodes.size(); n-- > 0;) {
    const PlanNode& node = plan.nodes[n];
    for (ValueId v = node.first_value; v < node.first_value + node.value_count; ++v)
      if (needed_value[v]) keep[n] = true;
    if (keep[n])
      for (const ValueId v : plan.operands_of(node)) needed_value[v] = true;
  }
  std::size_t kept = 0;
  for (std::size_t n = 0; n < plan.nodes.size(); ++n) {
    if (!keep[n]) continue;
    if (kept != n) plan.nodes[kept] = std::move(plan.nodes[n]);
    ++kept;
  }
  plan.nodes.resize(kept);
}

namespace {

std::size_t hash_of(const Plan& plan, const PlanNode& node) {
  std::size_t h = std::hash<const void*>{}(node.op) ^ (node.attributes.hash() * 31);
  for (const ValueId v : plan.operands_of(node)) {
    h = (h ^ v) * 0x9E3779B97F4A7C15u;
    h ^= h >> 29;
  }
  return h;
}

}  // namespace

namespace detail {

std::vector<ValueId> identity(const Plan& plan) {
  std::vector<ValueId> map(plan.values.size());
  std::iota(map.begin(), map.end(), ValueId{0});
  return map;
}

void rename(Plan& plan, const std::vector<ValueId>& replacement) {
  for (ValueId& v : plan.operands) v = replacement[v];
  for (ValueId& v : plan.outputs) v = replacement[v];
  for (PlanAssign& a : plan.assigns) a.value = replacement[a.value];
  for (auto& [first, second] : plan.adjacent) {
    first = replacement[first];
    second = replacement[second];
  }
}

}  // namespace detail

using detail::identity;

void merge_common(Plan& plan) {
  std::vector<ValueId> replacement = identity(plan);
  std::unordered_multimap<std::size_t, std::size_t> seen;
  seen.reserve(plan.nodes.size());
  for (std::size_t n = 0; n < plan.nodes.size(); ++n) {
    const PlanNode& node = plan.nodes[n];
    for (ValueId& v : plan.operands_of(node)) v = replacement[v];
    if (!node.op->is_pure()) continue;
    const std::size_t hash = hash_of(plan, node);
    bool merged = false;
    for (auto [it, end] = seen.equal_range(hash); it != end && !merged; ++it) {
      const PlanNode& other = plan.nodes[it->second];
      if (other.op != node.op || other.attributes != node.attributes ||
          !std::ranges::equal(plan.operands_of(other), plan.operands_of(node)))
        continue;
      for (std::uint32_t i = 0; i < node.value_count; ++i)
        replacement[node.first_value + i] = other.first_value + i;
      merged = true;
    }
    if (!merged) seen.emplace(hash, n);
  }
  detail::rename(plan, replacement);
  eliminate_dead(plan);
}

void fold_constants(Plan& plan) {
  const detail::FlushDenormals as_in_a_run;
  // Larger results than these operands or than this many bytes stay computed, not stored.
  constexpr std::size_t small = 1 << 12;
  std::vector<const Tensor*> known(plan.values.size(), nullptr);
  bool changed = false;
  for (PlanNode& node : plan.nodes) {
    if (node.op == &constant_op()) {
      known[node.first_value] = &node.attributes.get<Tensor>("value");
      continue;
    }
    const auto operands = plan.operands_of(node);
    if (operands.empty() || !node.op->is_pure() || node.value_count != 1) continue;
    if (!std::ranges::all_of(operands, [&](ValueId v) { return known[v] != nullptr; })) continue;
    std::size_t operand_bytes = small;
    std::vector<Type> in;
    std::vector<const void*> in_data;
    for (const ValueId v : operands) {
      operand_bytes = std::max(operand_bytes, known[v]->bytes());
      in.push_back(plan.values[v]);
      in_data.push_back(known[v]->raw());
    }
    const Type out = plan.values[node.first_value];
    if (bytes_of(out) > operand_bytes) continue;
    Tensor result = Tensor::uninitialised(out);
    if (node.op->is_alias()) {
      result = known[operands[0]]->reshape(out.shape);
    } else {
      const Kernel kernel = node.op->kernel({in, {&out, 1}, node.attributes, plan.options});
      const Tensor workspace(Shape{static_cast<std::int64_t>(kernel.workspace_bytes / 8 + 8)},
                             float64);
      void* out_data = result.raw();
      try {
        kernel.run({in_data.data(), &out_data, const_cast<void*>(workspace.raw())});
      } catch (const ValueError&) {
        continue;  // the run will report it, with its place
      }
    }
    node.op = &constant_op();
    node.attributes = Attributes{{"value", result}};
    node.operand_count = 0;
    known[node.first_value] = &node.attributes.get<Tensor>("value");
    changed = true;
  }
  if (changed) eliminate_dead(plan);
}

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

void copy_shared(Plan& plan) {
  // The leaf each value shares memory with, if any.
  std::vector<bool> foreign(plan.values.size());
  std::vector<ValueId> root = identity(plan);
  for (const PlanNode& node : plan.nodes) {
    if (is_leaf(*node.op)) foreign[node.first_value] = true;
    if (node.op->is_alias()) root[node.first_value] = root[plan.operands_of(node)[0]];
  }
  std::vector<bool> taken(plan.values.size());
  const auto own = [&](ValueId value) {
    if (!foreign[root[value]] && !taken[root[value]]) {
      taken[root[value]] = true;
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
    if (foreign[root[a.value]]) a.value = own(a.value);
}

void schedule(Plan& plan) {
  const std::size_t count = plan.nodes.size();
  std::vector<std::uint32_t> producer(plan.values.size());
  for (std::size_t n = 0; n < count; ++n)
    for (std::uint32_t i = 0; i < plan.nodes[n].value_count; ++i)
      producer[plan.nodes[n].first_value + i] = static_cast<std::uint32_t>(n);
  // A node's place is its origin's, or earlier where a reader needs it earlier; so no operand comes
  // after its reader, and ties keep the graph's order.
  std::vector<NodeId> place(count, no_node);
  for (std::size_t n = count; n-- > 0;) {
    const PlanNode& node = plan.nodes[n];
    place[n] = std::min(place[n], node.origin);
    for (const ValueId v : plan.operands_of(node))
      place[producer[v]] = std::min(place[producer[v]], place[n]);
  }
  std::vector<std::uint32_t> order(count);
  for (std::uint32_t n = 0; n < count; ++n) order[n] = n;
  std::ranges::stable_sort(order, {}, [&](std::uint32_t n) { return place[n]; });
  std::vector<PlanNode> sorted;
  sorted.reserve(count);
  for (const std::uint32_t n : order) sorted.push_back(std::move(plan.nodes[n]));
  plan.nodes = std::move(sorted);
}

namespace {

// Whether the node may write `value`, one of its outputs, over the parameter it reads.
bool may_write_over(const Plan& plan, const PlanNode& node, ValueId value,
                    const Parameter& parameter, const std::vector<const PlanNode*>& root) {
  const auto operands = plan.operands_of(node);
  for (std::size_t i = 0; i < operands.size(); ++i) {
    const PlanNode& read = *root[operands[i]];
    if (read.op != &parameter_op() || read.attributes.get<Parameter>("parameter") != parameter)
      continue;
    if (!node.op->in_place(i, value - node.first_value) ||
        plan.values[operands[i]] != plan.values[value])
      return false;
  }
  return true;
}

}  // namespace

void assign_in_place(Plan& plan) {
  if (plan.assigns.empty()) return;
  const std::size_t count = plan.nodes.size();
  std::vector<const PlanNode*> root(plan.values.size());   // what made the memory of each value
  std::vector<ValueId> memory = identity(plan);            // the value whose memory each one shares
  std::vector<std::size_t> step(plan.values.size());       // when it is computed
  std::unordered_map<std::size_t, std::size_t> last_read;  // of each parameter, by Parameter::hash
  std::size_t safe = 0;                                    // from here on no kernel throws
  for (std::size_t n = 0; n < count; ++n) {
    const PlanNode& node = plan.nodes[n];
    const auto operands = plan.operands_of(node);
    for (ValueId v = node.first_value; v < node.first_value + node.value_count; ++v) {
      root[v] = node.op->is_alias() ? root[operands[0]] : &node;
      if (node.op->is_alias()) memory[v] = memory[operands[0]];
      step[v] = n;
    }
    const bool runs = !node.op->is_alias() && node.op != &input_op() && node.op != &constant_op() &&
                      node.op != &parameter_op();
    if (!runs) continue;
    if (node.op->can_fail()) safe = n + 1;
    for (const ValueId v : operands)
      if (root[v]->op == &parameter_op())
        last_read[root[v]->attributes.get<Parameter>("parameter").hash()] = n;
  }
  std::vector<bool> taken(plan.values.size());
  for (const ValueId v : plan.outputs) taken[memory[v]] = true;
  for (PlanAssign& a : plan.assigns) {
    const PlanNode& node = plan.nodes[step[a.value]];
    const auto read = last_read.find(a.parameter.hash());
    a.in_place = !taken[a.value] && step[a.value] >= safe && !node.op->can_fail() &&
                 (read == last_read.end() || read->second <= step[a.value]) &&
                 may_write_over(plan, node, a.value, a.parameter, root);
    taken[a.value] = true;
  }
}

}  // namespace dualtape
