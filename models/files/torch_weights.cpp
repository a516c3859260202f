#include <dualtape/models/torch_weights.hpp>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include <dualtape/core/base/shown.hpp>
#include <dualtape/models/files/tensor_file.hpp>
#include <dualtape/models/files/torch_parameters.hpp>
#include <dualtape/models/files/written_by.hpp>
#include <dualtape/models/safetensors.hpp>

namespace dualtape {
namespace {

// PyTorch's names of parts of its TransformerEncoderLayer.
const std::pair<std::string_view, std::string_view> other_names[] = {
    {"attention", "self_attn"}, {"output", "out_proj"}, {"fc1", "linear1"}, {"fc2", "linear2"}};

std::vector<std::string> parts_of(const std::string& name) {
  std::vector<std::string> parts(1);
  for (const char c : name) {
    if (c == '.')
      parts.emplace_back();
    else
      parts.back() += c;
  }
  return parts;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string name;
  for (const std::string& part : parts) name.append(name.empty() ? "" : ".").append(part);
  return name;
}

std::string in_torch(const std::string& name) {
  std::vector<std::string> parts = parts_of(name);
  for (std::string& part : parts)
    for (const auto& [ours, theirs] : other_names)
      if (part == ours) part = theirs;
  return joined(parts);
}

Tensor transposed(const Tensor& matrix) {
  const std::int64_t rows = matrix.size(0);
  const std::int64_t columns = matrix.size(1);
  Tensor result = Tensor::uninitialised({Shape{columns, rows}, matrix.dtype()});
  dispatch(matrix.dtype(), [&]<class T>() {
    const auto in = matrix.data<T>();
    const auto out = result.data<T>();
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < columns; ++j)
        out[static_cast<std::size_t>(j * rows + i)] = in[static_cast<std::size_t>(i * columns + j)];
  });
  return result;
}

class Loading {
 public:
  Loading(std::string_view op, const std::vector<NamedTensor>& tensors, const TorchOptions& options,
          Location where)
      : op_(op), options_(options), where_(where) {
    for (const NamedTensor& named : tensors) by_name_.emplace(named.name, &named.tensor);
  }

  // The tensor for `parameter`, in the layout that it has here.
  Tensor value_of(const Parameter& parameter) const {
    const std::string name = options_.name ? options_.name(parameter.name()) : parameter.name();
    const Tensor there = find(parameter, name);
    const bool turned = parameter.shape().rank() == 2 && !is_table(parameter);
    const Shape wanted =
        turned ? Shape{parameter.shape()[1], parameter.shape()[0]} : parameter.shape();
    if (there.shape() != wanted || there.dtype() != parameter.dtype())
      refuse(parameter, name, there, {wanted, parameter.dtype()}, turned);
    return turned ? transposed(there) : there;
  }

 private:
  bool is_table(const Parameter& parameter) const {
    return std::ranges::find(options_.tables, parameter) != options_.tables.end();
  }

  const Tensor* look(const std::string& name) const {
    const auto found = by_name_.find(options_.prefix + name);
    return found == by_name_.end() ? nullptr : found->second;
  }

  // "a.query.weight" is the first third of the rows of "a.in_proj_weight".
  std::optional<Tensor> projection(const std::string& name) const {
    std::vector<std::string> parts = parts_of(name);
    if (parts.size() < 2) return std::nullopt;
    const std::string_view names[] = {"query", "key", "value"};
    const auto place = std::ranges::find(names, parts[parts.size() - 2]) - std::begin(names);
    if (place == 3) return std::nullopt;
    const std::string last = "in_proj_" + parts.back();
    parts.resize(parts.size() - 2);
    parts.push_back(last);
    const Tensor* all = look(joined(parts));
    if (all == nullptr || all->rank() < 1 || all->size(0) % 3 != 0) return std::nullopt;
    const std::int64_t third = all->size(0) / 3;
    return all->rows(place * third, (place + 1) * third);
  }

  Tensor find(const Parameter& parameter, const std::string& name) const {
    for (const std::string& one : {name, in_torch(name)}) {
      if (const Tensor* found = look(one)) return *found;
      if (const std::optional<Tensor> part = projection(one)) return *part;
    }
    std::vector<std::string_view> names;
    for (const auto& [other, tensor] : by_name_) names.push_back(other);
    fail<DataError>({.op = op_,
                     .label = parameter.name(),
                     .what = "there is no '" + options_.prefix + name + "'; there are " +
                             (names.empty() ? "none" : detail::names_listed(names)),
                     .where = where_,
                     .help = "give load_torch() TorchOptions::prefix, or TorchOptions::name for "
                             "other names"});
  }

  [[noreturn]] void refuse(const Parameter& parameter, const std::string& name, const Tensor& there,
                           const Type& wanted, bool turned) const {
    std::string help = "load into a model of the same sizes and dtype";
    if (turned && there.type() == parameter.type())
      help =
          "if it is an embedding's table, list it in TorchOptions::tables; if dualtape wrote the "
          "file, load_parameters() reads it";
    fail<DataError>({.op = op_,
                     .label = parameter.name(),
                     .what = "'" + options_.prefix + name + "' is " + to_string(there.type()) +
                             ", but " + to_string(wanted) + " is needed for " +
                             to_string(parameter.type()) +
                             (turned ? ", as PyTorch keeps a Linear's weight as (out, in)" : ""),
                     .where = where_,
                     .help = help});
  }

  std::string_view op_;
  const TorchOptions& options_;
  Location where_;
  std::map<std::string, const Tensor*> by_name_;
};

}  // namespace

void set_torch_parameters(const std::vector<NamedTensor>& tensors,
                          std::vector<Parameter> parameters, const TorchOptions& options,
                          Location where) {
  detail::set_torch("set_torch_parameters", tensors, std::move(parameters), options, where);
}

void detail::set_torch(std::string_view op, const std::vector<NamedTensor>& tensors,
                       std::vector<Parameter> parameters, const TorchOptions& options,
                       Location where) {
  const Loading loading(op, tensors, options, where);
  std::vector<Tensor> values;
  for (const Parameter& parameter : parameters) values.push_back(loading.value_of(parameter));
  for (std::size_t i = 0; i < values.size(); ++i) parameters[i].set(values[i]);
}

void load_torch_parameters(const std::filesystem::path& path, std::vector<Parameter> parameters,
                           const TorchOptions& options, Location where) {
  const TensorFile file = detail::load_tensors("load_torch_parameters", path, {}, where);
  detail::check_not_ours(path, file.metadata, "load_torch", where);
  detail::set_torch("load_torch", file.tensors, std::move(parameters), options, where);
}

}  // namespace dualtape
