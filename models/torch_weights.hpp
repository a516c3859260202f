// Weights of PyTorch's models, from a .safetensors file (`safetensors.torch.save_model(model,
// path)` there). PyTorch keeps the weight of a Linear as (out, in) and dualtape as (in, out), so
// each is transposed; nothing in a file tells a square one's layout, which is why this is a call of
// its own. One thread at a time for one model.
//
//   dt::load_torch(path, net);                        // of the same names
//   dt::load_torch(path, net, {.prefix = "module."});
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <dualtape/core/named_tensor.hpp>
#include <dualtape/core/parameter.hpp>
#include <dualtape/models/sequential.hpp>

namespace dualtape {

struct TorchOptions {
  std::string prefix = {};  // of all names in the file
  // The name there of what is called `name` here; the same if there is none.
  std::function<std::string(const std::string& name)> name = {};
  // Matrices that stand there as they do here: those of Embedding, and others whose rows are looked
  // up, and of recurrent layers. All other matrices are of a Linear.
  std::vector<Parameter> tables = {};
};

// Sets the parameters to the tensors of their names, with these layouts:
//   a matrix: a Linear's weight, transposed, but for the tables;
//   all else, kernels of convolutions and what norms have: as it stands.
// A MultiHeadAttention's query, key and value are found in PyTorch's in_proj_weight and
// in_proj_bias as well, and what a TransformerBlock calls attention, output, fc1 and fc2 under
// PyTorch's names self_attn, out_proj, linear1 and linear2. Tensors of the file that nobody asks
// for are left. Throws DataError for one that is missing or does not fit, with what would, and for
// a file that dualtape wrote, whose matrices lie as they do here; then nothing has changed.
void load_torch_parameters(const std::filesystem::path& path, std::vector<Parameter> parameters,
                           const TorchOptions& options = {}, Location where = Location::current());
// The same of tensors that were read already.
void set_torch_parameters(const std::vector<NamedTensor>& tensors,
                          std::vector<Parameter> parameters, const TorchOptions& options = {},
                          Location where = Location::current());

// A model's parameters and buffers; the tables are those that its layers tell as well.
template <class Model>
requires nn::detail::Trains<Model>
void load_torch(const std::filesystem::path& path, const Model& model, TorchOptions options = {},
                Location where = Location::current()) {
  for (const Parameter& table : nn::tables_of(model)) options.tables.push_back(table);
  load_torch_parameters(path, nn::state_of(model), options, where);
}

}  // namespace dualtape
