#include <algorithm>

#include <dualtape/core/base/sole_owner.hpp>
#include <dualtape/core/run/results.hpp>

namespace dualtape {
namespace {
std::pair<NodeId, std::uint32_t> place_in_order(Var var) { return {var.id(), var.output()}; }
}  // namespace

namespace detail {

void ResultMemory::build(std::span<const Var> outputs, const Plan& plan,
                         const Placement& placement) {
  types_.resize(placement.results.size());
  auto names = std::make_shared<Outputs::Results::Names>();
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const ValueId value = plan.outputs[i];
    const auto result =
        static_cast<std::uint32_t>(placement.values[placement.values[value].root].offset);
    types_[result] = plan.values[value];
    names->emplace_back(outputs[i], result);
  }
  std::ranges::sort(*names, {}, [](const auto& name) { return place_in_order(name.first); });
  names_ = std::move(names);
  sets_.reserve(most_sets);
  spares_.resize(types_.size());
  for (std::vector<Tensor>& spares : spares_) spares.reserve(most_spares);
}

std::shared_ptr<Outputs::Results> ResultMemory::next() {
  std::shared_ptr<Outputs::Results> set = free_set();
  for (std::size_t i = 0; i < types_.size(); ++i)
    if (!set->tensors[i].alone()) replace(set->tensors[i], i);
  return set;
}

std::shared_ptr<Outputs::Results> ResultMemory::free_set() {
  for (const auto& set : sets_)
    if (sole_owner(set)) return set;
  auto made = std::make_shared<Outputs::Results>();
  made->names = names_;
  for (const Type& type : types_) made->tensors.push_back(Tensor::uninitialised(type));
  if (sets_.size() == most_sets) sets_.erase(sets_.begin());
  sets_.push_back(made);
  return made;
}

// The user keeps what is in `tensor`.
void ResultMemory::replace(Tensor& tensor, std::size_t result) {
  std::vector<Tensor>& spares = spares_[result];
  const auto free = std::ranges::find_if(spares, &Tensor::alone);
  if (free != spares.end()) {
    std::swap(*free, tensor);
    return;
  }
  Tensor made = Tensor::uninitialised(types_[result]);
  if (spares.size() == most_spares) spares.erase(spares.begin());
  spares.push_back(std::move(tensor));
  tensor = std::move(made);
}

}  // namespace detail

const Tensor& Outputs::find(const VarAt& asked) const {
  if (results_ == nullptr)
    fail<GraphError>({.op = "outputs",
                      .what = "these outputs were moved from",
                      .where = asked.where,
                      .help = "use what they were moved to"});
  const auto found =
      std::ranges::lower_bound(*results_->names, place_in_order(asked.var), {},
                               [](const auto& name) { return place_in_order(name.first); });
  if (found != results_->names->end() && found->first == asked.var)
    return results_->tensors[found->second];
  const Var var = detail::require_alive(asked.var, "outputs", "what is asked", asked.where);
  const Node& node = var.node(asked.where);
  fail<GraphError>({.op = "outputs",
                    .label = var.label(asked.where),
                    .what = "the " + std::string(node.op->name()) + ", " +
                            to_string(var.type(asked.where)) + " made at " + to_string(node.where) +
                            ", is not among the outputs the program was compiled for",
                    .where = asked.where,
                    .help = "add it to the list given to compile"});
}

}  // namespace dualtape
