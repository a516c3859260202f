// Branches: one of several functions, chosen by a number when the program runs.
#include <algorithm>
#include <memory>
#include <string>

#include <dualtape/core/callable.hpp>
#include <dualtape/core/kinds.hpp>
#include <dualtape/core/leaves.hpp>
#include <dualtape/core/run/body.hpp>
#include <dualtape/modes/batching.hpp>
#include <dualtape/modes/calls/calls.hpp>
#include <dualtape/modes/loops.hpp>
#include <dualtape/modes/loops/closure.hpp>
#include <dualtape/modes/loops/loop.hpp>
#include <dualtape/modes/walk/arithmetic.hpp>
#include <dualtape/modes/walk/vars.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/batching.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {
namespace detail {
namespace {

// The branches of a node; all take the same inputs. Operands: the number of the branch, then those.
struct Branches {
  std::vector<FunctionPtr> functions;
  std::size_t first_linear = 0;  // inputs from this one on are tangents or cotangents

  Branches() = default;
  explicit Branches(const Attributes& attributes)
      : first_linear(static_cast<std::size_t>(attributes.get<std::int64_t>("first_linear"))) {
    for (std::size_t i = 0; attributes.has(name_of_branch(i)); ++i)
      functions.push_back(attributes.get<FunctionPtr>(name_of_branch(i)));
  }
  Attributes attributes() const {
    std::vector<Attributes::Entry> entries{{"first_linear", first_linear}};
    for (std::size_t i = 0; i < functions.size(); ++i)
      entries.emplace_back(name_of_branch(i), functions[i]);
    return Attributes(std::move(entries));
  }
  std::size_t inputs() const { return functions[0]->inputs().size(); }
  // The node over functions made of these, linear in what comes from input `linear` on.
  template <class F>
  Branches map(const F& f, std::size_t linear) const {
    Branches made;
    for (const FunctionPtr& function : functions) made.functions.push_back(f(function));
    made.first_linear = linear;
    return made;
  }

 private:
  static std::string name_of_branch(std::size_t i) { return "branch" + std::to_string(i); }
};

class Chooser {
 public:
  Chooser(const Branches& branches, const CompileOptions& options)
      : functions_(branches.functions) {
    for (const FunctionPtr& f : functions_) {
      bodies_.emplace_back(f->inputs(), f->outputs(), of_functions(options), f->where());
      bytes_ = std::max(bytes_, bodies_.back().bytes());
      note_ += (note_.empty() ? "one of " : ", ") + bodies_.back().summary();
    }
  }
  std::size_t bytes() const { return bytes_; }
  const std::string& note() const { return note_; }
  std::vector<Body>& bodies() { return bodies_; }
  void run(const KernelArgs& args) {
    const auto last = static_cast<std::int64_t>(bodies_.size()) - 1;
    const std::int64_t chosen = std::clamp<std::int64_t>(*args.input<std::int64_t>(0), 0, last);
    Body& body = bodies_[static_cast<std::size_t>(chosen)];
    body.use(args.workspace);
    for (std::size_t i = 0; i < functions_[0]->inputs().size(); ++i) body.read(i, args.in[i + 1]);
    for (std::size_t i = 0; i < functions_[0]->outputs().size(); ++i) body.write(i, args.out[i]);
    body.run();
  }

 private:
  std::vector<FunctionPtr> functions_;
  std::vector<Body> bodies_;
  std::size_t bytes_ = 0;
  std::string note_;
};

}  // namespace

struct SwitchOp {
  static constexpr auto name = "switch_case";
  static constexpr auto doc = "the results of one Function of several, by its number";
  static constexpr auto math =
      "f_i(x); its jvp is a switch_case of the f_i's jvps, its transpose one of their transposes";

  static void infer(Inference& inference) {
    const Branches branches(inference.attributes);
    if (branches.functions.empty()) inference.value_error("there are no branches");
    inference.require_count(branches.inputs() + 1);
    if (inference.in[0] != Type{Shape{}, int64})
      inference.type_error("the number of the branch is " + to_string(inference.in[0]),
                           "an int64 ()");
    for (const FunctionPtr& f : branches.functions) {
      if (f->inputs().size() != branches.inputs() ||
          f->outputs().size() != branches.functions[0]->outputs().size())
        inference.value_error("its branches take or return different numbers of Vars");
      for (std::size_t i = 0; i < branches.inputs(); ++i)
        require_taken(inference, i + 1, f->inputs()[i].type(), f->name());
      for (std::size_t i = 0; i < f->outputs().size(); ++i)
        if (f->outputs()[i].type() != branches.functions[0]->outputs()[i].type())
          inference.shape_error("result " + std::to_string(i) + " is " +
                                    to_string(branches.functions[0]->outputs()[i].type()) +
                                    " in one branch and " + to_string(f->outputs()[i].type()) +
                                    " in another",
                                "all branches return the same shapes and dtypes");
    }
    for (const Var& out : branches.functions[0]->outputs()) inference.out.push_back(out.type());
  }

  static Kernel kernel(const KernelRequest& request) {
    const auto chooser = std::make_shared<Chooser>(Branches(request.attributes), request.options);
    Kernel kernel{.run = [chooser](const KernelArgs& args) { chooser->run(args); },
                  .workspace_bytes = chooser->bytes(),
                  .note = chooser->note()};
    for (Body& body : chooser->bodies()) kernel.bodies.emplace_back(chooser, &body);
    return kernel;
  }

  // Of the branch that costs most.
  static Cost cost(const KernelRequest& request) {
    Cost most;
    for (const FunctionPtr& f : Branches(request.attributes).functions) {
      const Cost one = cost_of(*f, request.options);
      most.flops = std::max(most.flops, one.flops);
      most.bytes = std::max(most.bytes, one.bytes);
    }
    return most;
  }

  static std::vector<MaybeVar> jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    const Branches branches(node.attributes);
    std::vector<std::size_t> active;
    std::vector<In> operands(node.in.begin(), node.in.end());
    bool linear = branches.first_linear < branches.inputs();
    for (std::size_t i = 1; i < tangents.size(); ++i) {
      if (!tangents[i]) continue;
      active.push_back(i - 1);
      linear = linear && i > branches.first_linear;
    }
    if (linear) {
      for (std::size_t i = branches.first_linear + 1; i < operands.size(); ++i)
        operands[i] = tangents[i] ? *tangents[i] : zeros_like(node.in[i]);
      return differentiable(node, apply_all(node.op, operands, node.attributes));
    }
    for (const std::size_t i : active) operands.emplace_back(*tangents[i + 1]);
    const Branches made = branches.map(
        [&](const FunctionPtr& f) { return tangents_of(*f, active); }, branches.inputs());
    return differentiable(node, apply_all(node.op, operands, made.attributes()));
  }

  static std::vector<Var> transposes(const NodeView& node, std::span<const MaybeVar> cotangents) {
    const auto arrived =
        std::ranges::find_if(cotangents, [](const MaybeVar& c) { return c.has_value(); });
    if (arrived == cotangents.end()) return {};
    const Branches branches(node.attributes);
    std::vector<In> operands(
        node.in.begin(), node.in.begin() + static_cast<std::ptrdiff_t>(branches.first_linear + 1));
    for (std::size_t k = 0; k < cotangents.size(); ++k) {
      const Type& type = branches.functions[0]->outputs()[k].type();
      operands.emplace_back(cotangents[k]
                                ? *cotangents[k]
                                : (*arrived)->graph().constant(zeros(type.shape, type.dtype)));
    }
    const Branches made = branches.map(  // linear in the cotangents
        [&](const FunctionPtr& f) { return transpose_of(*f, branches.first_linear); },
        branches.first_linear);
    return apply_all(node.op, operands, made.attributes());
  }

  // By one number for all members, a branch of all of them; by a number for each, every branch that
  // some member takes is computed for all and each member takes its own.
  static std::optional<std::vector<Var>> batch(const BatchView& view) {
    const Branches branches(view.node.attributes);
    std::vector<bool> batched;
    std::vector<In> operands{view.node.in[0]};
    for (std::size_t i = 1; i < view.in.size(); ++i) {
      batched.push_back(view.in[i].has_value());
      operands.emplace_back(view.in[i] ? *view.in[i] : view.node.in[i]);
    }
    const Branches made =
        branches.map([&](const FunctionPtr& f) { return batch_of(*f, batched, view.size); },
                     branches.first_linear);
    if (!view.in[0]) return apply_all(view.node.op, operands, made.attributes());
    std::vector<Var> results;
    for (std::size_t b = 0; b < made.functions.size(); ++b) {
      const Var takes = takes_branch(*view.in[0], b, made.functions.size());
      const std::vector<Var> found = of_takers(view, made, b, takes);
      for (std::size_t i = 0; i < found.size(); ++i) {
        if (b == 0)
          results.push_back(found[i]);
        else
          results[i] = where(spread(takes, found[i]), found[i], results[i]);
      }
    }
    return results;
  }

  static std::vector<Case> cases();

 private:
  static Var takes_branch(Var numbers, std::size_t b, std::size_t count) {
    const auto number = static_cast<std::int64_t>(b);
    if (b == 0) return less_equal(numbers, number);
    return b + 1 == count ? greater_equal(numbers, number) : equal(numbers, number);
  }
  // Branch b for all members, where some take it; members that do not are given the operands of one
  // that does.
  static std::vector<Var> of_takers(const BatchView& view, const Branches& batched, std::size_t b,
                                    Var takes) {
    const FunctionPtr& branch = batched.functions[b];
    std::vector<In> operands{In(cast(any(takes), int64))};
    for (std::size_t i = 1; i < view.in.size(); ++i) {
      const bool own = !view.in[i] || i > batched.first_linear;
      operands.emplace_back(!view.in[i] ? view.node.in[i]
                            : own       ? *view.in[i]
                                        : of_those_that_go(takes, *view.in[i]));
    }
    Branches made;
    made.functions = {no_result_of(*branch), branch};
    made.first_linear = batched.first_linear;
    return apply_all(view.node.op, operands, made.attributes());
  }
  static FunctionPtr no_result_of(const Function& branch) {
    const auto body = [&](std::span<const Var> x) {
      std::vector<Var> none;
      for (const Var& out : branch.outputs())
        none.push_back(broadcast_to(x[0].graph().constant(zeros({}, out.dtype())), out.shape()));
      return none;
    };
    const auto make = [&] {
      return Function::make("no member of " + branch.name(), types_of(branch.inputs()), body,
                            branch.where());
    };
    return branch.derived("no member", make, branch.where());
  }
  static std::vector<MaybeVar> differentiable(const NodeView& node, const std::vector<Var>& out) {
    std::vector<MaybeVar> found(out.begin(), out.end());
    for (std::size_t i = 0; i < found.size(); ++i)
      if (!is_floating(node.out[i].dtype())) found[i] = std::nullopt;
    return found;
  }
};

namespace {

class SwitchNode : public PlainOp<SwitchOp, Kind::general> {
 public:
  std::vector<MaybeVar> jvp(const NodeView& node,
                            std::span<const MaybeVar> tangents) const override {
    return SwitchOp::jvp(node, tangents);
  }
  std::vector<MaybeVar> transpose_all(const NodeView& node, const std::vector<bool>&,
                                      std::span<const MaybeVar> cotangents) const override {
    std::vector<MaybeVar> found(Branches(node.attributes).first_linear + 1);
    for (const Var& cotangent : SwitchOp::transposes(node, cotangents))
      found.emplace_back(cotangent);
    found.resize(node.in.size());
    return found;
  }
  bool linear_in(const NodeView& node, std::span<const bool> active) const override {
    const std::size_t first = Branches(node.attributes).first_linear + 1;
    for (std::size_t i = 0; i < active.size(); ++i)
      if (active[i] != (i >= first) && (active[i] || !is_zero_constant(node.in[i]))) return false;
    return true;
  }
};
constexpr Callable<SwitchNode> switch_op;

}  // namespace

const Op& switch_operator() { return switch_op.op(); }
std::vector<FunctionPtr> branches_of(const Attributes& attributes) {
  return Branches(attributes).functions;
}

std::vector<Case> SwitchOp::cases() {
  const auto make = [](std::int64_t which) {
    return [which](std::span<const Var> in) {
      const std::vector<Branch> branches{[&] { return std::vector<Var>{sin(in[0]) * in[1]}; },
                                         [&] { return std::vector<Var>{exp(in[0]) + in[1]}; }};
      return switch_case(in[0].graph().constant(which, int64), branches);
    };
  };
  return {{"the first of two", {{Shape{2, 3}}, {Shape{3}}}, make(0)},
          {"the second of two", {{Shape{2, 3}}, {Shape{3}}}, make(1)}};
}

}  // namespace detail

namespace {

// What errors call a function and its branches.
struct Names {
  const char* function = "switch_case";
  std::string branch(std::size_t b) const {
    if (function == std::string_view("switch_case")) return "branch " + std::to_string(b);
    return b == 0 ? "`otherwise`" : "`then`";
  }
};

void require_alike(std::span<const Var> first, std::span<const Var> other, std::size_t branch,
                   const Names& names, Location where) {
  if (first.size() != other.size())
    fail<GraphError>({.op = names.function,
                      .what = names.branch(0) + " returns " + std::to_string(first.size()) +
                              " Vars, " + names.branch(branch) + " " + std::to_string(other.size()),
                      .where = where,
                      .help = "return as many in each"});
  for (std::size_t i = 0; i < first.size(); ++i) {
    if (first[i].type() == other[i].type()) continue;
    const Complaint complaint{.op = names.function,
                              .what = "result " + std::to_string(i) + " of " + names.branch(0) +
                                      " is " + to_string(first[i].type()) + ", of " +
                                      names.branch(branch) + " " + to_string(other[i].type()),
                              .where = where,
                              .help = "return the same shapes and dtypes in each"};
    if (first[i].shape() != other[i].shape()) fail<ShapeError>(complaint);
    fail<TypeError>(complaint);
  }
}

std::vector<Var> chosen(Var index, const std::vector<Branch>& branches, const Names& names,
                        Location where) {
  Graph& graph = index.graph();
  // What a branch reads besides is the same for all, so that they take the same operands.
  std::vector<std::vector<Var>> results;
  std::vector<NodeId> first, last;
  for (const Branch& branch : branches) {
    detail::require_callable(!detail::is_null(branch), names.function, where);
    first.push_back(static_cast<NodeId>(graph.size()));
    results.push_back(branch());
    last.push_back(static_cast<NodeId>(graph.size()));
    for (const Var& var : results.back())
      detail::require_alive(var, names.function, "what a branch returns", where);
    require_alike(results[0], results.back(), results.size() - 1, names, where);
  }
  if (results[0].empty())
    fail<GraphError>({.op = names.function,
                      .what = "its branches return nothing",
                      .where = where,
                      .help = "return a Var at least"});
  const auto own = [&](std::size_t b) {
    return detail::Made{first[b], [&, b](NodeId id) {
                          return id >= first[b] && id < last[b] && !is_leaf(*graph.node(id).op);
                        }};
  };
  std::vector<Var> captured;
  for (std::size_t b = 0; b < branches.size(); ++b)
    for (const Var& var : detail::captured_by(graph, {}, results[b], own(b)))
      if (std::ranges::find(captured, var) == captured.end()) captured.push_back(var);
  if (captured.empty()) captured.push_back(index);  // a function has an input
  detail::Branches made;
  for (std::size_t b = 0; b < branches.size(); ++b)
    made.functions.push_back(detail::close_over("branch " + std::to_string(b), graph, captured,
                                                results[b], own(b), where)
                                 .function);
  made.first_linear = captured.size();
  std::vector<In> operands{In(cast(index, int64), where)};
  for (const Var& var : captured) operands.emplace_back(var, where);
  return apply_all(detail::switch_op.op(), operands, made.attributes());
}

}  // namespace

std::vector<Var> switch_case(Var index, const std::vector<Branch>& branches, Location where) {
  detail::require_alive(index, "switch_case", "the number of the branch", where);
  if (branches.empty())
    fail<ValueError>({.op = "switch_case",
                      .what = "there are no branches",
                      .where = where,
                      .help = "give one at least"});
  const Complaint complaint{.op = "switch_case",
                            .what = "the number of the branch is " + to_string(index.type()),
                            .where = where,
                            .help = "give one integer, such as argmax(x) or cast(flag, dt::int64)"};
  if (is_floating(index.dtype()) || index.dtype() == boolean) fail<TypeError>(complaint);
  if (index.rank() != 0) fail<ShapeError>(complaint);
  return chosen(index, branches, {}, where);
}

std::vector<Var> cond(Var predicate, const Branch& then, const Branch& otherwise, Location where) {
  detail::require_alive(predicate, "cond", "the predicate", where);
  const Complaint complaint{.op = "cond",
                            .what = "its predicate is " + to_string(predicate.type()),
                            .where = where,
                            .help = "give one truth value: a comparison, or any(...)"};
  if (predicate.dtype() != boolean) fail<TypeError>(complaint);
  if (predicate.rank() != 0) fail<ShapeError>(complaint);
  return chosen(cast(predicate, int64), {otherwise, then}, {"cond"}, where);
}

}  // namespace dualtape
