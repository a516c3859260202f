#include "text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

#include <dualtape/core/base/words.hpp>

namespace dualtape::docs {
namespace {

bool continues_code_point(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

// The demo never sets a locale, so printf keeps the point as its decimal mark.
std::string printed(const char* format, int digits, double value) {
  std::array<char, 512> buffer{};
  const int length = std::snprintf(buffer.data(), buffer.size(), format, digits, value);
  return {buffer.data(), static_cast<std::size_t>(std::max(length, 0))};
}

bool is_ascii_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

}  // namespace

std::size_t columns(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return !continues_code_point(c); }));
}

std::string pad_left(std::string_view text, std::size_t width) {
  const std::size_t used = columns(text);
  return std::string(width > used ? width - used : 0, ' ').append(text);
}

std::string pad_right(std::string_view text, std::size_t width) {
  const std::size_t used = columns(text);
  return std::string(text).append(width > used ? width - used : 0, ' ');
}

std::string clip(std::string_view text, std::size_t width) {
  std::size_t seen = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!continues_code_point(text[i]) && seen++ == width) return std::string(text.substr(0, i));
  }
  return std::string(text);
}

std::string fixed(double value, int digits) {
  if (std::isnan(value)) return "nan";
  return printed("%.*f", digits, value);
}

std::string figure(double value) {
  if (std::isnan(value)) return "nan";
  const double size = std::abs(value);
  if (!std::isfinite(value) || size == 0) return printed("%.*f", 0, value);
  if (size < 1e-3 || size >= 1e5) return printed("%.*e", 1, value);
  const int before_point = static_cast<int>(std::floor(std::log10(size))) + 1;
  return printed("%.*f", std::clamp(4 - before_point, 0, 6), value);
}

std::string csv_number(double value) {
  if (std::isnan(value)) return "";
  std::array<char, 64> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return {buffer.data(), end.ptr};
}

std::string duration(double seconds) {
  if (!std::isfinite(seconds)) return "?";
  if (seconds < 9.95) return fixed(std::max(seconds, 0.0), 1) + " s";
  const auto whole = static_cast<long long>(std::min(std::llround(seconds), 359'999'999LL));
  const auto two = [](long long value) { return (value < 10 ? "0" : "") + std::to_string(value); };
  if (whole < 60) return std::to_string(whole) + " s";
  if (whole < 3600) return std::to_string(whole / 60) + " min " + two(whole % 60) + " s";
  return std::to_string(whole / 3600) + " h " + two(whole % 3600 / 60) + " min";
}

std::string html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string shell_word(std::string_view text) {
  const bool plain = !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return is_ascii_word(c) || std::string_view("_-./,=:+@%").find(c) != std::string_view::npos;
  });
  if (plain) return std::string(text);
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string slug(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (is_ascii_word(c)) {
      out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    } else if (!out.empty() && out.back() != '-') {
      out += '-';
    }
  }
  while (!out.empty() && out.back() == '-') out.pop_back();
  return out.empty() ? "run" : out;
}

std::string closest(std::string_view word, const std::vector<std::string>& candidates) {
  return detail::closest(word, candidates);
}

}  // namespace dualtape::docs
