// Where every value of a plan lives.
#include <algorithm>
#include <cassert>
#include <map>
#include <set>

#include <dualtape/core/leaves.hpp>
#include <dualtape/core/machine/kernel.hpp>
#include <dualtape/core/plan.hpp>

namespace dualtape {
namespace {

// Free ranges of the arena: best fit, neighbours joined. The arena grows when nothing fits.
class FreeList {
 public:
  std::size_t take(std::size_t bytes) {
    const auto fit = by_size_.lower_bound({bytes, 0});
    if (fit == by_size_.end()) return grow(bytes);
    const auto [size, offset] = *fit;
    remove(offset, size);
    if (size > bytes) insert(offset + bytes, size - bytes);
    return offset;
  }
  void give_back(std::size_t offset, std::size_t bytes) {
    const auto next = by_offset_.lower_bound(offset);
    if (next != by_offset_.end() && next->first == offset + bytes) {
      bytes += next->second;
      remove(next->first, next->second);
    }
    const auto after = by_offset_.lower_bound(offset);
    if (after != by_offset_.begin()) {
      const auto [before, size] = *std::prev(after);
      if (before + size == offset) {
        remove(before, size);
        offset = before;
        bytes += size;
      }
    }
    insert(offset, bytes);
  }
  std::size_t end() const { return end_; }

 private:
  std::size_t grow(std::size_t bytes) {
    std::size_t offset = end_;
    if (!by_offset_.empty()) {
      const auto [last, size] = *std::prev(by_offset_.end());
      if (last + size == end_) {
        offset = last;
        remove(last, size);
      }
    }
    end_ = offset + bytes;
    return offset;
  }
  void insert(std::size_t offset, std::size_t bytes) {
    by_offset_.emplace(offset, bytes);
    by_size_.emplace(bytes, offset);
  }
  void remove(std::size_t offset, std::size_t bytes) {
    by_offset_.erase(offset);
    by_size_.erase({bytes, offset});
  }

  std::map<std::size_t, std::size_t> by_offset_;
  std::set<std::pair<std::size_t, std::size_t>> by_size_;
  std::size_t end_ = 0;
};

std::size_t padded(std::size_t bytes) {
  static_assert(arena_alignment == 64);
  return detail::aligned(std::max<std::size_t>(bytes, 1));
}

std::vector<Category> categories(const Plan& plan) {
  std::vector<bool> direction(plan.values.size());
  std::vector<bool> for_output(plan.values.size());
  for (const ValueId v : plan.outputs) for_output[v] = true;
  for (std::size_t n = plan.nodes.size(); n-- > 0;) {
    const PlanNode& node = plan.nodes[n];
    bool wanted = false;
    for (ValueId v = node.first_value; v < node.first_value + node.value_count; ++v)
      wanted = wanted || for_output[v];
    if (wanted)
      for (const ValueId v : plan.operands_of(node)) for_output[v] = true;
  }
  std::vector<Category> result(plan.values.size(), Category::activation);
  for (const PlanNode& node : plan.nodes) {
    const auto operands = plan.operands_of(node);
    const bool drawn =
        node.op->is_random() || (!operands.empty() && std::ranges::any_of(operands, [&](ValueId v) {
          return direction[v];
        }) && std::ranges::all_of(operands, [&](ValueId v) {
          return direction[v] || plan.values[v].shape.rank() == 0;
        }));
    for (ValueId v = node.first_value; v < node.first_value + node.value_count; ++v) {
      direction[v] = drawn && plan.values[v].shape.rank() > 0;
      if (direction[v])
        result[v] = Category::direction;
      else if (!for_output[v])
        result[v] = Category::update;
    }
  }
  return result;
}

// Bytes alive by category, and the most there ever were.
class Meter {
 public:
  explicit Meter(Placement& placement) : placement_(&placement) {}
  void add(Category category, std::size_t bytes) {
    std::size_t& now = live_[static_cast<std::size_t>(category)];
    now += bytes;
    total_ += bytes;
    std::size_t& peak = category == Category::activation  ? placement_->peak_activation_bytes
                        : category == Category::direction ? placement_->peak_direction_bytes
                                                          : placement_->peak_update_bytes;
    peak = std::max(peak, now);
    placement_->peak_live_bytes = std::max(placement_->peak_live_bytes, total_);
  }
  void remove(Category category, std::size_t bytes) {
    live_[static_cast<std::size_t>(category)] -= bytes;
    total_ -= bytes;
  }

 private:
  Placement* placement_;
  std::size_t live_[3] = {};
  std::size_t total_ = 0;
};

class Placer {
 public:
  explicit Placer(const Plan& plan)
      : plan_(plan), categories_(categories(plan)), meter_(placement_) {
    find_roots();
    find_last_uses();
  }

  Placement run() {
    for (std::size_t n = 0; n < plan_.nodes.size(); ++n) {
      const PlanNode& node = plan_.nodes[n];
      if (!is_leaf(*node.op) && !node.op->is_alias())
        for (ValueId v = node.first_value; v < node.first_value + node.value_count; ++v) {
          if (placement_.values[v].storage == Storage::arena) give_place(node, n, v);
          if (placement_.values[v].storage == Storage::result)
            meter_.add(categories_[v], padded(bytes_of(plan_.values[v])));
        }
      release(node, n);
    }
    placement_.arena_bytes = free_.end();
    placement_.categories = std::move(categories_);
    return std::move(placement_);
  }

 private:
  void find_roots() {
    placement_.values.resize(plan_.values.size());
    for (const PlanNode& node : plan_.nodes) {
      for (ValueId v = node.first_value; v < node.first_value + node.value_count; ++v)
        placement_.values[v].root = v;
      Placement::Value& first = placement_.values[node.first_value];
      if (node.op == &input_op()) first.storage = Storage::input;
      if (node.op == &constant_op()) first.storage = Storage::constant;
      if (node.op == &parameter_op()) first.storage = Storage::parameter;
      if (node.op->is_alias()) first = placement_.values[plan_.operands_of(node)[0]];
    }
    for (const PlanAssign& a : plan_.assigns)
      if (a.in_place) placement_.values[a.value].storage = Storage::parameter;
    for (const ValueId v : plan_.outputs) {
      const ValueId root = placement_.values[v].root;
      if (placement_.values[root].storage != Storage::arena) continue;
      placement_.values[root].storage = Storage::result;
      placement_.values[root].offset = placement_.results.size();
      placement_.results.push_back(root);
    }
    for (Placement::Value& value : placement_.values)
      value.storage = placement_.values[value.root].storage;
    for (const auto& pair : plan_.adjacent)
      if (is_alone(pair.first) && is_alone(pair.second)) {
        assert(bytes_of(plan_.values[pair.first]) == bytes_of(plan_.values[pair.second]));
        assert(bytes_of(plan_.values[pair.first]) % arena_alignment == 0);
        pairs_.emplace(pair.first, pair);
        pairs_.emplace(pair.second, pair);
      }
  }
  bool is_alone(ValueId value) const {  // in memory that is its own and the arena's
    return placement_.values[value].storage == Storage::arena &&
           placement_.values[value].root == value;
  }

  void find_last_uses() {
    last_use_.resize(plan_.values.size(), 0);
    for (std::size_t n = 0; n < plan_.nodes.size(); ++n) {
      const PlanNode& node = plan_.nodes[n];
      for (ValueId v = node.first_value; v < node.first_value + node.value_count; ++v) use(v, n);
      for (const ValueId v : plan_.operands_of(node)) use(v, n);
    }
    for (const ValueId v : plan_.outputs) use(v, plan_.nodes.size());
    for (const PlanAssign& a : plan_.assigns) use(a.value, plan_.nodes.size());
  }
  void use(ValueId value, std::size_t step) {
    std::size_t& last = last_use_[placement_.values[value].root];
    last = std::max(last, step);
  }

  void give_place(const PlanNode& node, std::size_t step, ValueId value) {
    const std::size_t bytes = padded(bytes_of(plan_.values[value]));
    if (const auto pair = pairs_.find(value); pair != pairs_.end()) {
      give_pair(pair->second, bytes);
      meter_.add(categories_[value], bytes);
      return;
    }
    const ValueId reused = dying_operand(node, step, value);
    if (reused != value) {
      placement_.values[value].offset = placement_.values[reused].offset;
      taken_over_.insert(reused);
      meter_.remove(categories_[reused], bytes);
    } else {
      placement_.values[value].offset = free_.take(bytes);
    }
    meter_.add(categories_[value], bytes);
  }

  // Both values of a pair get their places when the first of them is computed; each is released
  // for itself.
  void give_pair(const std::pair<ValueId, ValueId>& pair, std::size_t bytes) {
    if (placed_pairs_.erase(pair.first) > 0) return;
    placed_pairs_.insert(pair.first);
    placement_.values[pair.first].offset = free_.take(2 * bytes);
    placement_.values[pair.second].offset = placement_.values[pair.first].offset + bytes;
  }

  // An operand that the node may write `value`, one of its outputs, over; or `value` itself if
  // there is none.
  ValueId dying_operand(const PlanNode& node, std::size_t step, ValueId value) const {
    for (const ValueId v : plan_.operands_of(node)) {
      const Placement::Value& operand = placement_.values[v];
      if (operand.storage == Storage::arena && last_use_[operand.root] == step &&
          !taken_over_.contains(operand.root) && may_overwrite(node, value, operand.root))
        return operand.root;
    }
    return value;
  }

  // Whether every operand in that memory may be overwritten by `value`.
  bool may_overwrite(const PlanNode& node, ValueId value, ValueId root) const {
    const Type& type = plan_.values[value];
    if (bytes_of(plan_.values[root]) != bytes_of(type)) return false;
    const auto operands = plan_.operands_of(node);
    for (std::size_t i = 0; i < operands.size(); ++i)
      if (placement_.values[operands[i]].root == root &&
          (plan_.values[operands[i]] != type || !node.op->in_place(i, value - node.first_value)))
        return false;
    return true;
  }

  void release(const PlanNode& node, std::size_t step) {
    const auto drop = [&](ValueId value) {
      const Placement::Value& v = placement_.values[value];
      if (v.storage != Storage::arena || last_use_[v.root] != step) return;
      if (!released_.insert(v.root).second) return;
      if (taken_over_.erase(v.root) > 0) return;
      const std::size_t bytes = padded(bytes_of(plan_.values[v.root]));
      free_.give_back(placement_.values[v.root].offset, bytes);
      meter_.remove(categories_[v.root], bytes);
    };
    released_.clear();
    for (const ValueId v : plan_.operands_of(node)) drop(v);
    if (!node.op->is_alias())
      for (ValueId v = node.first_value; v < node.first_value + node.value_count; ++v) drop(v);
  }

  const Plan& plan_;
  Placement placement_;
  std::vector<Category> categories_;
  Meter meter_;
  FreeList free_;
  std::vector<std::size_t> last_use_;  // by root
  std::set<ValueId> taken_over_;       // roots whose memory an output of this node took
  std::set<ValueId> released_;         // roots already dropped at this node
  std::map<ValueId, std::pair<ValueId, ValueId>> pairs_;  // by either value
  std::set<ValueId> placed_pairs_;  // the first values of pairs of which one is computed
};

}  // namespace

Placement place(const Plan& plan) { return Placer(plan).run(); }

}  // namespace dualtape
