// The JSON that is read and written here, through nlohmann's library. Built without it
// (DUALTAPE_JSON not defined) every function throws DataError that says so. Any thread may call.
//
// No tree of values is built: it would be many times the text, it looks names up one by one, and
// its destructor ends the program where memory runs out.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <dualtape/core/error.hpp>

namespace dualtape::detail {

// The header of a .safetensors file.
struct TensorsHeader {
  struct Entry {
    std::string name;
    std::string dtype;
    std::vector<std::int64_t> shape;
    std::uint64_t begin = 0;  // of its bytes, after the header
    std::uint64_t end = 0;
  };
  std::vector<Entry> entries;
  std::vector<std::pair<std::string, std::string>> metadata;
};

// What is wrong with a text, and where in it.
struct JsonFault {
  std::size_t offset = 0;
  std::string what;
};

// Throws JsonFault unless the text is one object of the entries' form, each name once. In one pass,
// whatever the number of entries.
TensorsHeader parse_header(std::string_view text);
// Throws ValueError, at the user's line, for a name that is not UTF-8.
std::string to_json(const TensorsHeader& header, Location where);

// One object on one line. JSON has no numbers for NaN and infinities: they are written as the
// strings "NaN", "Infinity" and "-Infinity", since null would not tell them apart. Text that is not
// UTF-8 has its wrong bytes replaced.
using JsonValue = std::variant<double, std::int64_t, std::string>;
std::string json_object(const std::vector<std::pair<std::string, JsonValue>>& fields);

}  // namespace dualtape::detail
