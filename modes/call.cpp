#include <dualtape/modes/call.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>

#include <dualtape/core/callable.hpp>
#include <dualtape/core/kinds.hpp>
#include <dualtape/core/leaves.hpp>
#include <dualtape/core/run/body.hpp>
#include <dualtape/modes/batching.hpp>
#include <dualtape/modes/calls/calls.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/modes/walk/arithmetic.hpp>
#include <dualtape/modes/walk/vars.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/batching.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/reduce.hpp>

namespace dualtape {

using FunctionPtr = std::shared_ptr<const Function>;

namespace {

using detail::types_of;

// Over which members a call loops; a plain call runs once, and its arguments have no batch axis.
class Members {
 public:
  explicit Members(const Attributes& attributes)
      : loops_(attributes.has("members")),
        size_(loops_ ? attributes.get<std::int64_t>("members") : 1) {
    if (loops_) same_ = attributes.get<Ints>("same");
  }
  bool loop() const { return loops_; }
  std::int64_t size() const { return size_; }
  bool same(std::size_t argument) const {
    return !loops_ || std::ranges::find(same_, static_cast<std::int64_t>(argument)) != same_.end();
  }
  Type of_all(const Type& member) const {
    if (!loops_) return member;
    return {batched_shape(member.shape, size_), member.dtype};
  }
  Type of_argument(std::size_t argument, const Type& member) const {
    return same(argument) ? member : of_all(member);
  }

 private:
  bool loops_;
  std::int64_t size_;
  Ints same_;
};

// A node's attributes: the arguments from `first_linear` on are tangents or cotangents.
Attributes attributes_of(FunctionPtr function, std::size_t first_linear, const Members& members,
                         const std::vector<bool>& same) {
  const Attributes plain{{"function", std::move(function)},
                         {"first_linear", static_cast<std::int64_t>(first_linear)}};
  if (!members.loop()) return plain;
  Ints listed;
  for (std::size_t i = 0; i < same.size(); ++i)
    if (same[i]) listed.push_back(static_cast<std::int64_t>(i));
  return plain.with("members", members.size()).with("same", listed);
}

// A function's program, run on the caller's memory.
class Runner {
 public:
  Runner(FunctionPtr function, const CompileOptions& options, const Members& members)
      : function_(std::move(function)),
        members_(members),
        body_(function_->inputs(), function_->outputs(), of_functions(options),
              function_->where()) {}
  detail::Body& body() { return body_; }
  void run(const KernelArgs& args) {
    body_.use(args.workspace);
    for (std::int64_t member = 0; member < members_.size(); ++member) run_member(args, member);
  }

 private:
  void run_member(const KernelArgs& args, std::int64_t member) {
    const auto place = [&](const Type& type) {
      return static_cast<std::size_t>(member) * bytes_of(type);
    };
    for (std::size_t i = 0; i < function_->inputs().size(); ++i) {
      const std::size_t at = members_.same(i) ? 0 : place(function_->inputs()[i].type());
      body_.read(i, args.input<std::byte>(i) + at);
    }
    for (std::size_t i = 0; i < function_->outputs().size(); ++i)
      body_.write(i, args.output<std::byte>(i) + place(function_->outputs()[i].type()));
    body_.run();
  }

  FunctionPtr function_;
  Members members_;
  detail::Body body_;
};

// The function (primals, tangents of the active inputs) -> tangents of all outputs.
FunctionPtr tangent_function(const Function& function, const std::vector<std::size_t>& active) {
  std::vector<Type> types = types_of(function.inputs());
  const std::size_t count = types.size();
  for (const std::size_t i : active) types.push_back(function.inputs()[i].type());
  const auto body = [&](std::span<const Var> arguments) {
    const std::vector<Var> outputs = function.inlined(arguments.first(count), function.where());
    std::vector<Wrt> wrt;
    wrt.reserve(active.size());
    for (const std::size_t i : active) wrt.emplace_back(arguments[i], function.where());
    const std::vector<MaybeVar> tangents = forward_all(
        outputs, wrt, {arguments.begin() + static_cast<std::ptrdiff_t>(count), arguments.end()},
        function.where());
    std::vector<Var> results;
    for (std::size_t i = 0; i < outputs.size(); ++i)
      results.push_back(tangents[i] ? *tangents[i] : detail::zeros_like(outputs[i]));
    return results;
  };
  return Function::make("jvp of " + function.name(), types, body, function.where());
}

// For a function linear in its arguments from `first_linear` on: (the other arguments, cotangents
// of the outputs) -> cotangents of the linear arguments. Their own values do not matter: zeros.
FunctionPtr transposed_function(const Function& function, std::size_t first_linear) {
  std::vector<Type> types = types_of(std::span(function.inputs()).first(first_linear));
  for (const Var& out : function.outputs()) types.push_back(out.type());
  const auto body = [&](std::span<const Var> arguments) {
    std::vector<Var> full(arguments.begin(),
                          arguments.begin() + static_cast<std::ptrdiff_t>(first_linear));
    std::vector<Wrt> wrt;
    Graph& graph = arguments[0].graph();
    for (std::size_t i = first_linear; i < function.inputs().size(); ++i) {
      const Type& type = function.inputs()[i].type();
      full.push_back(
          graph.constant(zeros(type.shape, type.dtype, function.where()), function.where()));
      wrt.emplace_back(full.back(), function.where());
    }
    const std::vector<Var> outputs = function.inlined(full, function.where());
    const std::vector<Var> cotangents(arguments.begin() + static_cast<std::ptrdiff_t>(first_linear),
                                      arguments.end());
    return vjp(outputs, wrt, cotangents, Unreachable::zero, function.where()).all();
  };
  return Function::make("transpose of " + function.name(), types, body, function.where());
}

// What stands for one member in a graph that is being batched, and for all of them.
struct OneOfMany {
  std::vector<Var> members;
  std::vector<Var> batches;

  // Each Var for one member: those that are not batched are what they are.
  std::vector<Var> of_one(std::span<const Var> all, const std::vector<bool>& batched) {
    std::vector<Var> one(all.begin(), all.end());
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (!batched[i]) continue;
      batches.push_back(all[i]);
      members.push_back(detail::member_of(all[i]));
      one[i] = members.back();
    }
    return one;
  }
  std::vector<Var> of_all(const std::vector<Var>& results, std::int64_t size,
                          Location where) const {
    const std::vector<MaybeVar> found = batch_all(results, members, batches, where);
    std::vector<Var> all;
    for (std::size_t i = 0; i < found.size(); ++i)
      all.push_back(found[i] ? *found[i] : detail::for_all(results[i], size));
    return all;
  }
};

// An author's rules for all members at once. They capture all they need: the batched function may
// outlive the one it was made of.
FunctionRules batched_rules(const FunctionRules& rules, const std::vector<bool>& batched,
                            std::int64_t size, Location where) {
  const auto one_for_all = [batched, size, where](
                               const FunctionRules::Jvp& rule, std::span<const Var> in,
                               std::span<const Var> out, std::span<const Var> moved,
                               const std::vector<bool>& moved_batched, bool linear) {
    OneOfMany sweep;
    const std::vector<Var> x = sweep.of_one(in, batched);
    const std::vector<Var> y = sweep.of_one(out, std::vector<bool>(out.size(), true));
    const std::vector<Var> v = sweep.of_one(moved, moved_batched);
    if (linear) detail::require_linear_rule(rule, x, y, v);
    return sweep.of_all(rule(x, y, v), size, where);
  };
  FunctionRules made;
  made.of_batch = true;
  const bool of_member = !rules.of_batch;  // rules of batches see to it themselves
  if (rules.jvp)
    made.jvp = [=, rule = rules.jvp](std::span<const Var> in, std::span<const Var> out,
                                     std::span<const Var> tangents) {
      return one_for_all(rule, in, out, tangents, batched, of_member);
    };
  if (rules.vjp)
    made.vjp = [=, rule = rules.vjp](std::span<const Var> in, std::span<const Var> out,
                                     std::span<const Var> cotangents) {
      std::vector<Var> found =
          one_for_all(rule, in, out, cotangents, std::vector<bool>(cotangents.size(), true), false);
      for (std::size_t i = 0; i < found.size(); ++i)
        if (!batched[i]) found[i] = sum(found[i], {0});
      return found;
    };
  return made;
}

// The function of all members at once, where the inputs marked are batched.
FunctionPtr batched_function(const Function& function, const std::vector<bool>& batched,
                             std::int64_t size) {
  std::vector<Type> types;
  for (std::size_t i = 0; i < batched.size(); ++i) {
    const Type& type = function.inputs()[i].type();
    types.push_back(batched[i] ? Type{batched_shape(type.shape, size), type.dtype} : type);
  }
  const auto body = [&](std::span<const Var> arguments) {
    OneOfMany sweep;
    const std::vector<Var> one = sweep.of_one(arguments, batched);
    return sweep.of_all(function.inlined(one, function.where()), size, function.where());
  };
  return Function::make("batch of " + function.name(), types, body, function.where(),
                        batched_rules(function.rules(), batched, size, function.where()));
}

struct Call {
  static constexpr auto name = "call";
  static constexpr auto doc = "the outputs of a Function on given arguments, as one node";
  static constexpr auto math =
      "call(f, x); its jvp is call(f', x, dx), the transpose of that call(f'^T, x, c)";

  static const Function& function(const Attributes& attributes) {
    return *attributes.get<FunctionPtr>("function");
  }
  // Arguments from this one on are linear: tangents of a derived call.
  static std::size_t first_linear(const Attributes& attributes) {
    return static_cast<std::size_t>(attributes.get<std::int64_t>("first_linear"));
  }

  // Whether only arguments move in which the call is linear: it is then called on their tangents.
  static bool linear_alone(const NodeView& node, std::span<const MaybeVar> tangents) {
    const std::size_t first = first_linear(node.attributes);
    if (first == tangents.size()) return false;
    return std::ranges::none_of(tangents.first(first),
                                [](const MaybeVar& tangent) { return tangent.has_value(); });
  }
  static std::vector<MaybeVar> moved(const NodeView& node, std::span<const MaybeVar> tangents) {
    std::vector<In> arguments(node.in.begin(), node.in.end());
    for (std::size_t i = first_linear(node.attributes); i < arguments.size(); ++i)
      arguments[i] = tangents[i] ? *tangents[i] : detail::zeros_like(node.in[i]);
    const std::vector<Var> out = apply_all(node.op, arguments, node.attributes);
    std::vector<MaybeVar> result(out.begin(), out.end());
    for (std::size_t i = 0; i < result.size(); ++i)
      if (!is_floating(node.out[i].dtype())) result[i] = std::nullopt;
    return result;
  }

  static void infer(Inference& inference) {
    const Function& f = function(inference.attributes);
    inference.require_count(f.inputs().size());
    const Members members(inference.attributes);
    for (std::size_t i = 0; i < f.inputs().size(); ++i)
      detail::require_taken(inference, i, members.of_argument(i, f.inputs()[i].type()), f.name());
    for (const Var& out : f.outputs()) inference.out.push_back(members.of_all(out.type()));
  }

  static Kernel kernel(const KernelRequest& request) {
    const auto runner = std::make_shared<Runner>(function(request.attributes).shared(),
                                                 request.options, Members(request.attributes));
    return {.run = [runner](const KernelArgs& args) { runner->run(args); },
            .workspace_bytes = runner->body().bytes(),
            .note = runner->body().summary(),
            .bodies = {{runner, &runner->body()}}};
  }

  static Cost cost(const KernelRequest& request) {
    Cost once = detail::cost_of(function(request.attributes), request.options);
    const auto members = static_cast<double>(Members(request.attributes).size());
    return {once.flops * members, once.bytes * members};
  }

  static std::vector<MaybeVar> jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    if (function(node.attributes).rules().any())
      return detail::tangents_by_rule(function(node.attributes).shared(), node, tangents);
    if (linear_alone(node, tangents)) return moved(node, tangents);
    const Members members(node.attributes);
    std::vector<std::size_t> active;
    std::vector<In> arguments(node.in.begin(), node.in.end());
    std::vector<bool> same;
    for (std::size_t i = 0; i < node.in.size(); ++i) same.push_back(members.same(i));
    for (std::size_t i = 0; i < tangents.size(); ++i) {
      if (!tangents[i]) continue;
      active.push_back(i);
      arguments.emplace_back(*tangents[i]);
      same.push_back(members.same(i));
    }
    const FunctionPtr derived = detail::tangents_of(function(node.attributes), active);
    const std::vector<Var> out =
        apply_all(node.op, arguments, attributes_of(derived, node.in.size(), members, same));
    std::vector<MaybeVar> result(out.begin(), out.end());
    for (std::size_t i = 0; i < result.size(); ++i)
      if (!is_floating(node.out[i].dtype())) result[i] = std::nullopt;
    return result;
  }

  // Of all linear arguments, in their order. One cotangent must be there; its graph is the one to
  // write to, as an argument may be a constant of that graph and none of the tape.
  static std::vector<Var> transposes(const NodeView& node, std::span<const MaybeVar> cotangents) {
    const auto arrived =
        std::ranges::find_if(cotangents, [](const MaybeVar& c) { return c.has_value(); });
    if (arrived == cotangents.end()) return {};
    Graph& graph = (*arrived)->graph();
    const std::size_t first = first_linear(node.attributes);
    const Function& f = function(node.attributes);
    const Members members(node.attributes);
    std::vector<In> arguments(node.in.begin(),
                              node.in.begin() + static_cast<std::ptrdiff_t>(first));
    std::vector<bool> same;
    for (std::size_t i = 0; i < first; ++i) same.push_back(members.same(i));
    for (std::size_t k = 0; k < cotangents.size(); ++k) {
      const Type type = members.of_all(f.outputs()[k].type());
      arguments.emplace_back(cotangents[k]
                                 ? *cotangents[k]
                                 : graph.constant(zeros(type.shape, type.dtype, f.where())));
    }
    const FunctionPtr derived = detail::transpose_of(f, first);
    std::vector<Var> found =
        apply_all(node.op, arguments, attributes_of(derived, first, members, same));
    // What was the same for all members has the sum of their cotangents.
    if (members.loop())
      for (std::size_t i = 0; i < found.size(); ++i)
        if (members.same(first + i)) found[i] = sum(found[i], {0});
    return found;
  }

  // Of a plain call: one call of the body for all members.
  static std::optional<std::vector<Var>> batch(const BatchView& view) {
    if (Members(view.node.attributes).loop()) return std::nullopt;
    const Function& f = function(view.node.attributes);
    std::vector<bool> batched;
    std::vector<In> arguments;
    for (std::size_t i = 0; i < view.in.size(); ++i) {
      batched.push_back(view.in[i].has_value());
      arguments.emplace_back(view.in[i] ? *view.in[i] : view.node.in[i]);
    }
    const FunctionPtr derived = detail::batch_of(f, batched, view.size);
    return apply_all(view.node.op, arguments,
                     attributes_of(derived, first_linear(view.node.attributes), Members({}), {}));
  }

  static std::vector<Case> cases();
};

// General in its own arguments; a derived call is linear in its tangents, with a transpose.
class CallOp : public detail::PlainOp<Call, Kind::general> {
 public:
  std::vector<MaybeVar> jvp(const NodeView& node,
                            std::span<const MaybeVar> tangents) const override {
    return Call::jvp(node, tangents);
  }
  std::vector<MaybeVar> transpose_all(const NodeView& node, const std::vector<bool>&,
                                      std::span<const MaybeVar> cotangents) const override {
    std::vector<MaybeVar> found(Call::first_linear(node.attributes));
    for (const Var& cotangent : Call::transposes(node, cotangents)) found.emplace_back(cotangent);
    found.resize(node.in.size());
    return found;
  }
  bool linear_in(const NodeView& node, std::span<const bool> active) const override {
    const std::size_t first = Call::first_linear(node.attributes);
    // A constant of zeros may stand for an absent tangent, and be a primal argument as well.
    for (std::size_t i = 0; i < active.size(); ++i)
      if (active[i] != (i >= first) && !is_zero_constant(node.in[i])) return false;
    return true;
  }
};
constexpr detail::Callable<CallOp> call_op;

std::vector<Case> Call::cases() {
  const auto body = [](std::span<const Var> x) -> std::vector<Var> {
    return {sin(x[0]) * x[1], x[0] + x[1] * x[1]};
  };
  return {{"two outputs", {{Shape{2, 3}}, {Shape{3}}}, [body](std::span<const Var> in) {
             const FunctionPtr f = Function::make("body", types_of(in), body);
             return call(f, {In(in[0]), In(in[1])});
           }}};
}

}  // namespace

std::vector<Var> call(const std::shared_ptr<const Function>& function,
                      std::span<const In> arguments, Location where) {
  if (function == nullptr)
    fail<GraphError>({.op = "call",
                      .what = "the Function is a null pointer",
                      .where = where,
                      .help = "make it with dt::Function::make()"});
  return apply_all(
      call_op.op(), arguments,
      {{"function", function}, {"first_linear", static_cast<std::int64_t>(arguments.size())}});
}

const Op& detail::call_operator() { return call_op.op(); }

FunctionPtr detail::tangents_of(const Function& function, const std::vector<std::size_t>& active) {
  std::string key = "jvp";
  for (const std::size_t i : active) key += " " + std::to_string(i);
  return function.derived(
      key, [&] { return tangent_function(function, active); }, function.where());
}

FunctionPtr detail::transpose_of(const Function& function, std::size_t first_linear) {
  return function.derived(
      "transpose " + std::to_string(first_linear),
      [&] { return transposed_function(function, first_linear); }, function.where());
}

void detail::give_transpose(const Function& function, std::size_t first_linear,
                            const std::function<FunctionPtr()>& make) {
  function.derived("transpose " + std::to_string(first_linear), make, function.where());
}

FunctionPtr detail::batch_of(const Function& function, const std::vector<bool>& batched,
                             std::int64_t size) {
  std::string key = "batch of " + std::to_string(size) + " by";
  for (std::size_t i = 0; i < batched.size(); ++i)
    if (batched[i]) key += " " + std::to_string(i);
  return function.derived(
      key, [&] { return batched_function(function, batched, size); }, function.where());
}

std::vector<Var> detail::call_linear(const std::shared_ptr<const Function>& function,
                                     std::span<const In> arguments, std::size_t first_linear) {
  return apply_all(
      call_op.op(), arguments,
      {{"function", function}, {"first_linear", static_cast<std::int64_t>(first_linear)}});
}

std::vector<Var> detail::call_for_members(const std::shared_ptr<const Function>& function,
                                          std::span<const In> arguments, std::int64_t size,
                                          const Ints& same) {
  return apply_all(call_op.op(), arguments,
                   {{"function", function},
                    {"first_linear", static_cast<std::int64_t>(arguments.size())},
                    {"members", size},
                    {"same", same}});
}

std::vector<Var> call(const std::shared_ptr<const Function>& function,
                      std::initializer_list<In> arguments, Location where) {
  return call(function, std::span<const In>(arguments.begin(), arguments.size()), where);
}

std::vector<Var> checkpoint(const Function::Body& body, std::initializer_list<In> arguments,
                            Location where) {
  std::vector<Type> types;
  for (const In& in : arguments) {
    if (in.form() == In::Form::var)
      types.push_back(
          detail::require_alive(in.var(), "checkpoint", "an argument", in.where()).type());
    else if (in.form() == In::Form::parameter)
      types.push_back(in.parameter().type());
    else
      fail<GraphError>({.op = "checkpoint",
                        .what = "its arguments must be Vars or Parameters",
                        .where = in.where(),
                        .help = "use constants inside the body"});
  }
  return call(Function::make("checkpoint", types, body, where), arguments, where);
}

}  // namespace dualtape
