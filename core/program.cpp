#include <dualtape/core/program.hpp>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cstring>
#include <iomanip>
#include <sstream>
#include <unordered_map>
#include <unordered_set>

#include <dualtape/core/detail/denormals.hpp>
#include <dualtape/core/leaves.hpp>

namespace dualtape {
namespace {

struct Step {
  std::uint32_t kernel;
  std::uint32_t node;  // in Plan::nodes
  std::uint32_t first_in;
  std::uint32_t first_out;
};

struct InputSlot {
  NodeId source;
  ValueId value;
  std::uint32_t node;
  std::vector<std::uint32_t> readers;  // places in Impl::in that point at the fed memory
};

// Kernels are planned once for equal operators, attributes and types.
class KernelCache {
 public:
  explicit KernelCache(const Plan& plan) : plan_(plan) {}

  std::uint32_t find_or_plan(const PlanNode& node, std::vector<Kernel>& kernels) {
    std::size_t hash = std::hash<const void*>{}(node.op) ^ (node.attributes.hash() * 31);
    const auto operands = plan_.operands_of(node);
    for (const ValueId v : operands)
      for (const std::int64_t size : plan_.values[v].shape)
        hash = hash * 0x9E3779B97F4A7C15u + static_cast<std::size_t>(size);
    for (auto [it, end] = known_.equal_range(hash); it != end; ++it)
      if (same(*it->second.first, node)) return it->second.second;
    std::vector<Type> in;
    std::vector<Type> out;
    for (const ValueId v : operands) in.push_back(plan_.values[v]);
    for (ValueId v = node.first_value; v < node.first_value + node.value_count; ++v)
      out.push_back(plan_.values[v]);
    kernels.push_back(node.op->kernel({in, out, node.attributes}));
    const auto index = static_cast<std::uint32_t>(kernels.size() - 1);
    known_.emplace(hash, std::pair{&node, index});
    return index;
  }

 private:
  bool same(const PlanNode& a, const PlanNode& b) const {
    if (a.op != b.op || a.value_count != b.value_count || a.attributes != b.attributes)
      return false;
    for (std::uint16_t i = 0; i < a.value_count; ++i)
      if (plan_.values[a.first_value + i] != plan_.values[b.first_value + i]) return false;
    return std::ranges::equal(
        plan_.operands_of(a), plan_.operands_of(b),
        [&](ValueId x, ValueId y) { return plan_.values[x] == plan_.values[y]; });
  }

  const Plan& plan_;
  std::unordered_multimap<std::size_t, std::pair<const PlanNode*, std::uint32_t>> known_;
};

}  // namespace

struct Program::Impl {
  Plan plan;
  Placement placement;
  std::vector<Kernel> kernels;
  std::vector<Step> steps;
  std::vector<const void*> in;
  std::vector<void*> out;
  std::vector<InputSlot> inputs;
  std::vector<bool> fed;
  std::unordered_map<ValueId, Parameter> written_parameters;  // those assigned in place
  std::vector<Tensor> copied_feeds;                           // of this run
  Tensor arena;
  Tensor workspace;
  std::size_t workspace_bytes = 0;
  const Graph* graph = nullptr;  // to tell foreign Vars; compared, never looked into
  std::vector<std::pair<Var, Tensor>> results;
  std::atomic<bool> running{false};

  // Of a value that the program computes.
  std::byte* address(ValueId value) const {
    const ValueId root = placement.values[value].root;
    const auto direct = written_parameters.find(root);
    if (direct != written_parameters.end())
      return static_cast<std::byte*>(const_cast<void*>(direct->second.value().raw()));
    assert(placement.values[root].storage == Storage::arena);
    return static_cast<std::byte*>(const_cast<void*>(arena.raw())) + placement.values[root].offset;
  }
  void build(std::span<const Var> outputs);
  void bind_operands(const std::vector<std::uint32_t>& producer);
  void bind_feeds(std::span<const Feed> feeds, Location where);
  const void* unwritten(const Tensor& feed);
  void run_steps();
  void commit();
  [[noreturn]] void rethrow(const Step& step, const std::exception& error) const;
};

void Program::Impl::build(std::span<const Var> outputs) {
  placement = place(plan);
  arena = Tensor::uninitialised(
      {Shape{static_cast<std::int64_t>((placement.arena_bytes + 7) / 8)}, float64});
  for (const PlanAssign& a : plan.assigns)
    if (a.in_place) written_parameters.emplace(a.value, a.parameter);
  std::vector<std::uint32_t> producer(plan.values.size());
  KernelCache cache(plan);
  for (std::uint32_t n = 0; n < plan.nodes.size(); ++n) {
    const PlanNode& node = plan.nodes[n];
    for (std::uint16_t i = 0; i < node.value_count; ++i) producer[node.first_value + i] = n;
    if (node.op == &input_op()) inputs.push_back({node.source, node.first_value, n, {}});
    if (is_leaf(*node.op) || node.op->is_alias()) continue;
    steps.push_back({cache.find_or_plan(node, kernels), n, static_cast<std::uint32_t>(in.size()),
                     static_cast<std::uint32_t>(out.size())});
    in.resize(in.size() + node.operand_count);
    for (ValueId v = node.first_value; v < node.first_value + node.value_count; ++v)
      out.push_back(address(v));
  }
  for (const Kernel& kernel : kernels)
    workspace_bytes = std::max(workspace_bytes, kernel.workspace_bytes);
  workspace =
      Tensor::uninitialised({Shape{static_cast<std::int64_t>((workspace_bytes + 7) / 8)}, float64});
  bind_operands(producer);
  fed.resize(inputs.size());
  for (std::size_t i = 0; i < outputs.size(); ++i)
    results.emplace_back(outputs[i],
                         Tensor::view(address(plan.outputs[i]), plan.values[plan.outputs[i]]));
}

// Everything but fed inputs has a fixed address.
void Program::Impl::bind_operands(const std::vector<std::uint32_t>& producer) {
  std::unordered_map<ValueId, std::size_t> slot_of;
  for (std::size_t i = 0; i < inputs.size(); ++i) slot_of[inputs[i].value] = i;
  for (const Step& step : steps) {
    const auto operands = plan.operands_of(plan.nodes[step.node]);
    for (std::uint32_t i = 0; i < operands.size(); ++i) {
      const Placement::Value& value = placement.values[operands[i]];
      const PlanNode& root = plan.nodes[producer[value.root]];
      const void*& operand = in[step.first_in + i];
      switch (value.storage) {
        case Storage::arena: operand = address(operands[i]); break;
        case Storage::constant: operand = root.attributes.get<Tensor>("value").raw(); break;
        case Storage::parameter:
          operand = root.op == &parameter_op()
                        ? root.attributes.get<Parameter>("parameter").value().raw()
                        : address(operands[i]);
          break;
        case Storage::input: inputs[slot_of.at(value.root)].readers.push_back(step.first_in + i);
      }
    }
  }
}

void Program::Impl::bind_feeds(std::span<const Feed> feeds, Location where) {
  std::fill(fed.begin(), fed.end(), false);
  copied_feeds.clear();
  for (const Feed& feed : feeds) {
    if (!feed.input.defined() || &feed.input.graph() != graph)
      fail<GraphError>({.op = "run",
                        .what = "a feed's Var does not belong to the graph this program was "
                                "compiled from",
                        .where = feed.where,
                        .help = "feed the inputs of that graph"});
    const Node& node = feed.input.node();
    const std::string label = feed.input.label();
    if (node.op != &input_op())
      fail<GraphError>({.op = "run",
                        .label = label,
                        .what = "a feed is for a node that is no input but '" +
                                std::string(node.op->name()) + "'",
                        .where = feed.where,
                        .help = "make it with graph.input(...), or set the Parameter"});
    const Type& wanted = node.first_type;
    if (feed.value.shape() != wanted.shape)
      fail<ShapeError>(
          {.op = "run",
           .label = label,
           .what = "the input is " + to_string(wanted) + ", the feed is " +
                   to_string(feed.value.type()),
           .where = feed.where,
           .help = "a graph has fixed shapes; build another one for another batch size"});
    if (feed.value.dtype() != wanted.dtype)
      fail<TypeError>({.op = "run",
                       .label = label,
                       .what = "the input is " + to_string(wanted) + ", the feed is " +
                               to_string(feed.value.type()),
                       .where = feed.where,
                       .help = "convert it once with tensor.to(dt::" +
                               std::string(name_of(wanted.dtype)) + ")"});
    const auto slot = std::ranges::find(inputs, feed.input.id(), &InputSlot::source);
    if (slot == inputs.end()) continue;  // the outputs asked for do not need it
    if (fed[static_cast<std::size_t>(slot - inputs.begin())])
      fail<GraphError>({.op = "run",
                        .label = label,
                        .what = "the input is fed twice",
                        .where = feed.where,
                        .help = "leave one of the two feeds out"});
    fed[static_cast<std::size_t>(slot - inputs.begin())] = true;
    const void* data = unwritten(feed.value);
    for (const std::uint32_t reader : slot->readers) in[reader] = data;
  }
  for (std::size_t i = 0; i < inputs.size(); ++i)
    if (!fed[i])
      fail<GraphError>(
          {.op = "run",
           .label = plan.labels[plan.nodes[inputs[i].node].label],
           .what = "the input, " + to_string(plan.values[inputs[i].value]) + " made at " +
                   to_string(plan.nodes[inputs[i].node].where) + ", was not fed",
           .where = where,
           .help =
               "add {" + plan.labels[plan.nodes[inputs[i].node].label] + ", tensor} to the feeds"});
}

// The elements of a feed, or of a copy if it is a parameter that this run writes before its end.
const void* Program::Impl::unwritten(const Tensor& feed) {
  for (const auto& [value, parameter] : written_parameters)
    if (feed.shares_memory_with(parameter.value())) {
      copied_feeds.push_back(feed.copy());
      return copied_feeds.back().raw();
    }
  return feed.raw();
}

void Program::Impl::run_steps() {
  const detail::FlushDenormals flush;
  void* const scratch = workspace.raw();
  for (const Step& step : steps) {
    try {
      kernels[step.kernel].run({in.data() + step.first_in, out.data() + step.first_out, scratch});
    } catch (const Error& error) {
      rethrow(step, error);
    }
  }
}

void Program::Impl::rethrow(const Step& step, const std::exception& error) const {
  const PlanNode& node = plan.nodes[step.node];
  fail<ValueError>({.op = node.op->name(),
                    .label = plan.labels[node.label],
                    .what = error.what(),
                    .where = node.where});
}

void Program::Impl::commit() {
  for (const PlanAssign& a : plan.assigns)
    if (!a.in_place)
      std::memcpy(const_cast<void*>(a.parameter.value().raw()), address(a.value),
                  a.parameter.value().bytes());
}

namespace {

// The right to run a program and to write its parameters, held for one run.
class Claim {
 public:
  Claim(std::atomic<bool>& running, const std::vector<PlanAssign>& assigns, Location where)
      : running_(running), assigns_(assigns) {
    if (running_.exchange(true, std::memory_order_acquire))
      fail<GraphError>({.op = "run",
                        .what = "this program is already running in another thread",
                        .where = where,
                        .help = "compile one Program per thread"});
    for (; claimed_ < assigns_.size(); ++claimed_) {
      const Parameter& parameter = assigns_[claimed_].parameter;
      if (parameter.claim()) continue;
      release();
      fail<GraphError>({.op = "run",
                        .label = parameter.name(),
                        .what = "another running program writes the same parameter",
                        .where = where,
                        .help = "let one program own the update, or run them one after the other"});
    }
  }
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;
  ~Claim() { release(); }

 private:
  void release() {
    while (claimed_ > 0) assigns_[--claimed_].parameter.release();
    running_.store(false, std::memory_order_release);
  }
  std::atomic<bool>& running_;
  const std::vector<PlanAssign>& assigns_;
  std::size_t claimed_ = 0;
};

void check_same_graph(std::span<const Var> outputs, std::span<const Assign> assigns,
                      Location where) {
  const Graph* graph = nullptr;
  const auto check = [&](Var var, Location at) {
    if (!var.defined())
      fail<GraphError>({.op = "compile", .what = "an output is an empty Var", .where = at});
    if (graph != nullptr && graph != &var.graph())
      fail<GraphError>({.op = "compile",
                        .label = var.label(),
                        .what = "outputs and assignments belong to different graphs",
                        .where = at,
                        .help = "compile one program per graph"});
    graph = &var.graph();
  };
  for (const Var& var : outputs) check(var, where);
  for (const Assign& a : assigns) check(a.value, a.where);
  for (std::size_t i = 0; i < assigns.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (assigns[i].parameter == assigns[j].parameter)
        fail<GraphError>({.op = "compile",
                          .label = assigns[i].parameter.name(),
                          .what = "two assignments write this parameter; the other one is at " +
                                  to_string(assigns[j].where),
                          .where = assigns[i].where,
                          .help = "combine them into one value"});
}

}  // namespace

Assign assign(const Parameter& parameter, Var value, Location where) {
  if (!value.defined())
    fail<GraphError>({.op = "assign",
                      .label = parameter.name(),
                      .what = "the value is an empty Var",
                      .where = where});
  const std::string what = "the parameter is " + to_string(parameter.type()) + ", the value is " +
                           to_string(value.type());
  if (value.shape() != parameter.shape())
    fail<ShapeError>({.op = "assign",
                      .label = parameter.name(),
                      .what = what,
                      .where = where,
                      .help = "reduce or reshape the value to the parameter's shape"});
  if (value.dtype() != parameter.dtype())
    fail<TypeError>({.op = "assign",
                     .label = parameter.name(),
                     .what = what,
                     .where = where,
                     .help = "cast(value, parameter.dtype())"});
  return {parameter, value, where};
}

Program compile(std::vector<Var> outputs, std::vector<Assign> assigns, Location where) {
  return compile(std::move(outputs), std::move(assigns), CompileOptions{}, where);
}

Program compile(std::vector<Var> outputs, std::vector<Assign> assigns,
                const CompileOptions& options, Location where) {
  if (outputs.empty() && assigns.empty())
    fail<GraphError>({.op = "compile",
                      .what = "there is nothing to compute: no outputs and no assignments",
                      .where = where,
                      .help = "list the Vars whose values you want"});
  check_same_graph(outputs, assigns, where);
  auto impl = std::make_unique<Program::Impl>();
  if (!outputs.empty())
    impl->graph = &outputs.front().graph();
  else if (!assigns.empty())
    impl->graph = &assigns.front().value.graph();
  impl->plan = optimised_plan(outputs, assigns, options, where);
  impl->build(outputs);
  return Program(std::move(impl));
}

Program::Program(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Program::Program(Program&&) noexcept = default;
Program& Program::operator=(Program&&) noexcept = default;
Program::~Program() = default;

Outputs Program::run(std::initializer_list<Feed> feeds, Location where) {
  return run(std::span<const Feed>(feeds.begin(), feeds.size()), where);
}

Outputs Program::run(std::span<const Feed> feeds, Location where) {
  const Claim claim(impl_->running, impl_->plan.assigns, where);
  impl_->bind_feeds(feeds, where);
  impl_->run_steps();
  impl_->commit();
  return Outputs(*impl_);
}

const Tensor& Outputs::operator[](Var var) const {
  for (const auto& [output, tensor] : program_->results)
    if (output == var) return tensor;
  const std::string which = var.defined() ? "the " + std::string(var.node().op->name()) + ", " +
                                                to_string(var.type()) + " made at " +
                                                to_string(var.node().where) + ","
                                          : "an empty Var";
  fail<GraphError>({.op = "outputs",
                    .label = var.defined() ? var.label() : std::string(),
                    .what = which + " is not among the outputs the program was compiled for",
                    .help = "add it to the list given to compile"});
}

MemoryUse Program::memory() const {
  const Placement& p = impl_->placement;
  return {p.arena_bytes,           impl_->workspace_bytes, p.peak_live_bytes,
          p.peak_activation_bytes, p.peak_direction_bytes, p.peak_update_bytes};
}
std::size_t Program::steps() const { return impl_->steps.size(); }
const Plan& Program::plan() const { return impl_->plan; }
std::string Program::to_dot() const { return dualtape::to_dot(impl_->plan); }

std::string Program::explain() const {
  const MemoryUse use = memory();
  std::ostringstream out;
  out << steps() << " steps, " << impl_->kernels.size() << " different kernels, arena "
      << use.arena_bytes << " bytes (alive at most " << use.peak_live_bytes << ": activations "
      << use.peak_activation_bytes << ", directions " << use.peak_direction_bytes << ", updates "
      << use.peak_update_bytes << "), workspace " << use.workspace_bytes << " bytes\n";
  std::size_t number = 0;
  for (const Step& step : impl_->steps) {
    const PlanNode& node = impl_->plan.nodes[step.node];
    out << std::setw(5) << number++ << "  " << std::left << std::setw(18) << node.op->name()
        << std::setw(12) << name_of(node.role) << std::setw(26)
        << to_string(impl_->plan.values[node.first_value]) << std::right;
    if (node.label != 0) out << '\'' << impl_->plan.labels[node.label] << "' ";
    if (node.where.known()) out << to_string(node.where);
    out << '\n';
  }
  return out.str();
}

Tensor eval(Var var, std::initializer_list<Feed> feeds, Location where) {
  Program program = compile({var}, {}, where);
  return program.run(feeds, where)[var].copy();
}

}  // namespace dualtape
