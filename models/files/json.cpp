#include <dualtape/models/files/json.hpp>

#include <dualtape/core/base/shown.hpp>
#include <dualtape/core/error.hpp>

#if defined(DUALTAPE_JSON)

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

namespace dualtape::detail {
namespace {

using Json = nlohmann::json;

constexpr std::size_t highest_rank = 64;

// What the parser tells of, in the order of the text, becomes a header as it comes.
class HeaderReader final : public nlohmann::json_sax<Json> {
 public:
  explicit HeaderReader(std::string_view text) : text_(text) {}

  TensorsHeader read() {
    // It gives false only where a function below does, and these throw.
    Json::sax_parse(text_.begin(), text_.end(), this);
    check_names();
    return std::move(header_);
  }

  bool null() override { unfit(); }
  bool boolean(bool /*value*/) override { unfit(); }
  bool number_integer(std::int64_t /*value*/) override { unfit(); }
  bool number_float(double /*value*/, const std::string& /*digits*/) override { unfit(); }
  bool binary(Json::binary_t& /*value*/) override { unfit(); }

  bool number_unsigned(std::uint64_t value) override {
    if (place_ != Place::list || value > std::uint64_t{std::numeric_limits<std::int64_t>::max()})
      unfit();
    if (field_ == "shape") {
      if (current().shape.size() == highest_rank) refuse(no_shape);
      current().shape.push_back(static_cast<std::int64_t>(value));
    } else {
      if (offsets_ == 2) refuse(no_offsets);
      (offsets_ == 0 ? current().begin : current().end) = value;
      ++offsets_;
    }
    return true;
  }

  bool string(std::string& value) override {
    if (place_ == Place::metadata) {
      header_.metadata.back().second = std::move(value);
    } else if (place_ == Place::entry && field_ == "dtype") {
      current().dtype = std::move(value);
    } else {
      unfit();
    }
    return true;
  }

  bool start_object(std::size_t /*size*/) override {
    switch (place_) {
      case Place::outside: place_ = Place::header; return true;
      case Place::named_metadata: place_ = Place::metadata; return true;
      case Place::named_entry: place_ = Place::entry; return true;
      default: nested();
    }
  }

  bool key(std::string& name) override {
    if (place_ == Place::metadata) {
      header_.metadata.emplace_back(std::move(name), std::string());
    } else if (place_ == Place::entry) {
      field_ = std::move(name);
      if (field_ != "dtype" && field_ != "shape" && field_ != "data_offsets") refuse(no_entry);
      ++fields_;
    } else if (name == "__metadata__") {
      if (has_metadata_) throw JsonFault{0, "__metadata__ stands in the header twice"};
      has_metadata_ = true;
      place_ = Place::named_metadata;
    } else {
      header_.entries.push_back({std::move(name), {}, {}, 0, 0});
      place_ = Place::named_entry;
    }
    return true;
  }

  bool end_object() override {
    if (place_ == Place::entry) finish_entry();
    place_ = Place::header;
    return true;
  }

  bool start_array(std::size_t /*size*/) override {
    if (place_ == Place::outside) unfit();
    if (place_ != Place::entry || field_ == "dtype") nested();
    if (field_ == "shape") has_shape_ = true;
    place_ = Place::list;
    return true;
  }

  bool end_array() override {
    place_ = Place::entry;
    return true;
  }

  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const Json::exception& error) override {
    const std::size_t place = position > 0 ? position - 1 : 0;
    throw JsonFault{std::min(place, text_.size()),
                    "expected JSON: " + shortened(error.what(), 300)};
  }

 private:
  // Where in the header the text is: "named" after one of its keys, "list" within a shape or
  // data_offsets.
  enum class Place { outside, header, named_metadata, metadata, named_entry, entry, list };

  static constexpr const char* no_entry = "has not just dtype, shape and data_offsets";
  static constexpr const char* no_shape = "has a shape that is no list of at most 64 sizes";
  static constexpr const char* no_offsets = "has data_offsets that are no list of two";

  TensorsHeader::Entry& current() { return header_.entries.back(); }

  [[noreturn]] void refuse(const std::string& what) const {
    refuse(header_.entries.back().name, what);
  }
  [[noreturn]] void refuse(const std::string& name, const std::string& what) const {
    const std::string quoted = Json(name).dump(-1, ' ', false, Json::error_handler_t::replace);
    const std::size_t place = text_.find(quoted);
    throw JsonFault{place == std::string_view::npos ? 0 : place,
                    "tensor " + shortened(quoted) + " " + what};
  }

  [[noreturn]] static void nested() {
    throw JsonFault{0, "expected nothing nested but entries, their shapes and data_offsets"};
  }

  // A value that is not what its place needs.
  [[noreturn]] void unfit() const {
    switch (place_) {
      case Place::outside: throw JsonFault{0, "expected an object"};
      case Place::named_metadata: throw JsonFault{0, "expected __metadata__ to be an object"};
      case Place::metadata: throw JsonFault{0, "expected __metadata__ to hold strings"};
      case Place::list: refuse("has a size or offset that is no count");
      default: break;
    }
    if (place_ != Place::entry) refuse(no_entry);
    if (field_ == "dtype") refuse("has a dtype that is no string");
    refuse(field_ == "shape" ? no_shape : no_offsets);
  }

  // Three fields, and all three of them there, are each one once.
  void finish_entry() {
    if (offsets_ == 1) refuse(no_offsets);
    if (fields_ != 3 || current().dtype.empty() || !has_shape_ || offsets_ != 2) refuse(no_entry);
    fields_ = 0;
    has_shape_ = false;
    offsets_ = 0;
  }

  void check_names() const {
    std::vector<std::string_view> names;
    for (const auto& entry : header_.entries) names.push_back(entry.name);
    std::ranges::sort(names);
    const auto twice = std::ranges::adjacent_find(names);
    if (twice != names.end()) refuse(std::string(*twice), "stands in the header twice");
    names.clear();
    for (const auto& [key, text] : header_.metadata) names.push_back(key);
    std::ranges::sort(names);
    if (std::ranges::adjacent_find(names) != names.end())
      throw JsonFault{0, "a key of __metadata__ stands there twice"};
  }

  std::string_view text_;
  TensorsHeader header_;
  Place place_ = Place::outside;
  bool has_metadata_ = false;
  // Of the entry under way.
  std::string field_;
  int fields_ = 0;
  bool has_shape_ = false;
  int offsets_ = 0;
};

std::string json_string(const std::string& text, Location where) {
  try {
    return Json(text).dump();
  } catch (const Json::exception&) {
    const std::string shown = Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
    fail<ValueError>({.op = "save_safetensors",
                      .what = "a name or text of the file is not UTF-8: " + shortened(shown),
                      .where = where,
                      .help = "use names of letters in UTF-8, in which such files are written"});
  }
}

template <class Numbers>
std::string list_of(const Numbers& numbers) {
  std::string text = "[";
  for (const auto number : numbers) {
    if (text.size() > 1) text += ',';
    text += std::to_string(number);
  }
  return text + "]";
}

// A value of its own, not one of many: the tree that it is has no branches.
std::string text_of(const JsonValue& value) {
  const auto dump = [](const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
  };
  if (const auto* number = std::get_if<double>(&value)) {
    if (std::isnan(*number)) return "\"NaN\"";
    if (std::isinf(*number)) return *number > 0 ? "\"Infinity\"" : "\"-Infinity\"";
    return dump(Json(*number));
  }
  if (const auto* whole = std::get_if<std::int64_t>(&value)) return std::to_string(*whole);
  return dump(Json(std::get<std::string>(value)));
}

}  // namespace

TensorsHeader parse_header(std::string_view text) { return HeaderReader(text).read(); }

std::string to_json(const TensorsHeader& header, Location where) {
  const auto in_json = [&](const std::string& part) { return json_string(part, where); };
  std::string text = "{";
  if (!header.metadata.empty()) {
    text += "\"__metadata__\":{";
    for (const auto& [key, value] : header.metadata) {
      if (text.back() != '{') text += ',';
      text += in_json(key) + ":" + in_json(value);
    }
    text += '}';
  }
  for (const auto& entry : header.entries) {
    if (text.size() > 1) text += ',';
    text += in_json(entry.name) + R"(:{"dtype":)" + in_json(entry.dtype) + R"(,"shape":)" +
            list_of(entry.shape) + R"(,"data_offsets":)" +
            list_of(std::initializer_list<std::uint64_t>{entry.begin, entry.end}) + "}";
  }
  return text + "}";
}

std::string json_object(const std::vector<std::pair<std::string, JsonValue>>& fields) {
  std::string text = "{";
  for (const auto& [name, value] : fields) {
    if (text.size() > 1) text += ',';
    text += text_of(name) + ":" + text_of(value);
  }
  return text + "}";
}

}  // namespace dualtape::detail

#else

namespace dualtape::detail {
namespace {

[[noreturn]] void refuse() {
  fail<DataError>({.op = "json",
                   .what = "this build of dualtape has no JSON, which checkpoints and logs need",
                   .help = "apt-get install nlohmann-json3-dev, and configure again"});
}

}  // namespace

TensorsHeader parse_header(std::string_view) { refuse(); }
std::string to_json(const TensorsHeader&, Location) { refuse(); }
std::string json_object(const std::vector<std::pair<std::string, JsonValue>>&) { refuse(); }

}  // namespace dualtape::detail

#endif
