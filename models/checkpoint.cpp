#include <dualtape/models/checkpoint.hpp>

#include <algorithm>
#include <string>
#include <string_view>

namespace dualtape {
namespace {

constexpr std::string_view of_trainer = "trainer/";
constexpr std::string_view of_lbfgs = "lbfgs/";

// The tensors of a file, if some have names of this kind of run: those alone make a run go on.
std::vector<NamedTensor> tensors_of_run(const std::filesystem::path& path, std::string_view kind) {
  std::vector<NamedTensor> tensors = load_safetensors(path).tensors;
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
                   .help = help});
}

}  // namespace

void save_checkpoint(const std::filesystem::path& path, const Trainer& trainer) {
  save_safetensors(path, {trainer.state(),
                          {{"format", "dualtape"},
                           {"step", std::to_string(trainer.steps_done())},
                           {"epochs_begun", std::to_string(trainer.epochs_begun())}}});
}

void load_checkpoint(const std::filesystem::path& path, Trainer& trainer) {
  trainer.restore(tensors_of_run(path, of_trainer));
}

void save_checkpoint(const std::filesystem::path& path, const Lbfgs& lbfgs) {
  save_safetensors(path, {lbfgs.state(), {{"format", "dualtape"}}});
}

void load_checkpoint(const std::filesystem::path& path, Lbfgs& lbfgs) {
  lbfgs.restore(tensors_of_run(path, of_lbfgs));
}

bool resume(const std::filesystem::path& path, Trainer& trainer) {
  std::error_code error;
  if (std::filesystem::status(path, error).type() == std::filesystem::file_type::not_found)
    return false;
  load_checkpoint(path, trainer);
  return true;
}

void save_parameters(const std::filesystem::path& path, const std::vector<Parameter>& parameters) {
  TensorFile file;
  file.metadata.emplace_back("format", "dualtape");
  for (const Parameter& parameter : parameters)
    file.tensors.push_back({parameter.name(), parameter.value()});
  save_safetensors(path, file);
}

void load_parameters(const std::filesystem::path& path, std::vector<Parameter> parameters) {
  const TensorFile file = load_safetensors(path);
  for (const Parameter& parameter : parameters) {
    const Tensor* found = file.find(parameter.name());
    if (found != nullptr && found->type() == parameter.type()) continue;
    fail<DataError>({.op = "load_parameters",
                     .label = parameter.name(),
                     .what = path.string() + ": expected '" + parameter.name() + "' as " +
                             to_string(parameter.type()) + ", found " +
                             (found == nullptr ? std::string("none") : to_string(found->type())),
                     .help = "load into a model of the same sizes and names"});
  }
  for (Parameter& parameter : parameters) parameter.set(*file.find(parameter.name()));
}

}  // namespace dualtape
