// Attributes: the static arguments of a node (axes, a dtype, a constant ...), by name. Immutable
// and shared once made, so nodes copy them freely; hashed and compared for merging equal nodes,
// printed in listings. Safe to read from any thread.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <dualtape/core/dtype.hpp>
#include <dualtape/core/number.hpp>
#include <dualtape/core/parameter.hpp>
#include <dualtape/core/tensor.hpp>

namespace dualtape {

class Function;
using Ints = std::vector<std::int64_t>;

using Attribute = std::variant<bool, std::int64_t, double, std::string, Ints, DType, Shape, Tensor,
                               Parameter, std::shared_ptr<const Function>>;

class Attributes {
 public:
  // A name and a value. {1, 2}, {0} and {} are Ints; integers of every width are int64 (ValueError
  // beyond it); a Shape and lists of others are written with their type.
  struct Entry : std::pair<std::string, Attribute> {
    Entry(std::string name, Attribute value) : pair(std::move(name), std::move(value)) {}
    Entry(std::string name, std::initializer_list<std::int64_t> values)
        : pair(std::move(name), Ints(values)) {}
    template <std::integral T>
    requires(!std::same_as<T, bool>) Entry(std::string name, T value)
        : pair(std::move(name), Number(value).integer()) {}
  };

  Attributes() = default;
  Attributes(std::initializer_list<Entry> entries);
  explicit Attributes(std::vector<Entry> entries);

  bool empty() const { return data_ == nullptr; }
  bool has(std::string_view name) const { return find(name) != nullptr; }
  // The value called `name`. Asking for one that is not there, or with another type, is a bug in
  // the operator and throws std::logic_error.
  template <class T>
  const T& get(std::string_view name) const {
    const Attribute* value = find(name);
    if (value == nullptr || !std::holds_alternative<T>(*value)) missing(name);
    return std::get<T>(*value);
  }
  const std::vector<Entry>& entries() const;
  // The same with one more, which must be new.
  Attributes with(std::string name, Attribute value) const;

  std::size_t hash() const { return data_ ? data_->hash : 0; }
  friend bool operator==(const Attributes& a, const Attributes& b);

 private:
  struct Data {
    std::vector<Entry> entries;
    std::size_t hash = 0;
  };
  const Attribute* find(std::string_view name) const;
  [[noreturn]] void missing(std::string_view name) const;

  std::shared_ptr<const Data> data_;
};

std::string to_string(const Attribute& value);
std::string to_string(const Attributes& attributes);  // "axis=1, keepdims=True"

}  // namespace dualtape
