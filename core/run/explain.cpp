// What a Program tells of itself: steps, kernels, costs, memory, times.
#include <algorithm>
#include <map>
#include <set>

#include <dualtape/core/base/table.hpp>
#include <dualtape/core/leaves.hpp>
#include <dualtape/core/machine/isa.hpp>
#include <dualtape/core/machine/kernel.hpp>
#include <dualtape/core/plan/index.hpp>
#include <dualtape/core/run/body.hpp>
#include <dualtape/core/run/program.hpp>
#include <dualtape/core/tile/fused.hpp>

namespace dualtape {
namespace {

using detail::short_bytes;
using detail::short_number;

std::string bytes_text(std::size_t bytes) { return short_bytes(static_cast<double>(bytes)); }

std::string counted(std::size_t count, const std::string& what) {
  return std::to_string(count) + ' ' + what + (count == 1 ? "" : "s");
}

std::string_view name_of(Category category) {
  switch (category) {
    case Category::activation: return "activation";
    case Category::direction: return "direction";
    case Category::update: return "update";
  }
  return "";
}

// Whether the formula of the step might have joined a fused one.
bool could_fuse(const Plan& plan, const PlanNode& node) {
  return node.op->recording() != nullptr && node.value_count == 1 &&
         plan.values[node.first_value].shape.count() > 0;
}

// Why elementwise steps run alone.
class Neighbours {
 public:
  explicit Neighbours(const Plan& plan) : plan_(plan) {
    const detail::PlanIndex index(plan);
    for (std::uint32_t n = 0; n < plan.nodes.size(); ++n) {
      const PlanNode& node = plan.nodes[n];
      if (!joins(node)) continue;
      for (const ValueId v : plan.operands_of(node)) {
        const PlanNode& from = plan.nodes[index.producer(v)];
        if (!joins(from) || plan.values[v].shape != shape(node)) continue;
        has_neighbour_.insert(n);
        has_neighbour_.insert(index.producer(v));
      }
    }
  }

  std::string why_alone(std::uint32_t n) const {
    const PlanNode& node = plan_.nodes[n];
    const DType dtype = plan_.values[node.first_value].dtype;
    if (!is_floating(dtype) && dtype != boolean)
      return "not fused: computes in " + std::string(dualtape::name_of(dtype));
    if (!has_neighbour_.contains(n))
      return "not fused: no elementwise step of its shape gives it an operand or reads it";
    return "not fused: apart from its elementwise neighbours in run order, or of another dtype";
  }

 private:
  bool joins(const PlanNode& node) const {
    return detail::is_fused(*node.op) || could_fuse(plan_, node);
  }
  const Shape& shape(const PlanNode& node) const { return plan_.values[node.first_value].shape; }

  const Plan& plan_;
  std::set<std::uint32_t> has_neighbour_;
};

bool left_out(const std::vector<std::string>& without, std::string_view pass) {
  return std::ranges::find(without, pass) != without.end();
}

std::string place_of(const Plan& plan, const PlanNode& node) {
  std::string text = node.label == 0 ? "" : "'" + plan.labels[node.label] + "' ";
  return node.where.known() ? text + to_string(node.where) : text;
}

std::string heading(const MemoryUse& use, std::size_t kernels, const std::vector<Cost>& costs) {
  Cost total;
  for (const Cost& cost : costs) total += cost;
  const auto part = [](const std::string& name, std::size_t peak, std::size_t all) {
    return name + ' ' + bytes_text(peak) + " of " + bytes_text(all);
  };
  return counted(costs.size(), "step") + ", " + counted(kernels, "different kernel") + ", " +
         short_number(total.flops) + " FLOP, " + short_bytes(total.bytes) + " moved\narena " +
         bytes_text(use.arena_bytes) + ", results " + bytes_text(use.result_bytes) +
         ", workspace " + bytes_text(use.workspace_bytes) + ", parameters " +
         bytes_text(use.parameter_bytes) + ", constants " + bytes_text(use.constant_bytes) +
         ", fed " + bytes_text(use.input_bytes) + "\nalive at once " +
         bytes_text(use.peak_live_bytes) + ": " +
         part("activations", use.peak_activation_bytes, use.total_activation_bytes) + ", " +
         part("directions", use.peak_direction_bytes, use.total_direction_bytes) + ", " +
         part("updates", use.peak_update_bytes, use.total_update_bytes) + '\n';
}

}  // namespace

// Which memory the step writes: categories or parameters, and whether over an operand.
std::string Program::Impl::memory_text(const Step& step) const {
  const PlanNode& node = plan.nodes[step.node];
  const auto operands = std::span(in).subspan(step.first_in, node.operand_count);
  std::vector<std::string> texts;
  for (std::uint32_t i = 0; i < node.value_count; ++i) {
    const ValueId value = node.first_value + i;
    const auto direct = written_parameters.find(placement.values[value].root);
    std::string text = direct != written_parameters.end()
                           ? "parameter " + direct->second.name()
                           : std::string(name_of(placement.categories[value]));
    if (std::ranges::find(operands, out[step.first_out + i]) != operands.end())
      text += ", in place";
    if (std::ranges::find(texts, text) == texts.end()) texts.push_back(std::move(text));
  }
  std::string joined;
  for (const std::string& text : texts) joined += (joined.empty() ? "" : "; ") + text;
  return joined;
}

Cost Program::Impl::cost(const PlanNode& node) const {
  const std::vector<Type> operands = detail::operand_types(plan, node);
  const std::vector<Type> results_of_node = detail::output_types(plan, node);
  return node.op->cost({operands, results_of_node, node.attributes});
}

Profile Program::Impl::description() const {
  Profile profile;
  // Not in explain(), which pages show: it is to be the same on every machine.
  profile.name = "program compiled at " + to_string(compiled_at) + " for " +
                 std::string(name_of(detail::isa()));
  for (const Step& step : steps) {
    const PlanNode& node = plan.nodes[step.node];
    StepProfile entry;
    entry.op = node.op->name();
    entry.number = std::to_string(profile.steps.size());
    entry.role = node.role;
    entry.label = plan.labels[node.label];
    if (node.where.known()) entry.where = to_string(node.where);
    entry.type = to_string(plan.values[node.first_value]);
    entry.note =
        detail::is_fused(*node.op) ? std::string(node.op->info().doc) : kernels[step.kernel].note;
    entry.cost = cost(node);
    profile.steps.push_back(std::move(entry));
  }
  return profile;
}

MemoryUse Program::memory(Location where) const {
  const Placement& p = impl(where).placement;
  const Plan& plan = impl_->plan;
  MemoryUse use{.arena_bytes = p.arena_bytes,
                .workspace_bytes = impl_->workspace_bytes,
                .peak_live_bytes = p.peak_live_bytes,
                .peak_activation_bytes = p.peak_activation_bytes,
                .peak_direction_bytes = p.peak_direction_bytes,
                .peak_update_bytes = p.peak_update_bytes};
  std::vector<Parameter> parameters;
  const auto add_parameter = [&](const Parameter& parameter) {
    if (std::ranges::find(parameters, parameter) != parameters.end()) return;
    parameters.push_back(parameter);
    use.parameter_bytes += parameter.value().bytes();
  };
  for (const PlanNode& node : plan.nodes) {
    if (node.op == &parameter_op()) add_parameter(node.attributes.get<Parameter>("parameter"));
    for (ValueId v = node.first_value; v < node.first_value + node.value_count; ++v) {
      if (p.values[v].root != v) continue;
      const std::size_t bytes = bytes_of(plan.values[v]);
      if (p.values[v].storage == Storage::constant) use.constant_bytes += bytes;
      if (p.values[v].storage == Storage::input) use.input_bytes += bytes;
      if (p.values[v].storage == Storage::result) use.result_bytes += bytes;
      if (p.values[v].storage != Storage::arena && p.values[v].storage != Storage::result) continue;
      if (is_leaf(*node.op)) continue;
      (p.categories[v] == Category::activation  ? use.total_activation_bytes
       : p.categories[v] == Category::direction ? use.total_direction_bytes
                                                : use.total_update_bytes) +=
          detail::aligned(std::max<std::size_t>(bytes, 1));
    }
  }
  for (const PlanAssign& a : plan.assigns) add_parameter(a.parameter);
  return use;
}

// Of several functions that one step runs: "a", "b" ... after the step's number.
std::string name_of_body(std::size_t count, std::size_t number) {
  if (count < 2) return {};
  return number < 26 ? std::string(1, static_cast<char>('a' + number))
                     : "a" + std::to_string(number);
}

// Steps in a table, each followed by those of the functions that it runs.
class Program::Impl::Steps {
 public:
  explicit Steps(const Impl& program) : fuses_(!left_out(program.without, "fuse")) {
    add(program, "");
  }
  std::string text() const {
    std::string text = table_.text();
    if (fused_ > 0) text += counted(fused_, "fused step") + '\n';
    if (alone_ > 0)
      text += counted(alone_, "elementwise step") + " not fused" +
              (fuses_ ? "" : ": the pass 'fuse' was left out") + '\n';
    return text;
  }

 private:
  // `outside` is the number of the step that runs the program, and a point.
  void add(const Impl& program, const std::string& outside) {
    const Plan& its = program.plan;
    const Neighbours neighbours(its);
    std::set<std::size_t> told;  // kernels that several steps have
    for (std::size_t i = 0; i < program.steps.size(); ++i) {
      const Step& one = program.steps[i];
      const PlanNode& node = its.nodes[one.node];
      const Kernel& kernel = program.kernels[one.kernel];
      const Cost cost = program.cost(node);
      table_.row({outside + std::to_string(i), std::string(node.op->name()),
                  std::string(name_of(node.role)), to_string(its.values[node.first_value]),
                  short_number(cost.flops), short_number(cost.bytes),
                  outside.empty() ? program.memory_text(one) : "", place_of(its, node)});
      if (!kernel.note.empty()) table_.remark(kernel.note);
      if (detail::is_fused(*node.op)) {
        ++fused_;
        table_.remark(std::string(node.op->info().doc));
      } else if (could_fuse(its, node)) {
        ++alone_;
        if (fuses_) table_.remark(neighbours.why_alone(one.node));
      }
      if (!told.insert(one.kernel).second) continue;
      for (std::size_t b = 0; b < kernel.bodies.size(); ++b)
        add(kernel.bodies[b]->program(),
            outside + std::to_string(i) + name_of_body(kernel.bodies.size(), b) + '.');
    }
  }

  bool fuses_;
  detail::TextTable table_{
      {">step", "operator", "role", "computes", ">FLOP", ">bytes", "memory", "label, line"}};
  std::size_t fused_ = 0;
  std::size_t alone_ = 0;
};

std::string Program::explain(Location where) const {
  const Plan& plan = impl(where).plan;
  std::vector<Cost> costs;
  for (const Impl::Step& step : impl_->steps) costs.push_back(impl_->cost(plan.nodes[step.node]));
  return heading(memory(), impl_->kernels.size(), costs) + Impl::Steps(*impl_).text();
}

void Program::Impl::profile(bool on) {
  profiling = on;
  if (on) profiler = std::make_shared<detail::Profiler>(description());
  std::map<std::size_t, std::size_t> first;  // step with a kernel
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const auto& bodies = kernels[steps[i].kernel].bodies;
    const auto [known, fresh] = first.emplace(steps[i].kernel, i);
    if (!fresh && !bodies.empty() && on) profiler->share(i, known->second);
    for (std::size_t b = 0; fresh && b < bodies.size(); ++b)
      if (auto inside = bodies[b]->profile(on))
        profiler->hold(i, name_of_body(bodies.size(), b), std::move(inside));
  }
}

void Program::profile(bool on, Location where) {
  Impl& program = impl(where);
  program.profile(on);
  if (on && detail::profiling_wanted()) detail::enrol_profiler(program.profiler);
}

Profile Program::profiled(Location where) const {
  return impl(where).profiler == nullptr ? impl_->description() : impl_->profiler->result();
}

}  // namespace dualtape
