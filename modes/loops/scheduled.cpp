// The operator of loops that are run back to front from some of their states, and its derivatives.
//
// For a loop y = F(p) it is G(p, u) = J(p)^T u. With the dual loop D(p, v) = (F(p), J(p) v), the
// derivative of G along (v, w) is the same operator of D: J(p)^T w + d/dp <u, J(p) v>, which is D's
// transpose on (w, u), by p. So schedules survive differentiation.
#include <dualtape/core/composite.hpp>
#include <dualtape/modes/loops/scheduled.hpp>

#include <algorithm>

#include <dualtape/core/kinds.hpp>
#include <dualtape/core/leaves.hpp>
#include <dualtape/modes/calls/calls.hpp>
#include <dualtape/modes/loops/schedule.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/modes/walk/arithmetic.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/math.hpp>

namespace dualtape::detail {

BackLoop::BackLoop(const Attributes& attributes)
    : loop(attributes), moving(loop, [&] {
        std::vector<bool> flags;
        for (const std::int64_t flag : attributes.get<Ints>("moving")) flags.push_back(flag != 0);
        return flags;
      }()) {}

Attributes BackLoop::attributes() const {
  return loop.attributes().with("moving", Ints(moving.inputs.begin(), moving.inputs.end()));
}

std::int64_t BackLoop::kept_states() const {
  if (loop.every == 0)
    return loop.stops ? loop.states : std::min(loop.states, std::max<std::int64_t>(loop.length, 1));
  return (loop.length + loop.every - 1) / loop.every + loop.every;
}

std::int64_t BackLoop::advances() const {
  const std::int64_t steps = loop.length;
  if (loop.every == 0)
    return least_advances(steps, std::min(loop.states, std::max(steps, std::int64_t{1})));
  // Once to the last kept state, and within each part to its last.
  const std::int64_t parts = (steps + loop.every - 1) / loop.every;
  return steps == 0 ? 0 : (parts - 1) * loop.every + steps - parts;
}

FunctionPtr BackLoop::advance() const {
  const Function& f = *loop.body;
  return f.derived(
      "advance" + layout_of(loop),
      [&] {
        const auto body = [&](std::span<const Var> x) {
          std::vector<Var> out = f.inlined(x, f.where());
          out.resize(loop.carried);
          return out;
        };
        return Function::make("advance of " + f.name(), types_of(f.inputs()), body, f.where());
      },
      f.where());
}

FunctionPtr BackLoop::step() const {
  const Function& f = *loop.body;
  const auto make = [&] {
    std::vector<Type> types = types_of(f.inputs());
    for (const std::size_t i : carried()) types.push_back(f.inputs()[i].type());
    for (const std::size_t i : constant()) types.push_back(f.inputs()[i].type());
    for (const std::size_t i : stacked()) types.push_back(f.outputs()[i].type());
    const auto body = [&](std::span<const Var> x) {
      const std::span<const Var> values = x.first(f.inputs().size());
      const std::vector<Var> out = f.inlined(values, f.where());
      std::vector<Var> outputs;
      std::vector<Wrt> wrt;
      for (const std::size_t i : moving.moving_outputs()) outputs.push_back(out[i]);
      for (const std::size_t i : moving.moving_inputs()) wrt.emplace_back(values[i], f.where());
      const std::size_t c = carried().size(), s = sliced().size(), k = constant().size();
      const auto given = x.subspan(values.size());
      std::vector<Var> cotangents(given.begin(), given.begin() + static_cast<std::ptrdiff_t>(c));
      cotangents.insert(cotangents.end(), given.begin() + static_cast<std::ptrdiff_t>(c + k),
                        given.end());
      const std::vector<Var> found =
          vjp(outputs, wrt, cotangents, Unreachable::zero, f.where()).all();
      std::vector<Var> results(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(c));
      const Composite line("scan", {In(x[0], f.where())});
      for (std::size_t j = 0; j < k; ++j) results.push_back(given[c + j] + found[c + s + j]);
      for (std::size_t j = 0; j < s; ++j) results.push_back(found[c + j]);
      return results;
    };
    return Function::make("a step back of " + f.name(), types, body, f.where());
  };
  return f.derived("step back" + layout_of(loop) + moving.key(), make, f.where());
}

struct ScanVjpOp {
  static constexpr auto name = "scan_vjp";
  static constexpr auto doc =
      "the transpose of a scan's derivative, from some states that it keeps";
  static constexpr auto math =
      "J(p)^T u, steps being run again from states of a schedule; its jvp is the same of the dual "
      "scan";

  static void infer(Inference& inference) {
    const BackLoop back(inference.attributes);
    const std::vector<std::size_t> outputs = back.moving.moving_outputs();
    inference.require_count(back.loop.operands() + outputs.size());
    const auto require = [&](std::size_t operand, const Type& wanted) {
      require_taken(inference, operand, wanted, back.loop.body->name());
    };
    for (std::size_t i = 0; i < back.loop.operands(); ++i) require(i, back.loop.operand_type(i));
    for (std::size_t k = 0; k < outputs.size(); ++k)
      require(back.loop.operands() + k, back.loop.output_type(outputs[k]));
    for (const std::size_t i : back.moving.moving_inputs())
      inference.out.push_back(back.loop.operand_type(i));
    if (inference.out.empty()) inference.value_error("nothing moves");
  }
  static Kernel kernel(const KernelRequest& request) {
    return back_kernel(BackLoop(request.attributes), request.options);
  }
  static Cost cost(const KernelRequest& request) {
    const BackLoop back(request.attributes);
    const Cost step = cost_of(*back.step(), request.options);
    const Cost advance = cost_of(*back.advance(), request.options);
    const auto steps = static_cast<double>(back.loop.length);
    const auto advances = static_cast<double>(back.advances());
    return {step.flops * steps + advance.flops * advances,
            step.bytes * steps + advance.bytes * advances};
  }
  static std::vector<MaybeVar> jvp(const NodeView& node, std::span<const MaybeVar> tangents);
  static std::vector<Case> cases();
};

namespace {

class ScanVjpNode : public PlainOp<ScanVjpOp, Kind::general> {
 public:
  std::vector<MaybeVar> jvp(const NodeView& node,
                            std::span<const MaybeVar> tangents) const override {
    return ScanVjpOp::jvp(node, tangents);
  }
};
constexpr Callable<ScanVjpNode> scan_vjp_op;

// A node that is not there, for rules that read one.
struct Operands {
  explicit Operands(std::span<const Var> in) : view{loop_operator(), in, {}, none} {}
  Attributes none;
  NodeView view;
};

// J(p) v of the moving outputs, along the moving inputs.
std::vector<Var> along(const Loop& loop, const Moving& moving, std::span<const Var> p,
                       std::span<const Var> v) {
  std::vector<MaybeVar> tangents(p.size());
  const std::vector<std::size_t> inputs = moving.moving_inputs();
  for (std::size_t k = 0; k < inputs.size(); ++k) tangents[inputs[k]] = v[k];
  const Operands operands(p);
  std::vector<Var> found;
  for (const MaybeVar& tangent : tangents_in_one_loop(loop, operands.view, tangents, moving))
    if (tangent) found.push_back(*tangent);
  return found;
}

// The derivative of J(p)^T u along v of p's `moved` and w of u.
std::vector<Var> of_dual(const BackLoop& back, const Moving& moved, std::span<const Var> p,
                         std::span<const Var> u, std::span<const Var> v, std::span<const Var> w) {
  const Dual dual(back.loop, moved);
  const Loop loop = dual.loop();
  std::vector<bool> by(loop.body->inputs().size());
  for (const std::size_t i : back.moving.moving_inputs()) by[dual.place_of_input(i)] = true;
  const BackLoop made(loop, by);
  const std::vector<Var> operands = dual.woven(p, v);

  // Cotangents by output of the body: of values w, of tangents u.
  const std::size_t outputs = back.loop.body->outputs().size();
  std::vector<Var> of_values(outputs), of_tangents;
  const std::vector<std::size_t> moving = back.moving.moving_outputs();
  for (std::size_t k = 0; k < moving.size(); ++k) of_values[moving[k]] = w[k];
  for (const std::size_t i : moved.moving_outputs()) {
    const auto at = std::ranges::find(moving, i);
    of_tangents.push_back(at == moving.end() ? Var()
                                             : u[static_cast<std::size_t>(at - moving.begin())]);
  }
  const std::vector<Var> all = dual.woven_outputs(of_values, of_tangents);
  std::vector<Var> cotangents;
  for (const std::size_t i : made.moving.moving_outputs()) {
    const Type type = loop.output_type(i);
    cotangents.push_back(all[i].defined()
                             ? all[i]
                             : broadcast_as(p[0].graph().constant(0.0, type.dtype), type.shape));
  }
  const std::vector<Var> found = apply_back(made, operands, cotangents);
  const std::vector<std::size_t> of = made.moving.moving_inputs();
  std::vector<Var> results;
  for (const std::size_t i : back.moving.moving_inputs()) {
    const auto at = std::ranges::find(of, dual.place_of_input(i));
    results.push_back(found[static_cast<std::size_t>(at - of.begin())]);
  }
  return results;
}

std::vector<Type> operand_types(const Loop& loop) {
  std::vector<Type> types;
  for (std::size_t i = 0; i < loop.operands(); ++i) types.push_back(loop.operand_type(i));
  return types;
}

// Consecutive parts of a list.
class Parts {
 public:
  explicit Parts(std::span<const Var> all) : all_(all) {}
  std::span<const Var> next(std::size_t count) {
    const auto part = all_.first(count);
    all_ = all_.subspan(count);
    return part;
  }

 private:
  std::span<const Var> all_;
};

// <c, d/dp <u, J(p) v>> is <v, d/dp <u, J(p) c>>: its cotangents by what has moved.
std::vector<Var> by_moved_inputs(const BackLoop& back, const Moving& moved, std::span<const Var> p,
                                 std::span<const Var> u, std::span<const Var> c) {
  const BackLoop by_moved(back.loop, moved.inputs);
  const std::vector<std::size_t> outputs = back.moving.moving_outputs();
  const std::vector<std::size_t> theirs = by_moved.moving.moving_outputs();
  std::vector<Var> of_u(theirs.size());
  for (std::size_t k = 0; k < theirs.size(); ++k) {
    const auto found = std::ranges::find(outputs, theirs[k]);
    if (found != outputs.end()) of_u[k] = u[static_cast<std::size_t>(found - outputs.begin())];
  }
  const std::vector<Var> none(of_u.size());
  return of_dual(by_moved, back.moving, p, of_u, c, none);
}

// (p, u, v, w) -> of_dual, for the tape; it knows its transpose by (v, w).
FunctionPtr second_order(const BackLoop& back, const Moving& moved) {
  const Function& f = *back.loop.body;
  const std::vector<std::size_t> outputs = back.moving.moving_outputs();
  std::vector<Type> types = operand_types(back.loop);
  const std::size_t p = types.size(), u = outputs.size(), v = moved.moving_inputs().size();
  const auto add_cotangents = [&] {
    for (const std::size_t i : outputs) types.push_back(back.loop.output_type(i));
  };
  add_cotangents();
  const std::vector<Type> values = types;
  for (const std::size_t i : moved.moving_inputs()) types.push_back(back.loop.operand_type(i));
  add_cotangents();
  const auto body = [&](std::span<const Var> x) {
    Parts parts(x);
    const auto at = parts.next(p), by = parts.next(u), direction = parts.next(v);
    const auto change = parts.next(u);
    return v == 0 ? apply_back(back, at, change) : of_dual(back, moved, at, by, direction, change);
  };
  const auto made = Function::make("second order of " + f.name(), types, body, f.where());
  give_transpose(*made, p + u, [&] {
    std::vector<Type> in = values;
    for (const std::size_t i : back.moving.moving_inputs()) in.push_back(back.loop.operand_type(i));
    const auto transposed = [&](std::span<const Var> x) {
      Parts parts(x);
      const auto at = parts.next(p), by = parts.next(u);
      const auto c = parts.next(back.moving.moving_inputs().size());
      std::vector<Var> results;
      if (v > 0) results = by_moved_inputs(back, moved, at, by, c);
      const std::vector<Var> tangents = along(back.loop, back.moving, at, c);
      results.insert(results.end(), tangents.begin(), tangents.end());
      return results;
    };
    return Function::make("transposed second order of " + f.name(), in, transposed, f.where());
  });
  return made;
}

}  // namespace

std::vector<Var> apply_back(const BackLoop& back, std::span<const Var> operands,
                            std::span<const Var> cotangents) {
  std::vector<In> in;
  for (const Var& var : operands) in.emplace_back(var, back.loop.body->where());
  for (const Var& var : cotangents) in.emplace_back(var, back.loop.body->where());
  return apply_all(scan_vjp_op.op(), in, back.attributes());
}

std::vector<MaybeVar> ScanVjpOp::jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
  const BackLoop back(node.attributes);
  const std::size_t operands = back.loop.operands();
  const std::span<const Var> p = node.in.first(operands);
  const std::span<const Var> u = node.in.subspan(operands);
  const Moving moved(back.loop, tangents.first(operands));
  bool tape = false;
  for (const MaybeVar& tangent : tangents)
    tape = tape || (tangent && tangent->graph().parent() != nullptr);
  std::vector<Var> v, w;
  for (const std::size_t i : moved.moving_inputs())
    v.push_back(tangents[i] ? *tangents[i] : zeros_like(node.in[i]));
  for (std::size_t k = 0; k < u.size(); ++k)
    w.push_back(tangents[operands + k] ? *tangents[operands + k] : zeros_like(u[k]));
  std::vector<Var> found;
  if (tape) {
    const FunctionPtr function = back.loop.body->derived(
        "second order" + layout_of(back.loop) + std::to_string(back.loop.length) + " " +
            std::to_string(back.loop.states) + " " + std::to_string(back.loop.every) + " " +
            back.moving.key() + " " + moved.key(),
        [&] { return second_order(back, moved); }, back.loop.body->where());
    std::vector<In> all;
    for (const auto& list : {std::vector<Var>(node.in.begin(), node.in.end()), v, w})
      for (const Var& var : list) all.emplace_back(var);
    found = call_linear(function, all, node.in.size());
  } else if (v.empty()) {
    found = apply_back(back, p, w);
  } else {
    found = of_dual(back, moved, p, u, v, w);
  }
  return {found.begin(), found.end()};
}

std::vector<Case> ScanVjpOp::cases() {
  const auto back = [](std::span<const Var> in) {
    const std::vector<Type> types{
        in[0].type(), {Shape(in[1].shape().sizes().subspan(1)), in[1].dtype()}, in[2].type()};
    Loop loop;
    loop.body = Function::make("body", types, [](std::span<const Var> x) -> std::vector<Var> {
      const Var next = sin(x[0] * x[2]) + x[1];
      return {next, next * x[1]};
    });
    loop.carried = loop.sliced = 1;
    loop.length = in[1].shape()[0];
    loop.states = 2;
    return apply_back(BackLoop(loop, {true, true, true}), in.first(3), in.subspan(3));
  };
  return {{"four steps from two states",
           {{Shape{3}}, {Shape{4, 3}}, {Shape{3}}, {Shape{3}}, {Shape{4, 3}}},
           back}};
}

std::vector<MaybeVar> tangents_by_schedule(const Loop& loop, const NodeView& node,
                                           std::span<const MaybeVar> tangents,
                                           const Moving& moving) {
  const Function& f = *loop.body;
  const auto make = [&] {
    std::vector<Type> types = operand_types(loop);
    for (const std::size_t i : moving.moving_inputs()) types.push_back(loop.operand_type(i));
    const auto body = [&](std::span<const Var> x) {
      return along(loop, moving, x.first(loop.operands()), x.subspan(loop.operands()));
    };
    const auto made = Function::make("jvp of " + f.name(), types, body, f.where());
    give_transpose(*made, loop.operands(), [&] {
      std::vector<Type> in = operand_types(loop);
      for (const std::size_t i : moving.moving_outputs()) in.push_back(loop.output_type(i));
      const auto transposed = [&](std::span<const Var> x) {
        return apply_back(BackLoop(loop, moving.inputs), x.first(loop.operands()),
                          x.subspan(loop.operands()));
      };
      return Function::make("transpose of " + f.name(), in, transposed, f.where());
    });
    return made;
  };
  const std::string key = "scheduled" + layout_of(loop) + moving.key() + " " +
                          std::to_string(loop.length) + " " + std::to_string(loop.states) + " " +
                          std::to_string(loop.every) + (loop.backward ? " back" : "");
  const FunctionPtr function = f.derived(key, make, f.where());
  const std::vector<Var> directions = tangents_for(loop, node, tangents, moving.moving_inputs());
  std::vector<In> operands(node.in.begin(), node.in.end());
  for (const Var& direction : directions) operands.emplace_back(direction);
  return spread(loop, moving.outputs, call_linear(function, operands, loop.operands()));
}

}  // namespace dualtape::detail
