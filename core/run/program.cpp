#include <dualtape/core/program.hpp>

#include <algorithm>
#include <cassert>
#include <functional>
#include <new>
#include <unordered_map>

#include <dualtape/core/leaves.hpp>
#include <dualtape/core/machine/denormals.hpp>
#include <dualtape/core/plan/check_options.hpp>
#include <dualtape/core/plan/index.hpp>
#include <dualtape/core/plan/library.hpp>
#include <dualtape/core/run/program.hpp>
#include <dualtape/core/threads.hpp>

namespace dualtape {
namespace {

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
    const std::vector<Type> in = detail::operand_types(plan_, node);
    const std::vector<Type> out = detail::output_types(plan_, node);
    kernels.push_back(node.op->kernel({in, out, node.attributes, plan_.options}));
    const auto index = static_cast<std::uint32_t>(kernels.size() - 1);
    known_.emplace(hash, std::pair{&node, index});
    return index;
  }

 private:
  bool same(const PlanNode& a, const PlanNode& b) const {
    if (a.op != b.op || a.value_count != b.value_count || a.attributes != b.attributes)
      return false;
    for (std::uint32_t i = 0; i < a.value_count; ++i)
      if (plan_.values[a.first_value + i] != plan_.values[b.first_value + i]) return false;
    return std::ranges::equal(
        plan_.operands_of(a), plan_.operands_of(b),
        [&](ValueId x, ValueId y) { return plan_.values[x] == plan_.values[y]; });
  }

  const Plan& plan_;
  std::unordered_multimap<std::size_t, std::pair<const PlanNode*, std::uint32_t>> known_;
};

}  // namespace

namespace detail {

std::vector<Type> operand_types(const Plan& plan, const PlanNode& node) {
  std::vector<Type> types;
  for (const ValueId v : plan.operands_of(node)) types.push_back(plan.values[v]);
  return types;
}

std::vector<Type> output_types(const Plan& plan, const PlanNode& node) {
  const auto first = plan.values.begin() + node.first_value;
  return {first, first + node.value_count};
}

}  // namespace detail

std::byte* Program::Impl::address(ValueId value) const {
  const ValueId root = placement.values[value].root;
  const auto direct = written_parameters.find(root);
  if (direct != written_parameters.end())
    return static_cast<std::byte*>(const_cast<void*>(direct->second.value().raw()));
  if (placement.values[root].storage == Storage::result)
    return static_cast<std::byte*>(result_slots[placement.values[root].offset].data);
  assert(placement.values[root].storage == Storage::arena);
  return arena + placement.values[root].offset;
}

void Program::Impl::plan_kernels() {
  KernelCache cache(plan);
  std::uint32_t operands = 0;
  std::uint32_t results_so_far = 0;
  for (std::uint32_t n = 0; n < plan.nodes.size(); ++n) {
    const PlanNode& node = plan.nodes[n];
    if (node.op == &input_op()) {
      input_numbers.emplace(node.source, inputs.size());
      inputs.push_back({node.source, node.first_value, n, {}});
    }
    if (is_leaf(*node.op) || node.op->is_alias()) continue;
    steps.push_back({cache.find_or_plan(node, kernels), n, operands, results_so_far});
    operands += node.operand_count;
    results_so_far += node.value_count;
  }
  in.resize(operands);
  out.resize(results_so_far);
}

// One for every thread, after the arena, the first one's being large enough for any kernel.
void Program::Impl::measure_workspaces() {
  std::size_t first = 0;
  std::size_t further = 0;
  for (const Kernel& kernel : kernels) {
    first = std::max(first, kernel.workspace_bytes);
    further = std::max(further, kernel.thread_workspace_bytes);
  }
  workspace_bytes = first;
  if (threads == 1) return;
  constexpr std::size_t apart = 2 * detail::block_alignment;  // no cache line is shared
  workspace_of_first = (first + apart - 1) / apart * apart;
  workspace_of_further = (further + apart - 1) / apart * apart;
  workspace_bytes =
      workspace_of_first + static_cast<std::size_t>(threads - 1) * workspace_of_further;
}

void Program::Impl::take_memory() {
  try {
    memory = detail::make_block(placement.arena_bytes + workspace_bytes);
  } catch (const std::bad_alloc&) {
    refuse_memory(Storage::arena, "compile", compiled_at);
  }
}

// Says what the arena, or the memory of the results, is for: the largest values in it.
void Program::Impl::refuse_memory(Storage storage, const char* op, Location where) const {
  struct Held {
    std::size_t bytes;
    const PlanNode* node;
    ValueId value;
  };
  std::vector<Held> largest;
  std::size_t all = 0;
  for (const PlanNode& node : plan.nodes)
    for (ValueId v = node.first_value; v < node.first_value + node.value_count; ++v)
      if (placement.values[v].root == v && placement.values[v].storage == storage) {
        largest.push_back({bytes_of(plan.values[v]), &node, v});
        all += largest.back().bytes;
      }
  const std::size_t shown = std::min<std::size_t>(largest.size(), 3);
  std::ranges::partial_sort(largest, largest.begin() + static_cast<std::ptrdiff_t>(shown),
                            std::ranges::greater(), &Held::bytes);
  const bool results = storage == Storage::result;
  std::string what =
      results ? "there is no memory for the program's results of " + std::to_string(all) + " bytes"
              : "there is no memory for the program's arena of " +
                    std::to_string(placement.arena_bytes) + " bytes and workspace of " +
                    std::to_string(workspace_bytes) + " bytes";
  for (std::size_t i = 0; i < shown; ++i) {
    const PlanNode& node = *largest[i].node;
    const std::string& label = plan.labels[node.label];
    what += (i == 0 ? "; the largest values in it: " : ", ") + std::string(node.op->name());
    if (!label.empty()) what += " '" + label + "'";
    what += " " + to_string(plan.values[largest[i].value]) + " made at " + to_string(node.where);
  }
  fail<MemoryError>({.op = op,
                     .what = std::move(what),
                     .where = where,
                     .help = results
                                 ? "ask for fewer outputs, or keep fewer results of earlier runs"
                                 : "smaller batches or checkpoint() need less"});
}

void Program::Impl::build(std::span<const Var> outputs) {
  plan_steps();
  result_memory.build(outputs, plan, placement);
  bind_results(*next_results("compile", compiled_at));
  take_memory();
  use_memory(memory.get());
}

void Program::Impl::plan_steps() {
  placement = place(plan);
  result_slots.resize(placement.results.size());
  plan_kernels();
  measure_workspaces();
  for (const PlanAssign& a : plan.assigns)
    if (a.in_place) written_parameters.emplace(a.value, a.parameter);
  fed.resize(inputs.size());
  known_feeds.reserve(inputs.size());
}

void Program::Impl::use_memory(std::byte* begin) {
  arena = begin;
  workspace = begin + placement.arena_bytes;
  if (threads > 1) team.emplace(threads, workspace + workspace_of_first, workspace_of_further);
  for (InputSlot& input : inputs) input.readers.clear();
  for (ResultSlot& slot : result_slots) {
    slot.readers.clear();
    slot.writers.clear();
  }
  bind_operands();
  calls.clear();
  for (const Step& step : steps) {
    const PlanNode& node = plan.nodes[step.node];
    for (std::uint32_t i = 0; i < node.value_count; ++i) {
      out[step.first_out + i] = address(node.first_value + i);
      if (ResultSlot* const slot = slot_of(node.first_value + i))
        slot->writers.push_back(step.first_out + i);
    }
    const KernelFunction& run = kernels[step.kernel].run;
    calls.push_back(
        {run.call(), run.callable(), in.data() + step.first_in, out.data() + step.first_out});
  }
}

std::shared_ptr<Outputs::Results> Program::Impl::next_results(const char* op, Location where) {
  try {
    return result_memory.next();
  } catch (const MemoryError&) {
    refuse_memory(Storage::result, op, where);
  }
}

Program::Impl::ResultSlot* Program::Impl::slot_of(ValueId value) {
  const Placement::Value& root = placement.values[placement.values[value].root];
  return root.storage == Storage::result ? &result_slots[root.offset] : nullptr;
}

// Everything but fed inputs and results has a fixed address.
void Program::Impl::bind_operands() {
  const detail::PlanIndex index(plan);
  std::unordered_map<ValueId, std::size_t> input_of;
  for (std::size_t i = 0; i < inputs.size(); ++i) input_of[inputs[i].value] = i;
  for (const Step& step : steps) {
    const auto operands = plan.operands_of(plan.nodes[step.node]);
    for (std::uint32_t i = 0; i < operands.size(); ++i) {
      const Placement::Value& value = placement.values[operands[i]];
      const PlanNode& root = plan.nodes[index.producer(value.root)];
      const void*& operand = in[step.first_in + i];
      switch (value.storage) {
        case Storage::arena: operand = address(operands[i]); break;
        case Storage::result:
          operand = address(operands[i]);
          slot_of(operands[i])->readers.push_back(step.first_in + i);
          break;
        case Storage::constant: operand = root.attributes.get<Tensor>("value").raw(); break;
        case Storage::parameter:
          operand = root.op == &parameter_op()
                        ? root.attributes.get<Parameter>("parameter").value().raw()
                        : address(operands[i]);
          break;
        case Storage::input: inputs[input_of.at(value.root)].readers.push_back(step.first_in + i);
      }
    }
  }
}

Assign assign(const Parameter& parameter, Var value, Location where) {
  if (!detail::is_there(value))
    detail::refuse_var(value, "assign", "the value for '" + parameter.name() + "'", where);
  const auto types = [&] {
    return "the parameter is " + to_string(parameter.type()) + ", the value is " +
           to_string(value.type());
  };
  if (value.shape() != parameter.shape())
    fail<ShapeError>({.op = "assign",
                      .label = parameter.name(),
                      .what = types(),
                      .where = where,
                      .help = "reduce or reshape the value to the parameter's shape"});
  if (value.dtype() != parameter.dtype())
    fail<TypeError>({.op = "assign",
                     .label = parameter.name(),
                     .what = types(),
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
  detail::check_numbers("compile", options, where);
  for (const Var& output : outputs)
    static_cast<void>(detail::require_alive(output, "compile", "an output", where));
  // An Assign may have been made by hand.
  for (Assign& a : assigns) a = assign(a.parameter, a.value, a.where.known() ? a.where : where);
  // Constants that are folded, and numbers that passes compute, come out as in a run.
  const detail::FlushDenormals as_in_a_run;
  auto impl = Program::planned(outputs, assigns, options, where);
  impl->build(outputs);
  Program program(std::move(impl));
  if (detail::profiling_wanted()) program.profile(true);
  return program;
}

std::unique_ptr<Program::Impl> Program::planned(std::span<const Var> outputs,
                                                std::span<const Assign> assigns,
                                                const CompileOptions& options, Location where) {
  auto impl = std::make_unique<Impl>();
  impl->threads = options.threads == 0 ? num_threads() : options.threads;
  impl->graph = (outputs.empty() ? assigns.front().value : outputs.front()).graph_id();
  impl->compiled_at = where;
  const detail::Library& library = detail::library();
  library.require_possible(options, where);
  CompileOptions wanted = options;
  wanted.threads = impl->threads;
  impl->plan = optimised_plan(outputs, assigns, wanted, where);
  if (options.keep_weights) library.keep_weights(impl->plan);
  impl->without = options.without;
  return impl;
}

Program::Program(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Program::Program(Program&&) noexcept = default;
Program& Program::operator=(Program&&) noexcept = default;
Program::~Program() = default;

Program::Impl& Program::impl(Location where) const {
  if (impl_ == nullptr)
    fail<GraphError>({.op = "Program",
                      .what = "this program was moved from",
                      .where = where,
                      .help = "use what it was moved to"});
  return *impl_;
}

std::size_t Program::steps(Location where) const { return impl(where).steps.size(); }
int Program::threads(Location where) const { return impl(where).threads; }
const Plan& Program::plan(Location where) const { return impl(where).plan; }
std::string Program::to_dot(Location where) const { return dualtape::to_dot(impl(where).plan); }

Tensor eval(Var var, std::initializer_list<Feed> feeds, Location where) {
  Program program = compile({var}, {}, where);
  return program.run(feeds, where)[{var, where}];
}

}  // namespace dualtape
