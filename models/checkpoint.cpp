#include <dualtape/models/checkpoint.hpp>

#include <string>

namespace dualtape {

void save_checkpoint(const std::filesystem::path& path, const Trainer& trainer) {
  save_safetensors(path, {trainer.state(),
                          {{"format", "dualtape"},
                           {"step", std::to_string(trainer.steps_done())},
                           {"epochs_begun", std::to_string(trainer.epochs_begun())}}});
}

void load_checkpoint(const std::filesystem::path& path, Trainer& trainer) {
  trainer.restore(load_safetensors(path).tensors);
}

void save_checkpoint(const std::filesystem::path& path, const Lbfgs& lbfgs) {
  save_safetensors(path, {lbfgs.state(), {{"format", "dualtape"}}});
}

void load_checkpoint(const std::filesystem::path& path, Lbfgs& lbfgs) {
  lbfgs.restore(load_safetensors(path).tensors);
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
