// Small text helpers: widths, numbers and escapes. Pure functions, safe from any
// thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace dualtape::docs {

// Columns a UTF-8 text takes on a terminal, taking every code point as one column wide.
std::size_t columns(std::string_view text);

std::string pad_left(std::string_view text, std::size_t width);
std::string pad_right(std::string_view text, std::size_t width);

// The first `width` columns of a UTF-8 text; never cuts a code point in two.
std::string clip(std::string_view text, std::size_t width);

// Fixed number of digits after the point: fixed(2.345, 1) is "2.3". NaN gives "nan".
std::string fixed(double value, int digits);

// A loss or another figure of unknown size, to four digits: "2.303", "0.01234", "1.2e-05".
std::string figure(double value);

// Shortest text that reads back as the same number, whatever the locale; NaN gives "" (an empty
// cell of a CSV file).
std::string csv_number(double value);

// "0.8 s", "42 s", "3 min 07 s", "2 h 05 min"; "?" where seconds is not finite.
std::string duration(double seconds);

// Safe inside HTML text and attribute values.
std::string html(std::string_view text);

// Safe as one word of a POSIX shell command; left as it is where it needs no quotes.
std::string shell_word(std::string_view text);

// Lower-case letters, digits and single hyphens only, for file names; "run" where nothing is left.
std::string slug(std::string_view text);

// The candidate closest to `word` by edit distance, or "" where none is close enough to suggest.
std::string closest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace dualtape::docs
