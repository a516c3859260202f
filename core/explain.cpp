// What a Program tells of itself: steps, kernels, costs, memory.
#include <iomanip>
#include <sstream>

#include <dualtape/core/detail/program.hpp>

namespace dualtape {

MemoryUse Program::memory() const {
  const Placement& p = impl_->placement;
  return {p.arena_bytes,           impl_->workspace_bytes, p.peak_live_bytes,
          p.peak_activation_bytes, p.peak_direction_bytes, p.peak_update_bytes};
}
std::string Program::explain() const {
  const MemoryUse use = memory();
  std::ostringstream out;
  out << steps() << " steps, " << impl_->kernels.size() << " different kernels, arena "
      << use.arena_bytes << " bytes (alive at most " << use.peak_live_bytes << ": activations "
      << use.peak_activation_bytes << ", directions " << use.peak_direction_bytes << ", updates "
      << use.peak_update_bytes << "), workspace " << use.workspace_bytes << " bytes\n";
  std::size_t number = 0;
  for (const Impl::Step& step : impl_->steps) {
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

}  // namespace dualtape
