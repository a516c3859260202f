// The pass that runs updates early.
#include <algorithm>
#include <unordered_map>

#include <dualtape/core/leaves.hpp>
#include <dualtape/core/plan.hpp>
#include <dualtape/core/plan/index.hpp>

namespace dualtape {
namespace {

// Nodes run in the order they came, but for those that only assignments need:
//   eager  as soon as they can: new values of parameters, and what frees more than it takes
//   late   right before their first reader: what is computed from leaves, single numbers and the
//          like again, and so frees nothing
class Hastener {
 public:
  explicit Hastener(Plan& plan)
      : plan_(plan),
        count_(plan.nodes.size()),
        index_(plan),
        for_output_(count_),
        kinds_(count_, Kind::in_turn),
        waits_for_(count_),
        done_(count_),
        placed_(count_) {}

  void run() {
    sort_into_kinds();
    link();
    for (std::uint32_t n = 0; n < count_; ++n)
      if (kinds_[n] == Kind::late && waits_for_[n] == 0) finish(n);
    for (turn_ = 0; turn_ < count_; ++turn_)
      if (waits_for_[turn_] == 0) finish(turn_);
    for (std::uint32_t n = 0; n < count_; ++n) place(n);
    std::vector<PlanNode> sorted;
    sorted.reserve(count_);
    for (const std::uint32_t n : order_) sorted.push_back(std::move(plan_.nodes[n]));
    plan_.nodes = std::move(sorted);
  }

 private:
  enum class Kind : std::uint8_t { in_turn, eager, late };
  struct Edge {
    std::uint32_t before;
    std::uint32_t after;
  };

  static std::vector<ValueId> values_of(const PlanNode& node) {
    std::vector<ValueId> values;
    for (std::uint32_t i = 0; i < node.value_count; ++i) values.push_back(node.first_value + i);
    return values;
  }

  void sort_into_kinds() {
    std::vector<bool> wanted(plan_.values.size());
    for (const ValueId v : plan_.outputs) wanted[v] = true;
    for (std::size_t n = count_; n-- > 0;) {
      const PlanNode& node = plan_.nodes[n];
      for_output_[n] = std::ranges::any_of(values_of(node), [&](ValueId v) { return wanted[v]; });
      if (for_output_[n])
        for (const ValueId v : plan_.operands_of(node)) wanted[v] = true;
      else
        kinds_[n] = Kind::late;  // or eager; see below
    }
    std::vector<bool> assigned(plan_.values.size());
    for (const PlanAssign& a : plan_.assigns) assigned[a.value] = true;
    std::vector<bool> from_nothing(plan_.values.size());  // leaves and late values
    for (std::size_t n = 0; n < count_; ++n) {
      const PlanNode& node = plan_.nodes[n];
      const auto values = values_of(node);
      if (kinds_[n] != Kind::in_turn && !is_leaf(*node.op)) {
        const bool is_assigned =
            std::ranges::any_of(values, [&](ValueId v) { return assigned[v]; });
        std::size_t freed = 0;
        std::size_t taken = 0;
        bool late = true;
        for (const ValueId v : plan_.operands_of(node)) {
          if (!from_nothing[v]) freed += bytes_of(plan_.values[v]);
          late = late && (from_nothing[v] || plan_.values[v].shape.count() <= 1);
        }
        for (const ValueId v : values) taken += bytes_of(plan_.values[v]);
        if (is_assigned)
          kinds_[n] = Kind::eager;
        else if (!late)
          kinds_[n] = taken <= freed ? Kind::eager : Kind::in_turn;
      }
      for (const ValueId v : values) from_nothing[v] = is_leaf(*node.op) || kinds_[n] == Kind::late;
    }
  }

  // Which nodes wait for which: for their operands, and a new value of a parameter for the readers
  // of the old one and for kernels that can fail. Of those that only assignments need, some might
  // depend on the new value; such come after it in the plan.
  void link() {
    std::vector<Edge> edges;
    std::unordered_map<std::size_t, std::vector<std::uint32_t>> readers;  // by Parameter::hash
    std::vector<std::size_t> read(plan_.values.size());  // the parameter a value's memory is of
    std::unordered_map<ValueId, std::size_t> written;
    for (const PlanAssign& a : plan_.assigns) written.emplace(a.value, a.parameter.hash());
    constexpr auto none = static_cast<std::uint32_t>(-1);
    std::uint32_t last_failing = none;  // of the nodes that outputs need
    std::uint32_t last_failing_update = none;
    for (std::uint32_t n = 0; n < count_; ++n) {
      const PlanNode& node = plan_.nodes[n];
      const auto operands = plan_.operands_of(node);
      if (node.op == &parameter_op())
        read[node.first_value] = node.attributes.get<Parameter>("parameter").hash();
      if (node.op->is_alias()) read[node.first_value] = read[operands[0]];
      for (const ValueId v : operands) edges.push_back({index_.producer(v), n});
      if (is_leaf(*node.op) || node.op->is_alias()) continue;
      for (const ValueId v : operands)
        if (read[v] != 0) readers[read[v]].push_back(n);
      if (for_output_[n] && node.op->can_fail()) last_failing = n;
    }
    for (std::uint32_t n = 0; n < count_; ++n) {
      const PlanNode& node = plan_.nodes[n];
      if (for_output_[n] || is_leaf(*node.op) || node.op->is_alias()) continue;
      for (const ValueId v : values_of(node)) {
        const auto write = written.find(v);
        if (write == written.end()) continue;
        for (const std::uint32_t failing : {last_failing, last_failing_update})
          if (failing != none) edges.push_back({failing, n});
        for (const std::uint32_t reader : readers[write->second])
          if (reader < n || (for_output_[reader] && reader != n)) edges.push_back({reader, n});
      }
      if (!node.op->can_fail()) continue;
      if (last_failing_update != none) edges.push_back({last_failing_update, n});
      last_failing_update = n;
    }
    first_.assign(count_ + 1, 0);
    for (const Edge& edge : edges) ++first_[edge.before + 1];
    for (std::size_t n = 0; n < count_; ++n) first_[n + 1] += first_[n];
    waiting_.resize(edges.size());
    std::vector<std::size_t> next(first_.begin(), first_.end() - 1);
    for (const Edge& edge : edges) {
      waiting_[next[edge.before]++] = edge.after;
      ++waits_for_[edge.after];
    }
  }

  // Runs the node now, and what was waiting for it and need not wait for its turn. A late node is
  // only said to be there whenever it is wanted.
  void finish(std::uint32_t node) {
    std::vector<std::uint32_t> ready{node};
    for (std::size_t i = 0; i < ready.size(); ++i) {
      const std::uint32_t n = ready[i];
      if (done_[n]) continue;
      done_[n] = true;
      if (kinds_[n] != Kind::late) place(n);
      for (std::size_t e = first_[n]; e < first_[n + 1]; ++e) {
        const std::uint32_t after = waiting_[e];
        if (--waits_for_[after] == 0 && (kinds_[after] != Kind::in_turn || after < turn_))
          ready.push_back(after);
      }
    }
  }
  // Late operands first.
  void place(std::uint32_t node) {
    std::vector<std::uint32_t> stack{node};
    while (!stack.empty()) {
      const std::uint32_t n = stack.back();
      const std::size_t height = stack.size();
      if (!placed_[n])
        for (const ValueId v : plan_.operands_of(plan_.nodes[n]))
          if (const std::uint32_t made = index_.producer(v); !placed_[made]) stack.push_back(made);
      if (stack.size() != height) continue;
      stack.pop_back();
      if (placed_[n]) continue;
      placed_[n] = true;
      order_.push_back(n);
    }
  }

  Plan& plan_;
  std::size_t count_;
  detail::PlanIndex index_;
  std::vector<bool> for_output_;  // of each node: an output needs it
  std::vector<Kind> kinds_;
  std::uint32_t turn_ = 0;                // the node whose turn it is
  std::vector<std::size_t> first_;        // of each node, in waiting_
  std::vector<std::uint32_t> waiting_;    // the nodes that wait for it
  std::vector<std::uint32_t> waits_for_;  // how many nodes each still waits for
  std::vector<bool> done_;
  std::vector<bool> placed_;
  std::vector<std::uint32_t> order_;
};

}  // namespace

void hasten(Plan& plan) {
  if (!plan.assigns.empty()) Hastener(plan).run();
}

}  // namespace dualtape
