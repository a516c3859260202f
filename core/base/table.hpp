// Text tables and short numbers for listings that people read. Private; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dualtape::detail {

// Columns as wide as their widest cell, two blanks apart.
class TextTable {
 public:
  // A heading that begins with '>' is that of a column set to the right (numbers).
  explicit TextTable(std::vector<std::string> headings);
  // As many cells as headings.
  void row(std::vector<std::string> cells);
  // A line of its own below the last row, indented.
  void remark(std::string text);
  std::string text() const;

 private:
  struct Line {
    std::vector<std::string> cells;  // a remark has one, and no columns
    bool remark = false;
  };
  std::vector<bool> right_;
  std::vector<Line> lines_;
};

// Three or four digits and a prefix: "0", "812", "1.23 k", "45.6 M", "3.2 G".
std::string short_number(double number);
// "812 B", "1.23 kB" (a thousand bytes).
std::string short_bytes(double bytes);
// "812 ns", "12.3 us", "4.56 ms", "1.20 s".
std::string short_time(double nanoseconds);

}  // namespace dualtape::detail
