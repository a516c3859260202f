// The pass that runs two products of one right operand as one.
#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include <dualtape/core/leaves.hpp>
#include <dualtape/core/plan/rename.hpp>
#include <dualtape/ops/passes/passes.hpp>
#include <dualtape/ops/passes/planned_products.hpp>

namespace dualtape::detail {
namespace {

// Finds products of one right operand, and runs the first with the second where that is possible.
class Stacker {
 public:
  explicit Stacker(Plan& plan) : plan_(plan), facts_(plan.values.size()) {}

  void run() {
    for (std::size_t n = 0; n < plan_.nodes.size(); ++n) note_node(n);
    for (const ValueId v : plan_.outputs) facts_[v].pinned = true;
    for (const PlanAssign& a : plan_.assigns) facts_[a.value].pinned = true;
    for (const auto& [first, second] : plan_.adjacent)
      facts_[first].pinned = facts_[second].pinned = true;
    using Operand = std::pair<ValueId, bool>;  // the right one, and whether it is transposed
    std::map<Operand, std::size_t> waiting;
    for (std::size_t n = 0; n < plan_.nodes.size(); ++n) {
      if (!is_candidate(plan_.nodes[n])) continue;
      const PlanNode& node = plan_.nodes[n];
      const auto [place, is_new] = waiting.try_emplace(
          {plan_.operands_of(node)[1], node.attributes.get<bool>("transpose_b")}, n);
      if (is_new) continue;
      if (stack(place->second, n))
        waiting.erase(place);
      else
        place->second = n;
    }
    rename_results();
    std::erase_if(plan_.nodes, [](const PlanNode& node) { return node.op == nullptr; });
  }

 private:
  struct Fact {
    std::size_t made = 0;                                   // at this node
    std::size_t first_read = static_cast<std::size_t>(-1);  // by this node
    bool pinned = true;  // its place in memory is not the pass's to choose
  };

  void note_node(std::size_t n) {
    const PlanNode& node = plan_.nodes[n];
    for (ValueId v = node.first_value; v < node.first_value + node.value_count; ++v)
      facts_[v] = {n, static_cast<std::size_t>(-1), is_leaf(*node.op) || node.op->is_alias()};
    for (const ValueId v : plan_.operands_of(node)) {
      facts_[v].first_read = std::min(facts_[v].first_read, n);
      if (node.op->is_alias()) facts_[v].pinned = true;
    }
  }

  // Beyond 256 rows each the product gains nothing by more of them, and small right operands are
  // read from cache anyway.
  bool is_candidate(const PlanNode& node) const {
    if (node.op == nullptr || node.op->name() != "matmul" ||
        node.attributes.get<bool>("transpose_a"))
      return false;
    const auto in = plan_.operands_of(node);
    const Shape& a = plan_.values[in[0]].shape;
    const Shape& b = plan_.values[in[1]].shape;
    return a.rank() == 2 && b.rank() == 2 && a[0] > 1 && a[0] <= 256 &&
           std::min(b[0], b[1]) >= 32 && b.count() >= 128 * 128 && may_pair(in[0]) &&
           may_pair(node.first_value);
  }
  bool may_pair(ValueId value) const {
    return !facts_[value].pinned && bytes_of(plan_.values[value]) % arena_alignment == 0;
  }

  // Runs the product at `early` where the one at `late` stands, if nobody reads its result before.
  bool stack(std::size_t early, std::size_t late) {
    PlanNode& first = plan_.nodes[early];
    PlanNode& second = plan_.nodes[late];
    const auto left = plan_.operands_of(first);
    const ValueId a = left[0];
    const ValueId b = left[1];
    const ValueId other = plan_.operands_of(second)[0];
    if (a == other || plan_.values[a] != plan_.values[other] || !may_pair(a) ||
        facts_[first.first_value].first_read <= late)
      return false;
    const auto results = static_cast<ValueId>(plan_.values.size());
    const Type type = plan_.values[first.first_value];
    plan_.values.insert(plan_.values.end(), {type, type});
    replacement_.emplace_back(first.first_value, results);
    replacement_.emplace_back(second.first_value, results + 1);
    plan_.adjacent.emplace_back(a, other);
    plan_.adjacent.emplace_back(results, results + 1);
    facts_[a].pinned = facts_[other].pinned = true;
    second.op = &stacked_matmul_op();
    second.attributes = {{"transpose_b", second.attributes.get<bool>("transpose_b")}};
    second.first_operand = static_cast<std::uint32_t>(plan_.operands.size());
    second.operand_count = 3;
    plan_.operands.insert(plan_.operands.end(), {a, other, b});
    second.first_value = results;
    second.value_count = 2;
    first.op = nullptr;
    return true;
  }
  void rename_results() {
    if (replacement_.empty()) return;
    std::vector<ValueId> now = identity(plan_);
    for (const auto& [before, after] : replacement_) now[before] = after;
    rename(plan_, now);
  }

  Plan& plan_;
  std::vector<Fact> facts_;
  std::vector<std::pair<ValueId, ValueId>> replacement_;
};

}  // namespace

void stack_products(Plan& plan) { Stacker(plan).run(); }

}  // namespace dualtape::detail
