// Calls of functions whose author gives the derivative.
#include <algorithm>
#include <string>

#include <dualtape/core/kept.hpp>
#include <dualtape/core/kinds.hpp>
#include <dualtape/core/run/body.hpp>
#include <dualtape/modes/calls/calls.hpp>
#include <dualtape/modes/custom.hpp>
#include <dualtape/modes/walk/arithmetic.hpp>

namespace dualtape {
namespace {

using FunctionPtr = std::shared_ptr<const Function>;

// What a rule gave, which must be one Var for each of `like`, of its type.
void check_given(const Function& function, const char* rule, const std::vector<Var>& given,
                 std::span<const Var> like, const char* of) {
  const auto refuse = [&](std::string what) {
    fail<DerivativeError>(
        {.op = "function",
         .label = function.name(),
         .what = "its " + std::string(rule) + " rule returned " + std::move(what),
         .where = function.where(),
         .help = std::string("return one Var for each ") + of + ", of its shape and dtype"});
  };
  if (given.size() != like.size())
    refuse(std::to_string(given.size()) + " Vars for " + std::to_string(like.size()) + " " + of +
           "s");
  for (std::size_t i = 0; i < given.size(); ++i) {
    const Var var =
        detail::require_alive(given[i], "function", "what a rule returns", function.where());
    if (is_floating(like[i].dtype()) && var.type() != like[i].type())
      refuse(to_string(var.type()) + " for " + of + " " + std::to_string(i) + ", which is " +
             to_string(like[i].type()));
  }
}

// (inputs, outputs, tangents of the active inputs) -> tangents of the outputs, by the jvp rule, in
// a function of its own, so that what the rule emits is in an ordinary graph.
FunctionPtr by_jvp_rule(const Function& f, const Ints& active) {
  std::string key = "jvp rule";
  for (const std::int64_t i : active) key += " " + std::to_string(i);
  const auto make = [&] {
    std::vector<Type> types;
    for (const Var& in : f.inputs()) types.push_back(in.type());
    for (const Var& out : f.outputs()) types.push_back(out.type());
    for (const std::int64_t i : active)
      types.push_back(f.inputs()[static_cast<std::size_t>(i)].type());
    const auto body = [&](std::span<const Var> x) {
      const auto in = x.first(f.inputs().size());
      const auto out = x.subspan(in.size(), f.outputs().size());
      std::vector<Var> tangents;
      for (const Var& var : in) tangents.push_back(detail::zeros_like(var));
      for (std::size_t k = 0; k < active.size(); ++k)
        tangents[static_cast<std::size_t>(active[k])] = x[in.size() + out.size() + k];
      const std::vector<Var> found = f.rules().jvp(in, out, tangents);
      check_given(f, "jvp", found, out, "output");
      return found;
    };
    return Function::make("jvp rule of " + f.name(), types, body, f.where());
  };
  return f.derived(key, make, f.where());
}

// On the tape: an entry from tangents to tangents, whose transpose is the author's. It is played
// backwards; where it is copied from the tape (linearize, loops), it runs by the jvp rule, if there
// is one.
class RuleEntry final : public Op {
 public:
  const OpInfo& info() const override {
    static const OpInfo info = [] {
      OpInfo made;
      made.name = "custom_vjp";
      made.kind = Kind::general;
      made.doc = "the tape's entry of a function whose author gives its vjp";
      return made;
    }();
    return info;
  }
  void infer(Inference& inference) const override {
    for (const Var& out : function_of(inference.attributes)->outputs())
      inference.out.push_back(out.type());
  }
  Kernel kernel(const KernelRequest& request) const override {
    const FunctionPtr along = along_rule(request.attributes);
    const auto body = std::make_shared<detail::Body>(along->inputs(), along->outputs(),
                                                     of_functions(request.options), along->where());
    const auto run = [body, along](const KernelArgs& args) {
      body->use(args.workspace);
      for (std::size_t i = 0; i < along->inputs().size(); ++i) body->read(i, args.in[i]);
      for (std::size_t i = 0; i < along->outputs().size(); ++i) body->write(i, args.out[i]);
      body->run();
    };
    return {
        .run = run, .workspace_bytes = body->bytes(), .note = body->summary(), .bodies = {body}};
  }
  std::vector<MaybeVar> jvp(const NodeView& node,
                            std::span<const MaybeVar> tangents) const override {
    const std::size_t first = primals(node.attributes);
    std::vector<std::size_t> active;
    std::vector<In> operands(node.in.begin(), node.in.end());
    bool linear = true;
    for (std::size_t i = 0; i < tangents.size(); ++i) {
      if (!tangents[i]) continue;
      active.push_back(i);
      linear = linear && i >= first;
    }
    std::vector<Var> out;
    if (linear) {
      for (std::size_t i = first; i < operands.size(); ++i)
        operands[i] = tangents[i] ? *tangents[i] : detail::zeros_like(node.in[i]);
      out = apply_all(node.op, operands, node.attributes);
    } else {
      for (const std::size_t i : active) operands.emplace_back(*tangents[i]);
      out = detail::call_linear(detail::tangents_of(*along_rule(node.attributes), active), operands,
                                node.in.size());
    }
    return {out.begin(), out.end()};
  }
  std::vector<Case> cases() const override { return {}; }
  bool linear_in(const NodeView& node, std::span<const bool> active) const override {
    const std::size_t first = primals(node.attributes);
    for (std::size_t i = 0; i < active.size(); ++i)
      if (active[i] != (i >= first)) return false;
    return true;
  }
  std::vector<MaybeVar> transpose_all(const NodeView& node, const std::vector<bool>&,
                                      std::span<const MaybeVar> cotangents) const override {
    const FunctionPtr f = function_of(node.attributes);
    const std::size_t inputs = f->inputs().size();
    const std::span<const Var> in = node.in.first(inputs);
    const std::span<const Var> out = node.in.subspan(inputs, f->outputs().size());
    std::vector<Var> given;
    for (std::size_t k = 0; k < cotangents.size(); ++k)
      given.push_back(cotangents[k] ? *cotangents[k] : detail::zeros_like(out[k]));
    const std::vector<Var> found = f->rules().vjp(in, out, given);
    check_given(*f, "vjp", found, in, "input");
    std::vector<MaybeVar> result(primals(node.attributes));
    for (const std::int64_t i : node.attributes.get<Ints>("active"))
      result.emplace_back(found[static_cast<std::size_t>(i)]);
    return result;
  }
  [[noreturn]] static void lacks_jvp(const Function& function, Location where) {
    fail<DerivativeError>({.op = "function",
                           .label = function.name(),
                           .what = "has a vjp rule and no jvp rule, so that forward mode cannot go "
                                   "through it",
                           .where = where,
                           .help = "use grad, vjp, jacrev or vhp outside of checkpoints, or give a "
                                   "jvp rule, which serves everything"});
  }

 private:
  static FunctionPtr along_rule(const Attributes& attributes) {
    const FunctionPtr& f = function_of(attributes);
    if (!f->rules().jvp) lacks_jvp(*f, f->where());
    return by_jvp_rule(*f, attributes.get<Ints>("active"));
  }
  static const FunctionPtr& function_of(const Attributes& attributes) {
    return attributes.get<FunctionPtr>("function");
  }
  static std::size_t primals(const Attributes& attributes) {
    const Function& f = *function_of(attributes);
    return f.inputs().size() + f.outputs().size();
  }
};
const Op& rule_entry() {
  static const detail::Kept<RuleEntry> entry;
  return entry.value;
}

// On the tape, the tangent of an input that does not move. Nobody asks for its cotangent.
Var entry_of_none(Graph& tape, Var like, Location where) {
  return tape.input("none " + std::to_string(tape.size()), like.shape(), like.dtype(), where);
}

// The rule as one node. Tangents are given for all inputs.
std::vector<Var> apart(const Function& function, const NodeView& node,
                       const std::vector<Var>& tangents) {
  std::vector<In> arguments(node.in.begin(), node.in.end());
  arguments.insert(arguments.end(), node.out.begin(), node.out.end());
  arguments.insert(arguments.end(), tangents.begin(), tangents.end());
  Ints all;
  for (std::size_t i = 0; i < tangents.size(); ++i) all.push_back(static_cast<std::int64_t>(i));
  return detail::call_linear(by_jvp_rule(function, all), arguments,
                             arguments.size() - tangents.size());
}

}  // namespace

std::vector<MaybeVar> detail::tangents_by_rule(const FunctionPtr& function, const NodeView& node,
                                               std::span<const MaybeVar> tangents) {
  const FunctionRules& rules = function->rules();
  const auto moved =
      std::ranges::find_if(tangents, [](const MaybeVar& t) { return t.has_value(); });
  const bool on_tape = moved != tangents.end() && (*moved)->graph().parent() != nullptr;
  if (!rules.jvp && !on_tape) RuleEntry::lacks_jvp(*function, node.out[0].node().where);
  if (rules.vjp && on_tape) {
    std::vector<In> operands(node.in.begin(), node.in.end());
    operands.insert(operands.end(), node.out.begin(), node.out.end());
    Ints active;
    for (std::size_t i = 0; i < tangents.size(); ++i) {
      if (!tangents[i]) continue;
      active.push_back(static_cast<std::int64_t>(i));
      operands.emplace_back(*tangents[i]);
    }
    const std::vector<Var> out =
        apply_all(rule_entry(), operands, {{"function", function}, {"active", active}});
    return {out.begin(), out.end()};
  }
  std::vector<Var> given;
  for (std::size_t i = 0; i < tangents.size(); ++i)
    given.push_back(tangents[i] ? *tangents[i]
                    : on_tape   ? entry_of_none((*moved)->graph(), node.in[i], function->where())
                                : zeros_like(node.in[i]));
  const std::vector<Var> found = on_tape && rules.of_batch ? apart(*function, node, given)
                                                           : rules.jvp(node.in, node.out, given);
  check_given(*function, "jvp", found, node.out, "output");
  return {found.begin(), found.end()};
}

void detail::require_linear_rule(const FunctionRules::Jvp& rule, std::span<const Var> in,
                                 std::span<const Var> out, std::span<const Var> tangents) {
  Graph scratch(tangents[0].graph());
  std::vector<Var> entries;
  for (const Var& tangent : tangents)
    entries.push_back(entry_of_none(scratch, tangent, tangent.node().where));
  rule(in, out, entries);
}

void detail::require_one_argument(std::size_t count, const char* rule, Location where) {
  if (count == 1) return;
  fail<DerivativeError>({.op = "custom",
                         .what = "its " + std::string(rule) +
                                 " rule is of one Var, and the function is called with " +
                                 std::to_string(count),
                         .where = where,
                         .help = "take (std::span<const Var> x, Var y, ...) in the rule of a "
                                 "function of several"});
}

}  // namespace dualtape
