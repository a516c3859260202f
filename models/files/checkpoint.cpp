#include <dualtape/models/checkpoint.hpp>

#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <dualtape/core/base/enumeration.hpp>
#include <dualtape/models/files/tensor_file.hpp>
#include <dualtape/models/files/torch_parameters.hpp>
#include <dualtape/models/files/written_by.hpp>

namespace dualtape {
namespace {

constexpr std::string_view of_trainer = "trainer/";
constexpr std::string_view of_lbfgs = "lbfgs/";

// The tensors of a file, if some have names of this kind of run: those alone make a run go on.
std::vector<NamedTensor> tensors_of_run(const std::filesystem::path& path, std::string_view kind,
                                        Location here) {
  std::vector<NamedTensor> tensors =
      detail::load_tensors("load_checkpoint", path, {}, here).tensors;
  const auto any = [&](std::string_view prefix) {
    return std::ranges::any_of(
        tensors, [&](const NamedTensor& named) { return named.name.starts_with(prefix); });
  };
  if (any(kind)) return tensors;
  std::string held = "parameters only";
  std::string help = "load_parameters() reads it";
  if (any(of_trainer)) held = "a Trainer's run";
  if (any(of_lbfgs)) {
    held = "an Lbfgs's run";
    help = "load it into an Lbfgs";
  }
  fail<DataError>({.op = "load_checkpoint",
                   .what = path.string() + ": this file holds " + held + ", not what " +
                           (kind == of_trainer ? "a Trainer" : "an Lbfgs") + " can go on from",
                   .where = here,
                   .help = help});
}

}  // namespace

void save_checkpoint(const std::filesystem::path& path, const Trainer& trainer, Location here) {
  detail::save_tensors("save_checkpoint", path,
                       {trainer.state(here),
                        {{"format", "dualtape"},
                         {"step", std::to_string(trainer.steps_done(here))},
                         {"epochs_begun", std::to_string(trainer.epochs_begun(here))}}},
                       here);
}

void load_checkpoint(const std::filesystem::path& path, Trainer& trainer, Location here) {
  trainer.restore(tensors_of_run(path, of_trainer, here), here);
}

void save_checkpoint(const std::filesystem::path& path, const Lbfgs& lbfgs, Location here) {
  detail::save_tensors("save_checkpoint", path, {lbfgs.state(here), {{"format", "dualtape"}}},
                       here);
}

void load_checkpoint(const std::filesystem::path& path, Lbfgs& lbfgs, Location here) {
  lbfgs.restore(tensors_of_run(path, of_lbfgs, here), here);
}

bool resume(const std::filesystem::path& path, Trainer& trainer, Location here) {
  static_cast<void>(trainer.steps_done(here));  // one that was moved from says so, file or not
  std::error_code error;
  if (std::filesystem::status(path, error).type() == std::filesystem::file_type::not_found)
    return false;
  load_checkpoint(path, trainer, here);
  return true;
}

void save_parameters(const std::filesystem::path& path, const std::vector<Parameter>& parameters,
                     Location here) {
  TensorFile file;
  file.metadata.emplace_back("format", "dualtape");
  for (const Parameter& parameter : parameters)
    file.tensors.push_back({parameter.name(), parameter.value()});
  detail::save_tensors("save_parameters", path, file, here);
}

namespace {

// A square one would else silently be taken transposed.
void check_layout(const std::filesystem::path& path, const TensorFile& file,
                  const std::vector<Parameter>& parameters, Location here) {
  if (detail::is_ours(file.metadata)) return;
  for (const Parameter& parameter : parameters)
    if (parameter.shape().rank() == 2)
      fail<DataError>({.op = "load_parameters",
                       .label = parameter.name(),
                       .what = path.string() +
                               ": save_parameters() or save_checkpoint() did not write "
                               "this file, so how its matrices lie is not known",
                       .where = here,
                       .help = "pass Layout::torch if PyTorch wrote it (or see load_torch()), and "
                               "Layout::dualtape if a Linear's weight is (in, out) in it"});
}

}  // namespace

void load_parameters(const std::filesystem::path& path, std::vector<Parameter> parameters,
                     Layout layout, Location here) {
  detail::require_listed("load_parameters", "Layout", layout, 3,
                         "Layout::as_saved, Layout::dualtape or Layout::torch", here);
  const TensorFile file = detail::load_tensors("load_parameters", path, {}, here);
  if (layout == Layout::torch) {
    detail::check_not_ours(path, file.metadata, "load_parameters", here);
    return detail::set_torch("load_parameters", file.tensors, std::move(parameters), {}, here);
  }
  if (layout == Layout::as_saved) check_layout(path, file, parameters, here);
  std::unordered_map<std::string_view, const Tensor*> by_name;
  for (const NamedTensor& named : file.tensors) by_name.emplace(named.name, &named.tensor);
  std::vector<const Tensor*> values;
  for (const Parameter& parameter : parameters) {
    const auto found = by_name.find(parameter.name());
    const Tensor* value = found == by_name.end() ? nullptr : found->second;
    values.push_back(value);
    if (value != nullptr && value->type() == parameter.type()) continue;
    fail<DataError>({.op = "load_parameters",
                     .label = parameter.name(),
                     .what = path.string() + ": expected '" + parameter.name() + "' as " +
                             to_string(parameter.type()) + ", found " +
                             (value == nullptr ? std::string("none") : to_string(value->type())),
                     .where = here,
                     .help = "load into a model of the same sizes and names"});
  }
  for (std::size_t i = 0; i < values.size(); ++i) parameters[i].set(*values[i]);
}

}  // namespace dualtape
