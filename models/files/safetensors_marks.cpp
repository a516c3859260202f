#include <dualtape/models/files/safetensors_marks.hpp>

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include <dualtape/core/base/shown.hpp>
#include <dualtape/core/files/crc32c.hpp>

namespace dualtape::detail {
namespace {

constexpr std::string_view format_key = "dualtape.format";
constexpr std::string_view sums_key = "dualtape.crc32c";
constexpr std::string_view header_key = "dualtape.header";
constexpr std::string_view this_format = "2";
constexpr std::string_view no_sum = "00000000";  // what the header's own digits count as

bool is_mark(std::string_view key) {
  return key == format_key || key == sums_key || key == header_key;
}

void check_metadata(const TensorsHeader& header, Location where) {
  std::set<std::string_view> keys;
  for (const auto& [key, text] : header.metadata) {
    if (is_mark(key))
      fail<ValueError>({.op = "save_safetensors",
                        .label = key,
                        .what = "the metadata have the key '" + key + "', which is the library's",
                        .where = where,
                        .help = "use a key of your own"});
    if (!keys.insert(key).second)
      fail<ValueError>({.op = "save_safetensors",
                        .label = key,
                        .what = "the metadata have the key '" + key + "' twice",
                        .where = where,
                        .help = "keep one of them"});
  }
}

// Where the digits of the header's own checksum stand, as they are written; a quote within a name
// or a text stands after a backslash, so that this is no part of one.
std::size_t place_of_own_sum(std::string_view text) {
  const std::string before = "\"" + std::string(header_key) + "\":\"";
  const std::size_t at = text.find(before);
  return at == std::string_view::npos ? at : at + before.size();
}

// Of the text as it is while its own digits are not known.
std::uint32_t sum_of_header(std::string_view text, std::size_t own) {
  const auto bytes = [](std::string_view part) { return std::as_bytes(std::span(part)); };
  std::uint32_t sum = crc32c(bytes(text.substr(0, own)));
  sum = crc32c(bytes(no_sum), sum);
  return crc32c(bytes(text.substr(own + no_sum.size())), sum);
}

std::optional<std::string> take(TensorsHeader& header, std::string_view key) {
  const auto found = std::ranges::find(
      header.metadata, key, [](const auto& entry) { return std::string_view(entry.first); });
  if (found == header.metadata.end()) return std::nullopt;
  std::string text = std::move(found->second);
  header.metadata.erase(found);
  return text;
}

[[noreturn]] void damaged(const std::string& how) {
  throw JsonFault{0, "the header is not as dualtape wrote it: " + how};
}

std::vector<std::uint32_t> sums_of(std::string_view digits, std::size_t entries) {
  if (digits.size() != 8 * entries) damaged("a tensor has no checksum");
  std::vector<std::uint32_t> sums(entries);
  for (std::size_t i = 0; i < entries; ++i) {
    const char* begin = digits.data() + 8 * i;
    const auto [stop, error] = std::from_chars(begin, begin + 8, sums[i], 16);
    if (error != std::errc() || stop != begin + 8) damaged("a checksum is no number");
  }
  return sums;
}

}  // namespace

std::string marked_header(TensorsHeader header, const std::vector<std::uint32_t>& sums,
                          std::size_t alignment, std::size_t before, Location where) {
  check_metadata(header, where);
  std::string digits;
  for (const std::uint32_t sum : sums) digits += hex8(sum);
  header.metadata.emplace_back(format_key, this_format);
  header.metadata.emplace_back(sums_key, digits);
  header.metadata.emplace_back(header_key, no_sum);
  std::string text = to_json(header, where);
  text.resize((before + text.size() + alignment - 1) / alignment * alignment - before, ' ');
  const std::size_t own = place_of_own_sum(text);
  text.replace(own, no_sum.size(), hex8(sum_of_header(text, own)));
  return text;
}

Marks take_marks(TensorsHeader& header, std::string_view text) {
  const std::optional<std::string> format = take(header, format_key);
  const std::optional<std::string> sums = take(header, sums_key);
  const std::optional<std::string> own = take(header, header_key);
  if (!format && !sums && !own) return {};
  // A single damaged key leaves the others to tell that it is missing.
  if (!format || !sums || !own) damaged("one of its three marks is missing");
  const std::size_t place = place_of_own_sum(text);
  if (place == std::string_view::npos || *own != hex8(sum_of_header(text, place)))
    damaged("its checksum differs, so it was damaged or changed by another program");
  if (*format != this_format)
    throw JsonFault{0, "the header says format " + shortened(*format, 20) +
                           ", this dualtape reads format " + std::string(this_format) +
                           " and before"};
  return {true, sums_of(*sums, header.entries.size())};
}

}  // namespace dualtape::detail
