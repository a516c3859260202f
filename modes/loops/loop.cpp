// The operator of loops.
#include <dualtape/modes/loops/loop.hpp>

#include <algorithm>
#include <cstring>

#include <dualtape/core/kinds.hpp>
#include <dualtape/core/leaves.hpp>
#include <dualtape/core/run/body.hpp>
#include <dualtape/modes/calls/calls.hpp>
#include <dualtape/modes/walk/arithmetic.hpp>
#include <dualtape/modes/walk/vars.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/math.hpp>

namespace dualtape {
namespace detail {

Loop::Loop(const Attributes& attributes)
    : body(attributes.get<FunctionPtr>("body")),
      carried(static_cast<std::size_t>(attributes.get<std::int64_t>("carried"))),
      sliced(static_cast<std::size_t>(attributes.get<std::int64_t>("sliced"))),
      length(attributes.get<std::int64_t>("length")),
      backward(attributes.get<bool>("backward")),
      stops(attributes.get<bool>("stops")),
      counted(attributes.get<bool>("counted")),
      linear(attributes.get<Ints>("linear")),
      states(attributes.get<std::int64_t>("states")),
      every(attributes.get<std::int64_t>("every")) {
  if (!attributes.has("primal")) return;
  primal = attributes.get<FunctionPtr>("primal");
  primal_operands = attributes.get<Ints>("primal_operands");
  primal_outputs = attributes.get<Ints>("primal_outputs");
}

Attributes Loop::attributes() const {
  std::vector<Attributes::Entry> entries{
      {"body", body},         {"carried", carried}, {"sliced", sliced},   {"length", length},
      {"backward", backward}, {"stops", stops},     {"counted", counted}, {"linear", linear},
      {"states", states},     {"every", every}};
  if (primal != nullptr) {
    entries.emplace_back("primal", primal);
    entries.emplace_back("primal_operands", primal_operands);
    entries.emplace_back("primal_outputs", primal_outputs);
  }
  return Attributes(std::move(entries));
}

bool Loop::is_linear(std::size_t operand) const {
  return std::ranges::binary_search(linear, static_cast<std::int64_t>(operand));
}

Type Loop::with_steps(const Type& slice) const {
  Ints sizes = slice.shape.vector();
  sizes.insert(sizes.begin(), length);
  return {Shape(sizes), slice.dtype};
}

Type Loop::operand_type(std::size_t input) const {
  const Type& type = body->inputs()[input].type();
  return is_sliced(input) ? with_steps(type) : type;
}

Type Loop::output_type(std::size_t output) const {
  if (output == body->outputs().size()) return {Shape{}, int64};
  const Type& type = body->outputs()[output].type();
  return output < carried ? type : with_steps(type);
}

namespace {

// A loop's body, run on the caller's memory. Carried values go to and fro between the memory of the
// results and scratch of the same size; slices are read and what is stacked is written in place.
class Runner {
 public:
  Runner(const Loop& loop, const CompileOptions& options)
      : loop_(loop),
        body_(loop.body->inputs(), loop.body->outputs(), of_functions(options),
              loop.body->where()) {
    bytes_ = (body_.bytes() + 63) / 64 * 64;
    for (std::size_t i = 0; i < loop.carried; ++i) {
      places_.push_back(bytes_);
      bytes_ += (bytes_of(loop.body->inputs()[i].type()) + 63) / 64 * 64;
    }
  }
  std::size_t bytes() const { return bytes_; }
  Body& body() { return body_; }
  std::string note() const {
    return "up to " + std::to_string(loop_.length) + " times " + body_.summary();
  }

  void run(const KernelArgs& args) {
    body_.use(args.workspace);
    const std::int64_t steps = wanted(args);
    bind_constants(args);
    if (loop_.counted || loop_.stops) clear_stacked(args);
    std::int64_t done = 0;
    for (; done < steps && goes_on(args, done); ++done) {
      bind_step(args, done, loop_.backward ? steps - 1 - done : done);
      body_.run();
    }
    for (std::size_t i = 0; i < loop_.carried; ++i) finish(args, i, done);
    if (loop_.stops) *args.output<std::int64_t>(loop_.body->outputs().size()) = done;
  }

 private:
  std::int64_t wanted(const KernelArgs& args) const {
    return loop_.counted ? std::clamp<std::int64_t>(*args.input<std::int64_t>(0), 0, loop_.length)
                         : loop_.length;
  }
  void bind_constants(const KernelArgs& args) {
    for (std::size_t i = loop_.carried + loop_.sliced; i < loop_.body->inputs().size(); ++i)
      body_.read(i, args.in[loop_.first() + i]);
  }
  // Steps that are not taken leave zeros.
  void clear_stacked(const KernelArgs& args) const {
    for (std::size_t i = loop_.carried; i < loop_.body->outputs().size(); ++i)
      if (const std::size_t bytes = bytes_of(loop_.output_type(i)); bytes > 0)
        std::memset(args.out[i], 0, bytes);
  }
  // Where the carried value is after that many steps.
  const void* carried(const KernelArgs& args, std::size_t i, std::int64_t steps) const {
    return steps == 0 ? args.in[loop_.first() + i] : place(args, i, steps);
  }
  void* place(const KernelArgs& args, std::size_t i, std::int64_t steps) const {
    return steps % 2 == 1 ? args.out[i] : static_cast<std::byte*>(args.workspace) + places_[i];
  }
  bool goes_on(const KernelArgs& args, std::int64_t steps) const {
    return !loop_.stops || *static_cast<const bool*>(carried(args, 0, steps));
  }
  void bind_step(const KernelArgs& args, std::int64_t step, std::int64_t slice) {
    const auto part = [slice](const Type& type) {
      return static_cast<std::size_t>(slice) * bytes_of(type);
    };
    const std::vector<Var>& in = loop_.body->inputs();
    const std::vector<Var>& out = loop_.body->outputs();
    for (std::size_t i = 0; i < loop_.carried; ++i) {
      body_.read(i, carried(args, i, step));
      body_.write(i, place(args, i, step + 1));
    }
    for (std::size_t i = loop_.carried; i < loop_.carried + loop_.sliced; ++i)
      body_.read(i, args.input<std::byte>(loop_.first() + i) + part(in[i].type()));
    for (std::size_t i = loop_.carried; i < out.size(); ++i)
      body_.write(i, args.output<std::byte>(i) + part(out[i].type()));
  }
  void finish(const KernelArgs& args, std::size_t i, std::int64_t steps) const {
    const void* const last = carried(args, i, steps);
    const std::size_t bytes = bytes_of(loop_.body->inputs()[i].type());
    if (last != args.out[i] && bytes > 0) std::memcpy(args.out[i], last, bytes);
  }

  Loop loop_;
  Body body_;
  std::vector<std::size_t> places_;  // of carried values in the workspace
  std::size_t bytes_;
};

}  // namespace

struct ScanOp {
  static constexpr auto name = "scan";
  static constexpr auto doc = "a Function run for one step after the other";
  static constexpr auto math =
      "(c, y_t) = f(c, x_t, k); its jvp is a scan of f's jvp, its transpose one from the last step "
      "to the first";

  static void infer(Inference& inference) {
    const Loop loop(inference.attributes);
    inference.require_count(loop.operands());
    require(inference,
            loop.carried + loop.sliced <= loop.body->inputs().size() &&
                loop.carried <= loop.body->outputs().size() && loop.length >= 0,
            "its numbers of carried and sliced values do not fit the body");
    if (loop.counted && inference.in[0] != Type{Shape{}, int64})
      inference.type_error("the number of steps is " + to_string(inference.in[0]), "an int64 ()");
    for (std::size_t i = 0; i < loop.body->inputs().size(); ++i)
      require_taken(inference, loop.first() + i, loop.operand_type(i), loop.body->name());
    for (std::size_t i = 0; i < loop.carried; ++i) {
      const Type& before = loop.body->inputs()[i].type();
      const Type& after = loop.body->outputs()[i].type();
      if (before == after) continue;
      const std::string seen = "carried value " + std::to_string(i) + " is " + to_string(before) +
                               " before a step and " + to_string(after) + " after it";
      if (before.shape != after.shape)
        inference.shape_error(seen, "what is carried keeps its shape");
      inference.type_error(seen, "cast it in the body");
    }
    require(inference,
            !loop.stops ||
                (loop.carried > 0 && loop.body->inputs()[0].type() == Type{Shape{}, boolean}),
            "carried value 0 of a loop that may stop is a truth value");
    for (std::size_t i = 0; i < loop.outputs(); ++i) inference.out.push_back(loop.output_type(i));
  }

  static Kernel kernel(const KernelRequest& request) {
    const auto runner = std::make_shared<Runner>(Loop(request.attributes), request.options);
    return {.run = [runner](const KernelArgs& args) { runner->run(args); },
            .workspace_bytes = runner->bytes(),
            .note = runner->note(),
            .bodies = {{runner, &runner->body()}}};
  }

  static Cost cost(const KernelRequest& request) {
    const Loop loop(request.attributes);
    const Cost step = cost_of(*loop.body, request.options);
    const auto steps = static_cast<double>(loop.length);
    return {step.flops * steps, step.bytes * steps};
  }

  static std::vector<MaybeVar> jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    return loop_tangents(Loop(node.attributes), node, tangents);
  }

  static std::optional<std::vector<Var>> batch(const BatchView& view) {
    return batched_loop(Loop(view.node.attributes), view);
  }

  static std::vector<Case> cases();

 private:
  static void require(const Inference& inference, bool holds, const char* what) {
    if (!holds) inference.value_error(what);
  }
};

namespace {

class ScanNode : public PlainOp<ScanOp, Kind::general> {
 public:
  std::vector<MaybeVar> jvp(const NodeView& node,
                            std::span<const MaybeVar> tangents) const override {
    return ScanOp::jvp(node, tangents);
  }
  std::vector<MaybeVar> transpose_all(const NodeView& node, const std::vector<bool>&,
                                      std::span<const MaybeVar> cotangents) const override {
    const Loop loop(node.attributes);
    const std::vector<Var> found = loop_transposed(loop, node, cotangents);
    std::vector<MaybeVar> result(node.in.size());
    for (std::size_t i = 0; i < found.size(); ++i)
      result[static_cast<std::size_t>(loop.linear[i])] = found[i];
    return result;
  }
  bool linear_in(const NodeView& node, std::span<const bool> active) const override {
    const Loop loop(node.attributes);
    if (loop.linear.empty()) return false;
    for (std::size_t i = 0; i < active.size(); ++i)
      if (active[i] != loop.is_linear(i) && (active[i] || !is_zero_constant(node.in[i])))
        return false;
    return true;
  }
  bool may_cover() const override { return true; }
  std::optional<Covered> covered(const Attributes& mine, const Attributes& others) const override {
    if (!mine.has("primal")) return std::nullopt;
    const Loop loop(mine);
    const Loop other(others);
    if (loop.primal != other.body || loop.length != other.length ||
        loop.backward != other.backward || loop.stops != other.stops ||
        loop.counted != other.counted || loop.primal_operands.size() != other.operands())
      return std::nullopt;
    return Covered{loop.primal_operands, loop.primal_outputs};
  }
};
constexpr Callable<ScanNode> scan_op;

}  // namespace

std::vector<Case> ScanOp::cases() {
  const auto by_scan = [](std::span<const Var> in) {
    const std::vector<Type> types{
        in[0].type(), {Shape(in[1].shape().sizes().subspan(1)), in[1].dtype()}, in[2].type()};
    Loop loop;
    loop.body = Function::make("body", types, [](std::span<const Var> x) -> std::vector<Var> {
      const Var next = sin(x[0] * x[2]) + x[1];
      return {next, next * x[1]};
    });
    loop.carried = loop.sliced = 1;
    loop.length = in[1].shape()[0];
    return apply_loop(loop, in);
  };
  return {
      {"a carried value, slices, a constant", {{Shape{3}}, {Shape{4, 3}}, {Shape{3}}}, by_scan}};
}

const Op& loop_operator() { return scan_op.op(); }

std::vector<Var> apply_loop(const Loop& loop, std::span<const Var> operands) {
  std::vector<In> in;
  for (const Var& operand : operands) in.emplace_back(operand, loop.body->where());
  return apply_all(loop_operator(), in, loop.attributes());
}

}  // namespace detail
}  // namespace dualtape
