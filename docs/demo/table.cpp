#include "table.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "common/text.hpp"

namespace dualtape::demo {
using namespace docs;  // NOLINT(google-build-using-namespace)
namespace {

constexpr std::size_t column_count = 7;
using Cells = std::array<std::string, column_count>;

const Cells& head() {
  static const Cells cells = {"method",         "steps",         "seconds", "ms/step",
                              "train accuracy", "test accuracy", "loss"};
  return cells;
}

std::string measured(double value, int digits, double scale = 1, const char* unit = "") {
  return std::isnan(value) ? "-" : fixed(value * scale, digits) + unit;
}

Cells cells_of(const Summary& row) {
  return {row.method,
          std::to_string(row.steps),
          measured(row.seconds, 2),
          measured(row.ms_per_step, 3),
          measured(row.train_accuracy, 1, 100, " %"),
          measured(row.test_accuracy, 1, 100, " %"),
          figure(row.loss)};
}

// The first column holds names and is aligned to the left, the others hold numbers.
std::string text_line(const Cells& cells, const std::array<std::size_t, column_count>& widths) {
  std::string line = pad_right(cells[0], widths[0]);
  for (std::size_t c = 1; c < column_count; ++c) line += "  " + pad_left(cells[c], widths[c]);
  return line + "\n";
}

std::string html_row(const Cells& cells, const char* tag, const char* first) {
  std::string line = "<tr>";
  for (std::size_t c = 0; c < column_count; ++c) {
    const std::string open = c == 0 ? first : tag;
    line += "<" + open + ">" + html(cells[c]) + "</" + open.substr(0, 2) + ">";
  }
  return line + "</tr>\n";
}

}  // namespace

std::string text_table(const std::vector<Summary>& rows) {
  std::vector<Cells> lines = {head()};
  for (const Summary& row : rows) lines.push_back(cells_of(row));

  std::array<std::size_t, column_count> widths{};
  for (const Cells& cells : lines) {
    for (std::size_t c = 0; c < column_count; ++c) {
      widths[c] = std::max(widths[c], columns(cells[c]));
    }
  }
  Cells rule;
  for (std::size_t c = 0; c < column_count; ++c) rule[c] = std::string(widths[c], '-');
  lines.insert(lines.begin() + 1, rule);

  std::string out;
  for (const Cells& cells : lines) out += text_line(cells, widths);
  return out;
}

std::string html_table(const std::vector<Summary>& rows) {
  std::string out = "<table class=\"summary\">\n<thead>\n";
  out += html_row(head(), "th scope=\"col\"", "th scope=\"col\"") + "</thead>\n<tbody>\n";
  for (const Summary& row : rows) out += html_row(cells_of(row), "td", "th scope=\"row\"");
  return out + "</tbody>\n</table>\n";
}

std::string summary_csv(const std::vector<Summary>& rows) {
  std::string text =
      "method,steps,seconds,seconds_per_step,loss,train_accuracy,test_accuracy,misclassified\n";
  for (const Summary& row : rows) {
    text += "\"" + row.method + "\"," + std::to_string(row.steps);
    for (const double cell : {row.seconds, row.ms_per_step / 1e3, row.loss, row.train_accuracy,
                              row.test_accuracy, row.misclassified})
      text += "," + csv_number(cell);
    text += "\n";
  }
  return text;
}

}  // namespace dualtape::demo
