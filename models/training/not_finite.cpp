#include <dualtape/models/not_finite.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <utility>

#include <dualtape/core/leaves.hpp>
#include <dualtape/core/pass.hpp>

namespace dualtape {
namespace {

// What there is to know of a value's elements.
struct Look {
  std::int64_t wrong = 0;  // not finite
  std::int64_t nans = 0;
  std::int64_t first = 0;
  double value = 0;
  double low = std::numeric_limits<double>::infinity();  // of the finite ones
  double high = -std::numeric_limits<double>::infinity();
};

template <class T>
Look look_at(std::span<const T> values) {
  Look look;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto value = static_cast<double>(values[i]);
    if (std::isfinite(value)) {
      look.low = std::min(look.low, value);
      look.high = std::max(look.high, value);
      continue;
    }
    if (look.wrong++ == 0) {
      look.first = static_cast<std::int64_t>(i);
      look.value = value;
    }
    if (std::isnan(value)) ++look.nans;
  }
  return look;
}

Look look_at(const Tensor& tensor) {
  if (!is_floating(tensor.dtype())) return {};
  return dispatch(tensor.dtype(), [&]<class T>() { return look_at(tensor.data<T>()); });
}

std::string describe(const Tensor& tensor) {
  std::ostringstream text;
  text << to_string(tensor.type());
  if (!is_floating(tensor.dtype())) return text.str();
  const Look look = look_at(tensor);
  if (look.low <= look.high) text << " in [" << look.low << ", " << look.high << "]";
  if (look.wrong > 0) text << ", " << look.wrong << " of them not finite";
  return text.str();
}

// The values of all nodes that something needs, from one run without rewriting.
class Run {
 public:
  Run(std::span<const Var> outputs, std::span<const Assign> assigns, std::span<const Feed> feeds,
      Location where)
      : graph_((outputs.empty() ? assigns.front().value : outputs.front()).graph(where)),
        vars_(needed(outputs, assigns, where)),
        program_(compile(vars_, {}, plain(), where)),
        results_(program_.run(feeds, where)) {}

  const std::vector<Var>& vars() const { return vars_; }
  const Tensor& operator[](Var var) const { return results_[var]; }
  std::vector<Var> operands(const Node& node) const {
    std::vector<Var> all;
    for (const Ref& ref : node.inputs()) all.push_back(graph_.var(ref));
    return all;
  }

 private:
  static CompileOptions plain() {
    CompileOptions options;
    for (const Pass& pass : passes())
      if (pass.optional) options.without.emplace_back(pass.name);
    return options;
  }
  std::vector<Var> needed(std::span<const Var> outputs, std::span<const Assign> assigns,
                          Location where) const {
    const Plan plan = make_plan(outputs, assigns, where);
    std::vector<Var> vars;
    for (const PlanNode& node : plan.nodes)
      for (std::uint32_t output = 0; output < node.value_count; ++output)
        vars.push_back(graph_.var(node.source, output));
    return vars;
  }

  Graph& graph_;
  std::vector<Var> vars_;
  Program program_;
  Outputs results_;
};

NotFinite report(const Run& run, Var var, const Look& look) {
  const Node& node = var.node();
  NotFinite found{std::string(node.op->name()),
                  var.label(),
                  node.role,
                  node.where,
                  var.type(),
                  look.wrong,
                  look.first,
                  look.value,
                  {}};
  for (const Var operand : run.operands(node)) found.operands.push_back(describe(run[operand]));
  return found;
}

}  // namespace

std::optional<NotFinite> find_not_finite(std::span<const Var> outputs,
                                         std::span<const Assign> assigns,
                                         std::span<const Feed> feeds, Location where) {
  if (outputs.empty() && assigns.empty()) return std::nullopt;
  const Run run(outputs, assigns, feeds, where);
  for (const Var var : run.vars()) {
    const Node& node = var.node();
    if (node.op == &constant_op()) continue;
    const Look look = look_at(run[var]);
    if (look.wrong == 0) continue;
    bool operands_wrong = false;
    bool operands_nan = false;
    for (const Var operand : run.operands(node)) {
      const Look theirs = look_at(run[operand]);
      operands_wrong = operands_wrong || theirs.wrong > 0;
      operands_nan = operands_nan || theirs.nans > 0;
    }
    if (!operands_wrong || (look.nans > 0 && !operands_nan)) return report(run, var, look);
  }
  return std::nullopt;
}

std::string to_string(const NotFinite& found) {
  std::ostringstream text;
  text << "[" << found.op;
  if (!found.label.empty()) text << " '" << found.label << "'";
  text << "]";
  if (found.role != Role::primal) text << " (" << name_of(found.role) << ")";
  text << " gave ";
  if (std::isnan(found.value))
    text << "nan";  // a NaN's sign means nothing, but would be printed
  else
    text << found.value;
  text << " at element " << found.first << " of " << to_string(found.type);
  if (found.count > 1) text << ", " << found.count << " elements in all";
  for (std::size_t i = 0; i < found.operands.size(); ++i)
    text << (i == 0 ? "; from " : " and ") << found.operands[i];
  text << "\n  at " << to_string(found.where);
  return text.str();
}

}  // namespace dualtape
