#include <dualtape/core/attributes.hpp>

#include <bit>
#include <sstream>
#include <stdexcept>

#include <dualtape/core/kept.hpp>

namespace dualtape {
namespace {

std::size_t mix(std::size_t seed, std::size_t value) {
  return (seed ^ value) * 0x9E3779B97F4A7C15u + (seed >> 23);
}

std::size_t hash_of(const Attribute& value) {
  return std::visit(
      []<class T>(const T& v) -> std::size_t {
        if constexpr (std::is_same_v<T, Ints>) {
          std::size_t h = v.size();
          for (const std::int64_t x : v) h = mix(h, static_cast<std::size_t>(x));
          return h;
        } else if constexpr (std::is_same_v<T, Shape>) {
          std::size_t h = v.rank();
          for (const std::int64_t x : v) h = mix(h, static_cast<std::size_t>(x));
          return h;
        } else if constexpr (std::is_same_v<T, Tensor>) {
          return mix(static_cast<std::size_t>(v.count()),
                     v.count() > 0 ? static_cast<std::size_t>(
                                         std::hash<double>{}(v.reshape({v.count()}).at({0})))
                                   : 0);
        } else if constexpr (std::is_same_v<T, Parameter>) {
          return v.hash();
        } else if constexpr (std::is_same_v<T, DType>) {
          return static_cast<std::size_t>(v);
        } else if constexpr (std::is_same_v<T, double>) {
          return static_cast<std::size_t>(std::bit_cast<std::uint64_t>(v));
        } else {
          return std::hash<T>{}(v);
        }
      },
      value);
}

bool equal(const Attribute& a, const Attribute& b) {
  if (a.index() != b.index()) return false;
  return std::visit(
      [&]<class T>(const T& x) {
        const T& y = std::get<T>(b);
        if constexpr (std::is_same_v<T, Tensor>)
          return identical(x, y);
        else if constexpr (std::is_same_v<T, double>)  // 0 and -0 are two, NaN is itself
          return std::bit_cast<std::uint64_t>(x) == std::bit_cast<std::uint64_t>(y);
        else
          return x == y;
      },
      a);
}

}  // namespace

Attributes::Attributes(std::initializer_list<Entry> entries)
    : Attributes(std::vector<Entry>(entries)) {}

Attributes::Attributes(std::vector<Entry> entries) {
  if (entries.empty()) return;
  auto data = std::make_shared<Data>();
  data->entries = std::move(entries);
  for (const auto& [name, value] : data->entries)
    data->hash = mix(mix(data->hash, std::hash<std::string>{}(name)), hash_of(value));
  data_ = std::move(data);
}

const std::vector<Attributes::Entry>& Attributes::entries() const {
  static const detail::Kept<std::vector<Entry>> none;
  return data_ ? data_->entries : none.value;
}

Attributes Attributes::with(std::string name, Attribute value) const {
  if (has(name)) throw std::logic_error("attribute '" + name + "' is there already");
  std::vector<Entry> all = entries();
  all.emplace_back(std::move(name), std::move(value));
  return Attributes(std::move(all));
}

const Attribute* Attributes::find(std::string_view name) const {
  for (const auto& [key, value] : entries())
    if (key == name) return &value;
  return nullptr;
}

void Attributes::missing(std::string_view name) const {
  throw std::logic_error("attribute '" + std::string(name) +
                         "' is missing or of another type in (" + to_string(*this) + ")");
}

bool operator==(const Attributes& a, const Attributes& b) {
  if (a.data_ == b.data_) return true;
  if (a.hash() != b.hash() || a.entries().size() != b.entries().size()) return false;
  for (std::size_t i = 0; i < a.entries().size(); ++i)
    if (a.entries()[i].first != b.entries()[i].first ||
        !equal(a.entries()[i].second, b.entries()[i].second))
      return false;
  return true;
}

std::string to_string(const Attribute& value) {
  return std::visit(
      []<class T>(const T& v) -> std::string {
        std::ostringstream out;
        if constexpr (std::is_same_v<T, bool>) {
          out << (v ? "True" : "False");
        } else if constexpr (std::is_same_v<T, Ints>) {
          out << '[';
          for (std::size_t i = 0; i < v.size(); ++i) out << (i ? ", " : "") << v[i];
          out << ']';
        } else if constexpr (std::is_same_v<T, DType>) {
          out << name_of(v);
        } else if constexpr (std::is_same_v<T, Tensor>) {
          if (v.count() == 1 && v.rank() == 0)
            out << v;
          else
            out << to_string(v.type());
        } else if constexpr (std::is_same_v<T, Parameter>) {
          out << v.name();
        } else if constexpr (std::is_same_v<T, std::shared_ptr<const Function>>) {
          out << "function";
        } else {
          out << v;
        }
        return out.str();
      },
      value);
}

std::string to_string(const Attributes& attributes) {
  std::string text;
  for (const auto& [name, value] : attributes.entries()) {
    if (!text.empty()) text += ", ";
    text += name + "=" + to_string(value);
  }
  return text;
}

}  // namespace dualtape
