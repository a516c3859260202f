#include <dualtape/modes/taylor/functions.hpp>

#include <string>

#include <dualtape/modes/calls/calls.hpp>
#include <dualtape/modes/loops/dual.hpp>
#include <dualtape/modes/loops/loop.hpp>
#include <dualtape/modes/taylor.hpp>
#include <dualtape/modes/walk/arithmetic.hpp>

namespace dualtape::detail {
namespace {

using Places = std::vector<std::size_t>;

// The coefficients of operand i, zeros for those that are absent.
void append_terms(std::vector<Var>& all, const Terms& terms, Var like, std::size_t order) {
  for (std::size_t k = 0; k < order; ++k) {
    const MaybeVar term = k < terms.size() ? terms[k] : MaybeVar{};
    all.push_back(term ? *term : zeros_like(like));
  }
}

// Coefficients of the outputs of a body's nodes, whose inputs are `values` with coefficients from
// `first` on in `x`: `order` for each of those that move, one after the other.
struct BodySeries {
  std::vector<Var> outputs;
  std::vector<std::vector<MaybeVar>> terms;
};
BodySeries series_of_body(const Function& f, const std::vector<Var>& values,
                          const std::vector<std::pair<std::size_t, std::size_t>>& moving,
                          std::span<const Var> x, std::size_t order) {
  BodySeries series{f.inlined(values, f.where()), {}};
  std::vector<Wrt> wrt;
  std::vector<std::vector<MaybeVar>> paths;
  for (const auto& [input, first] : moving) {
    wrt.emplace_back(values[input], f.where());
    paths.emplace_back(x.begin() + static_cast<std::ptrdiff_t>(first),
                       x.begin() + static_cast<std::ptrdiff_t>(first + order));
  }
  series.terms = taylor_all(series.outputs, wrt, paths, static_cast<int>(order), f.where());
  return series;
}

// ---- calls --------------------------------------------------------------------------------------

std::vector<Terms> call_terms(const FunctionPtr& f, const NodeView& node,
                              const std::vector<Terms>& in, std::size_t order) {
  std::vector<Var> arguments(node.in.begin(), node.in.end());
  std::vector<std::pair<std::size_t, std::size_t>> moving;
  std::string key = "series of order " + std::to_string(order);
  for (std::size_t i = 0; i < in.size(); ++i) {
    if (in[i].empty()) continue;
    key += " " + std::to_string(i);
    moving.emplace_back(i, arguments.size());
    append_terms(arguments, in[i], node.in[i], order);
  }
  const auto make = [&] {
    const auto body = [&](std::span<const Var> x) {
      const std::vector<Var> values(x.begin(),
                                    x.begin() + static_cast<std::ptrdiff_t>(node.in.size()));
      const BodySeries series = series_of_body(*f, values, moving, x, order);
      std::vector<Var> results;
      for (std::size_t i = 0; i < series.outputs.size(); ++i)
        append_terms(results, {series.terms[i].begin() + 1, series.terms[i].end()},
                     series.outputs[i], order);
      return results;
    };
    return Function::make("series of " + f->name(), types_of(arguments), body, f->where());
  };
  const std::vector<In> operands(arguments.begin(), arguments.end());
  const std::vector<Var> out = call(f->derived(key, make, f->where()), operands, f->where());
  std::vector<Terms> found;
  for (std::size_t i = 0; i < node.out.size(); ++i) {
    const auto first = out.begin() + static_cast<std::ptrdiff_t>(i * order);
    found.emplace_back(first, first + static_cast<std::ptrdiff_t>(order));
  }
  return found;
}

// ---- loops --------------------------------------------------------------------------------------

// A loop whose body carries series: values before coefficients in each group of operands and of
// outputs.
class SeriesLoop {
 public:
  SeriesLoop(const Loop& loop, const Moving& moving, std::size_t order)
      : loop_(loop), moving_(moving), order_(order) {
    const std::size_t c = loop.carried, s = loop.sliced, all = moving.inputs.size();
    groups_ = {Group{0, c, 0}, Group{c, c + s, 0}, Group{c + s, all, 0}};
    std::size_t place = 0;
    for (Group& group : groups_) {
      group.place = place;
      place += group.last - group.first + order * marked(group).size();
    }
  }

  Loop loop() const {
    Loop made = loop_;
    made.body = loop_.body->derived(
        "series of order " + std::to_string(order_) + layout_of(loop_) + moving_.key(),
        [this] { return body(); }, loop_.body->where());
    made.carried += order_ * marked(groups_[0]).size();
    made.sliced += order_ * marked(groups_[1]).size();
    made.linear.clear();
    made.states = made.every = 0;
    // So that the planner leaves out the loop of the values alone.
    made.primal = loop_.body;
    made.primal_operands.clear();
    made.primal_outputs.clear();
    if (loop_.counted) made.primal_operands.push_back(0);
    for (const Group& group : groups_)
      for (std::size_t i = group.first; i < group.last; ++i)
        made.primal_operands.push_back(
            static_cast<std::int64_t>(loop_.first() + group.place + i - group.first));
    for (std::size_t i = 0; i < loop_.body->outputs().size(); ++i)
      made.primal_outputs.push_back(static_cast<std::int64_t>(place_of_output(i)));
    if (loop_.stops)
      made.primal_outputs.push_back(static_cast<std::int64_t>(made.body->outputs().size()));
    return made;
  }

  // Operands of the made loop.
  std::vector<Var> operands(const NodeView& node, const std::vector<Terms>& in) const {
    std::vector<Var> all(node.in.begin(),
                         node.in.begin() + static_cast<std::ptrdiff_t>(loop_.first()));
    for (const Group& group : groups_) {
      for (std::size_t i = group.first; i < group.last; ++i)
        all.push_back(node.in[loop_.first() + i]);
      for (const std::size_t i : marked(group))
        append_terms(all, in[loop_.first() + i], node.in[loop_.first() + i], order_);
    }
    return all;
  }
  // Of the made loop's outputs, the coefficients of each of the loop's.
  std::vector<Terms> terms(const std::vector<Var>& out) const {
    std::vector<Terms> found(loop_.outputs());
    std::size_t carried = loop_.carried;
    std::size_t stacked = place_of_output(loop_.carried) + loop_.stacked();
    for (std::size_t i = 0; i < moving_.outputs.size(); ++i) {
      if (!moving_.outputs[i]) continue;
      std::size_t& place = i < loop_.carried ? carried : stacked;
      for (std::size_t k = 0; k < order_; ++k) found[i].emplace_back(out[place++]);
    }
    return found;
  }

 private:
  struct Group {
    std::size_t first, last;  // inputs of the body
    std::size_t place;        // of the first among those of the made one
  };
  Places marked(const Group& group) const {
    return Moving::marked(moving_.inputs, group.first, group.last);
  }
  // A stacked output comes after the coefficients of carried ones.
  std::size_t place_of_output(std::size_t i) const {
    return i < loop_.carried ? i : i + order_ * marked(groups_[0]).size();
  }

  FunctionPtr body() const {
    const Function& f = *loop_.body;
    std::vector<Type> types;
    for (const Group& group : groups_) {
      for (std::size_t i = group.first; i < group.last; ++i) types.push_back(f.inputs()[i].type());
      for (const std::size_t i : marked(group))
        types.insert(types.end(), order_, f.inputs()[i].type());
    }
    return Function::make(
        "series of " + f.name(), types, [&](std::span<const Var> x) { return step(f, x); },
        f.where());
  }
  std::vector<Var> step(const Function& f, std::span<const Var> x) const {
    std::vector<Var> values;
    std::vector<std::pair<std::size_t, std::size_t>> places;
    for (const Group& group : groups_) {
      std::size_t place = group.place;
      for (std::size_t i = group.first; i < group.last; ++i) values.push_back(x[place++]);
      for (const std::size_t i : marked(group)) {
        places.emplace_back(i, place);
        place += order_;
      }
    }
    const BodySeries series = series_of_body(f, values, places, x, order_);
    std::vector<Var> results;
    const auto add = [&](std::size_t first, std::size_t last) {
      for (std::size_t i = first; i < last; ++i) results.push_back(series.outputs[i]);
      for (const std::size_t i : Moving::marked(moving_.outputs, first, last))
        append_terms(results, {series.terms[i].begin() + 1, series.terms[i].end()},
                     series.outputs[i], order_);
    };
    add(0, loop_.carried);
    add(loop_.carried, series.outputs.size());
    return results;
  }

  const Loop& loop_;
  const Moving& moving_;
  std::size_t order_;
  std::array<Group, 3> groups_;  // carried, sliced, constant
};

std::vector<Terms> loop_terms(const Loop& loop, const NodeView& node, const std::vector<Terms>& in,
                              std::size_t order) {
  std::vector<bool> flags;
  for (std::size_t i = loop.first(); i < in.size(); ++i) flags.push_back(!in[i].empty());
  const Moving moving(loop, flags);
  if (!moving.any_output()) return std::vector<Terms>(loop.outputs());
  const SeriesLoop series(loop, moving, order);
  return series.terms(apply_loop(series.loop(), series.operands(node, in)));
}

}  // namespace

std::optional<std::vector<Terms>> function_terms(const NodeView& node, const std::vector<Terms>& in,
                                                 std::size_t order) {
  if (&node.op == &loop_operator()) return loop_terms(Loop(node.attributes), node, in, order);
  if (&node.op != &call_operator() || node.attributes.has("members")) return std::nullopt;
  const auto& f = node.attributes.get<std::shared_ptr<const Function>>("function");
  if (f->rules().any()) return std::nullopt;
  return call_terms(f, node, in, order);
}

}  // namespace dualtape::detail
