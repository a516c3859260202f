#include <dualtape/models/detail/json.hpp>

#include <dualtape/core/error.hpp>

#if defined(DUALTAPE_JSON)

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

namespace dualtape::detail {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t highest_rank = 64;

class HeaderReader {
 public:
  explicit HeaderReader(std::string_view text) : text_(text) {}

  TensorsHeader read() const {
    const Json root = parse();
    if (!root.is_object()) throw JsonFault{0, "expected an object"};
    TensorsHeader header;
    for (const auto& [name, value] : root.items()) {
      if (name == "__metadata__") {
        read_metadata(value, header);
      } else {
        header.entries.push_back(entry(name, value));
      }
    }
    return header;
  }

 private:
  // Nothing in a header is nested deeper than a tensor's shape; names stand in it once.
  Json parse() const {
    std::set<std::string> names;
    const auto look = [&](int depth, Json::parse_event_t event, Json& parsed) {
      using Event = Json::parse_event_t;
      if (depth > 2 && (event == Event::object_start || event == Event::array_start))
        throw JsonFault{0, "expected nothing nested deeper than a tensor's shape"};
      if (event == Event::key && depth == 1) {
        const auto& name = parsed.get_ref<const std::string&>();
        if (!names.insert(name).second) refuse(name, "stands in the header twice");
      }
      return true;
    };
    try {
      return Json::parse(text_.begin(), text_.end(), look);
    } catch (const Json::parse_error& error) {
      const std::size_t place = error.byte > 0 ? error.byte - 1 : 0;
      throw JsonFault{std::min(place, text_.size()), "expected JSON: " + std::string(error.what())};
    } catch (const Json::exception& error) {
      throw JsonFault{0, "expected JSON: " + std::string(error.what())};
    }
  }

  [[noreturn]] void refuse(const std::string& name, const std::string& what) const {
    const std::string quoted = Json(name).dump(-1, ' ', false, Json::error_handler_t::replace);
    const std::size_t place = text_.find(quoted);
    throw JsonFault{place == std::string_view::npos ? 0 : place, "tensor " + quoted + " " + what};
  }

  static void read_metadata(const Json& value, TensorsHeader& header) {
    if (!value.is_object()) throw JsonFault{0, "expected __metadata__ to be an object"};
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) throw JsonFault{0, "expected __metadata__ to hold strings"};
      header.metadata.emplace_back(key, text.get<std::string>());
    }
  }

  TensorsHeader::Entry entry(const std::string& name, const Json& value) const {
    if (!value.is_object() || value.size() != 3 || !value.contains("dtype") ||
        !value.contains("shape") || !value.contains("data_offsets"))
      refuse(name, "has not just dtype, shape and data_offsets");
    const Json& dtype = value["dtype"];
    const Json& shape = value["shape"];
    const Json& offsets = value["data_offsets"];
    if (!dtype.is_string()) refuse(name, "has a dtype that is no string");
    if (!shape.is_array() || shape.size() > highest_rank)
      refuse(name, "has a shape that is no list of at most 64 sizes");
    if (!offsets.is_array() || offsets.size() != 2)
      refuse(name, "has data_offsets that are no list of two");
    TensorsHeader::Entry entry{name, dtype.get<std::string>(), {}, 0, 0};
    for (const Json& size : shape)
      entry.shape.push_back(static_cast<std::int64_t>(count(name, size)));
    entry.begin = count(name, offsets[0]);
    entry.end = count(name, offsets[1]);
    return entry;
  }

  std::uint64_t count(const std::string& name, const Json& value) const {
    if (!value.is_number_unsigned() ||
        value.get<std::uint64_t>() > std::uint64_t{std::numeric_limits<std::int64_t>::max()})
      refuse(name, "has a size or offset that is no count");
    return value.get<std::uint64_t>();
  }

  std::string_view text_;
};

Json json_of(const JsonValue& value) {
  if (const auto* number = std::get_if<double>(&value)) {
    if (std::isnan(*number)) return "NaN";
    if (std::isinf(*number)) return *number > 0 ? "Infinity" : "-Infinity";
    return *number;
  }
  if (const auto* whole = std::get_if<std::int64_t>(&value)) return *whole;
  return std::get<std::string>(value);
}

}  // namespace

TensorsHeader parse_header(std::string_view text) { return HeaderReader(text).read(); }

std::string to_json(const TensorsHeader& header) {
  Json root = Json::object();
  if (!header.metadata.empty()) {
    Json metadata = Json::object();
    for (const auto& [key, text] : header.metadata) metadata[key] = text;
    root["__metadata__"] = std::move(metadata);
  }
  for (const auto& entry : header.entries)
    root[entry.name] = {
        {"dtype", entry.dtype}, {"shape", entry.shape}, {"data_offsets", {entry.begin, entry.end}}};
  try {
    return root.dump();
  } catch (const Json::exception& error) {
    fail<ValueError>({.op = "json", .what = std::string("a name is not UTF-8: ") + error.what()});
  }
}

std::string json_object(const std::vector<std::pair<std::string, JsonValue>>& fields) {
  Json object = Json::object();
  for (const auto& [name, value] : fields) object[name] = json_of(value);
  return object.dump(-1, ' ', false, Json::error_handler_t::replace);
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
std::string to_json(const TensorsHeader&) { refuse(); }
std::string json_object(const std::vector<std::pair<std::string, JsonValue>>&) { refuse(); }

}  // namespace dualtape::detail

#endif
