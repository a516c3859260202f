#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <cstdio>

#include <dualtape/core/base/table.hpp>

namespace dualtape::detail {
namespace {

// Three digits where there are decimals, all digits of whole numbers below a thousand.
std::string digits(double number) {
  std::array<char, 32> text{};
  const double size = std::abs(number);
  const bool whole = number == std::floor(number);
  const int decimals = whole || size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2;
  std::snprintf(text.data(), text.size(), "%.*f", decimals, number);
  return text.data();
}

std::string with_prefix(double number, double step_up, const std::array<const char*, 5>& prefixes) {
  std::size_t i = 0;
  // 999.9 would be printed as 1000, so it goes up as well.
  while (i + 1 < prefixes.size() && std::abs(number) >= step_up - 0.5) {
    number /= step_up;
    ++i;
  }
  return digits(number) + prefixes[i];
}

}  // namespace

std::string short_number(double number) {
  return with_prefix(number, 1000, {"", " k", " M", " G", " T"});
}
std::string short_bytes(double bytes) {
  return with_prefix(bytes, 1000, {" B", " kB", " MB", " GB", " TB"});
}
std::string short_time(double nanoseconds) {
  if (nanoseconds >= 999.5e9) return digits(nanoseconds / 1e9) + " s";
  return with_prefix(nanoseconds, 1000, {" ns", " us", " ms", " s", " s"});
}

TextTable::TextTable(std::vector<std::string> headings) {
  for (std::string& heading : headings) {
    right_.push_back(heading.starts_with('>'));
    if (right_.back()) heading.erase(0, 1);
  }
  row(std::move(headings));
}

void TextTable::row(std::vector<std::string> cells) {
  assert(cells.size() == right_.size());
  lines_.push_back({std::move(cells), false});
}

void TextTable::remark(std::string text) { lines_.push_back({{std::move(text)}, true}); }

std::string TextTable::text() const {
  std::vector<std::size_t> widths(right_.size());
  for (const Line& line : lines_)
    for (std::size_t i = 0; !line.remark && i < line.cells.size(); ++i)
      widths[i] = std::max(widths[i], line.cells[i].size());
  std::string out;
  for (const Line& line : lines_) {
    if (line.remark) {
      out += "        " + line.cells[0] + '\n';
      continue;
    }
    std::string text;
    for (std::size_t i = 0; i < line.cells.size(); ++i) {
      const std::string blanks(widths[i] - line.cells[i].size(), ' ');
      text += (i == 0 ? "" : "  ") + (right_[i] ? blanks + line.cells[i] : line.cells[i] + blanks);
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + '\n';
  }
  return out;
}

}  // namespace dualtape::detail
