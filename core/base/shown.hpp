// Names and texts of files and users as error texts show them: short, whatever was there. Pure
// functions; any thread may call.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace dualtape::detail {

// Its beginning where it is longer than that, not cut within a letter of UTF-8; without control
// characters.
inline std::string shortened(std::string_view text, std::size_t longest = 100) {
  std::size_t end = text.size() < longest ? text.size() : longest;
  if (end < text.size())
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  std::string result;
  for (const char c : text.substr(0, end)) result += static_cast<unsigned char>(c) < ' ' ? '?' : c;
  return end < text.size() ? result + "..." : result;
}

inline std::string in_quotes(std::string_view text, std::size_t longest = 100) {
  return "'" + shortened(text, longest) + "'";
}

// The names in quotes, the first of them where they are many; empty for none.
template <class Names>
std::string names_listed(const Names& names) {
  constexpr std::size_t most = 400;
  std::string text;
  for (const auto& name : names) {
    if (text.size() > most) return text + ", ...";
    if (!text.empty()) text += ", ";
    text += in_quotes(name);
  }
  return text;
}

}  // namespace dualtape::detail
