// Loops for all members of a batch at once: one loop whose body does a step of every member.
//
// Where members may end at different steps, the loop runs as long as one of them goes on, and those
// that are done keep what they have.
#include <algorithm>
#include <string>

#include <dualtape/core/leaves.hpp>
#include <dualtape/modes/batching.hpp>
#include <dualtape/modes/loops/loop.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/batching.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/creation.hpp>
#include <dualtape/ops/extremes.hpp>
#include <dualtape/ops/indexing.hpp>
#include <dualtape/ops/like.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape::detail {
namespace {

class BatchedLoop {
 public:
  BatchedLoop(const Loop& loop, const BatchView& view) : loop_(loop), view_(view) {
    for (std::size_t i = loop.first(); i < view.in.size(); ++i)
      inputs_.push_back(view.in[i].has_value());
    counts_ = loop.counted && view.in[0].has_value();
    outputs_.assign(loop.body->outputs().size(), false);
    for (bool grows = true; grows;) {
      grows = false;
      outputs_ = reached_outputs(*loop.body, inputs_, false);
      const bool apart = counts_ || (loop.stops && (inputs_[0] || outputs_[0]));
      for (std::size_t i = 0; i < loop.carried; ++i)
        if ((apart || outputs_[i]) && !inputs_[i]) grows = inputs_[i] = true;
      for (std::size_t i = 0; i < outputs_.size(); ++i)
        outputs_[i] = outputs_[i] || apart || (i < loop.carried && inputs_[i]);
    }
    stops_apart_ = loop.stops && inputs_[0];
  }

  std::vector<Var> run() const {
    const std::vector<Var> out = apply_loop(batched(), operands());
    std::vector<Var> found;
    const std::size_t own = stops_apart_ ? 1 : 0;  // carried before the loop's: whether any goes on
    for (std::size_t i = 0; i < loop_.body->outputs().size(); ++i) {
      const Var var = out[own + i + (stops_apart_ && i >= loop_.carried ? 1 : 0)];
      if (!outputs_[i])
        found.push_back(for_all(var, view_.size));
      else
        found.push_back(i < loop_.carried ? var : move_axis(var, 1, 0));
    }
    if (stops_apart_) found.push_back(out[own + loop_.carried]);  // the steps of each
    if (loop_.stops && !stops_apart_) found.push_back(for_all(out.back(), view_.size));
    return found;
  }

 private:
  // Operands, and inputs of the body: what this loop adds comes first in its group.
  Loop batched() const {
    Loop made = loop_;
    made.primal = nullptr;
    made.body = body();
    if (stops_apart_) made.carried += 2;
    if (counts_) ++made.sliced;
    for (std::int64_t& operand : made.linear) operand = linear_operand(operand);
    return made;
  }
  std::int64_t linear_operand(std::int64_t operand) const {
    const std::size_t input = static_cast<std::size_t>(operand) - loop_.first();
    std::int64_t place = operand;
    if (stops_apart_) place += input < loop_.carried ? 1 : 2;
    if (counts_ && input >= loop_.carried) place += input < loop_.carried + loop_.sliced ? 1 : 2;
    return place;
  }

  std::vector<Var> operands() const {
    const std::vector<Var> in(view_.node.in.begin(), view_.node.in.end());
    const auto all = [&](std::size_t operand) {
      return view_.in[operand] ? *view_.in[operand] : view_.node.in[operand];
    };
    std::vector<Var> made;
    if (loop_.counted) made.push_back(counts_ ? max(*view_.in[0]) : view_.node.in[0]);
    Graph& graph = in[0].graph();
    const Location where = loop_.body->where();
    if (stops_apart_) made.push_back(any(batched_operand(view_, loop_.first())));
    for (std::size_t i = 0; i <= inputs_.size(); ++i) {
      const std::size_t operand = loop_.first() + i;
      if (i == loop_.carried && stops_apart_)
        made.push_back(graph.constant(zeros(Shape{view_.size}, int64, where), where));
      if (i == loop_.carried && counts_)
        made.push_back(graph.constant(arange(0, loop_.length, 1, int64), where));
      if (i == loop_.carried + loop_.sliced && counts_) made.push_back(*view_.in[0]);
      if (i == inputs_.size()) break;
      if (!inputs_[i])
        made.push_back(in[operand]);
      else if (loop_.is_carried(i))
        made.push_back(batched_operand(view_, operand));
      else
        made.push_back(loop_.is_sliced(i) ? move_axis(all(operand), 0, 1) : all(operand));
    }
    return made;
  }

  FunctionPtr body() const {
    const Function& f = *loop_.body;
    std::string key = "batch of " + std::to_string(view_.size) + " of a loop " +
                      std::to_string(loop_.carried) + " " + std::to_string(loop_.sliced) + " " +
                      (counts_ ? "counted " : "") + (stops_apart_ ? "stopping " : "");
    for (const bool batched : inputs_) key += batched ? '1' : '0';
    if (counts_) key += " " + std::to_string(loop_.length);
    return f.derived(
        key, [this] { return made_body(); }, f.where());
  }

  FunctionPtr made_body() const {
    const Function& f = *loop_.body;
    const Type each{Shape{view_.size}, int64};
    std::vector<Type> types;
    if (stops_apart_) types.push_back({Shape{}, boolean});
    for (std::size_t i = 0; i <= inputs_.size(); ++i) {
      if (i == loop_.carried && stops_apart_) types.push_back(each);
      if (i == loop_.carried && counts_) types.push_back({Shape{}, int64});
      if (i == loop_.carried + loop_.sliced && counts_) types.push_back(each);
      if (i == inputs_.size()) break;
      const Type& type = f.inputs()[i].type();
      types.push_back(inputs_[i] ? Type{batched_shape(type.shape, view_.size), type.dtype} : type);
    }
    return Function::make(
        "batch of " + f.name(), types, [&](std::span<const Var> x) { return step(f, x); },
        f.where());
  }

  std::vector<Var> step(const Function& f, std::span<const Var> x) const {
    std::vector<Var> values;
    Var steps, slot, count;
    std::size_t next = stops_apart_ ? 1 : 0;
    for (std::size_t i = 0; i <= inputs_.size(); ++i) {
      if (i == loop_.carried && stops_apart_) steps = x[next++];
      if (i == loop_.carried && counts_) slot = x[next++];
      if (i == loop_.carried + loop_.sliced && counts_) count = x[next++];
      if (i < inputs_.size()) values.push_back(x[next++]);
    }
    const Var goes_on = stops_apart_ ? values[0] : counts_ ? less(slot, count) : Var();
    const std::vector<Var> out = step_of_all(f, values, goes_on);
    std::vector<Var> results;
    for (std::size_t i = 0; i < out.size(); ++i) {
      Var next_value = out[i];
      // What is stacked of a member that has ended is read by loops of counted steps alone, which
      // leave it out; what another member's step gives does no harm there, as zeros in a matrix
      // would.
      if (goes_on.defined() && !(stops_apart_ && i >= loop_.carried)) {
        const Var kept = i < loop_.carried ? values[i] : zeros_like(next_value);
        next_value = i == 0 && stops_apart_ ? logical_and(goes_on, next_value)
                                            : where(spread(goes_on, next_value), next_value, kept);
      }
      results.push_back(next_value);
      if (i + 1 == loop_.carried && stops_apart_)
        results.push_back(add(steps, cast(goes_on, int64)));
    }
    if (stops_apart_) results.insert(results.begin(), any(results[0]));
    return results;
  }
  // The body's results for all members, of whom those that have ended take a step of another one.
  std::vector<Var> step_of_all(const Function& f, std::span<const Var> values, Var goes_on) const {
    std::vector<Var> members, batches;
    std::vector<Var> one(values.begin(), values.end());
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (!inputs_[i]) continue;
      // Of a linear loop the coefficients are those of steps that were taken.
      const bool own = !goes_on.defined() || values[i] == goes_on || !loop_.linear.empty();
      batches.push_back(own ? values[i] : of_those_that_go(goes_on, values[i]));
      members.push_back(member_of(batches.back()));
      one[i] = members.back();
    }
    std::vector<Var> out = f.inlined(one, f.where());
    if (members.empty()) return out;
    const std::vector<MaybeVar> found = batch_all(out, members, batches, f.where());
    for (std::size_t i = 0; i < out.size(); ++i)
      if (outputs_[i]) out[i] = found[i] ? *found[i] : for_all(out[i], view_.size);
    return out;
  }

  const Loop& loop_;
  const BatchView& view_;
  std::vector<bool> inputs_;   // of the body: have the batch axis
  std::vector<bool> outputs_;  // of the body
  bool counts_ = false;        // each member has its number of steps
  bool stops_apart_ = false;   // each member says when it ends
};

}  // namespace

Var spread(Var goes, Var like) {
  Ints sizes(like.rank(), 1);
  sizes[0] = goes.shape()[0];
  return reshape(goes, sizes);
}

Var of_those_that_go(Var goes, Var x) {
  if (goes.shape().count() == 0) return x;
  const Var one = take(x, argmax(cast(goes, float32)), 0);
  return where(spread(goes, x), x, stop_gradient(one));
}

std::vector<Var> batched_loop(const Loop& loop, const BatchView& view) {
  return BatchedLoop(loop, view).run();
}

}  // namespace dualtape::detail
