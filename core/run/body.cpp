#include <dualtape/core/run/body.hpp>

#include <algorithm>
#include <cstring>

#include <dualtape/core/machine/denormals.hpp>
#include <dualtape/core/run/program.hpp>

namespace dualtape::detail {
namespace {
constexpr auto nowhere = static_cast<std::size_t>(-1);
}

Body::Body(const std::vector<Var>& inputs, const std::vector<Var>& outputs,
           const CompileOptions& options, Location where) {
  const FlushDenormals as_in_a_run;
  impl_ = Program::planned(outputs, {}, options, where);
  impl_->plan_steps();
  for (const Var& input : inputs) {
    const auto found = impl_->input_numbers.find(input.id());
    slot_of_input_.push_back(found == impl_->input_numbers.end() ? nowhere : found->second);
  }
  written_.resize(outputs.size());
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const ValueId root = impl_->placement.values[impl_->plan.outputs[i]].root;
    const std::size_t slot = impl_->placement.values[root].offset;
    const auto known = std::ranges::find(slot_of_output_, slot);
    if (known != slot_of_output_.end())
      copies_.push_back({i, static_cast<std::size_t>(known - slot_of_output_.begin()),
                         bytes_of(outputs[i].type())});
    slot_of_output_.push_back(slot);
  }
}
Body::Body(Body&&) noexcept = default;
Body& Body::operator=(Body&&) noexcept = default;
Body::~Body() = default;

std::size_t Body::bytes() const { return impl_->placement.arena_bytes + impl_->workspace_bytes; }

void Body::use(void* memory) {
  auto* const begin = static_cast<std::byte*>(memory);
  if (begin == impl_->arena && !impl_->calls.empty()) return;
  impl_->use_memory(begin);
  std::ranges::fill(written_, nullptr);
}

void Body::read(std::size_t input, const void* from) {
  if (slot_of_input_[input] != nowhere) impl_->bind(impl_->inputs[slot_of_input_[input]], from);
}

void Body::write(std::size_t output, void* to) {
  if (written_[output] == to) return;
  written_[output] = to;
  const auto copied =
      std::ranges::any_of(copies_, [output](const Copy& copy) { return copy.output == output; });
  if (copied) return;
  Program::Impl::ResultSlot& slot = impl_->result_slots[slot_of_output_[output]];
  slot.data = to;
  for (const std::uint32_t reader : slot.readers) impl_->in[reader] = to;
  for (const std::uint32_t writer : slot.writers) impl_->out[writer] = to;
}

void Body::run() {
  impl_->run_steps();
  for (const Copy& copy : copies_)
    if (copy.bytes > 0) std::memcpy(written_[copy.output], written_[copy.equal], copy.bytes);
}

std::shared_ptr<Profiler> Body::profile(bool on) {
  impl_->profile(on);
  return on ? impl_->profiler : nullptr;
}

std::string Body::summary() const {
  const std::size_t steps = impl_->steps.size();
  return std::to_string(steps) + (steps == 1 ? " step" : " steps");
}

}  // namespace dualtape::detail
