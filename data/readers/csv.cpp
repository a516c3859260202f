#include <dualtape/data/csv.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <system_error>
#include <type_traits>
#include <utility>

#include <dualtape/core/base/enumeration.hpp>
#include <dualtape/core/base/shown.hpp>

namespace dualtape {
namespace {

using Index = std::int64_t;

// A field as error texts show it.
std::string shown(std::string_view text) { return detail::in_quotes(text, 40); }

std::string_view trimmed(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

enum class Parse : std::uint8_t { fine, malformed, too_large };

// from_chars, so that no locale changes the meaning of a file; it takes no leading plus.
template <class T>
Parse parse(std::string_view text, T& value) {
  text = trimmed(text);
  if (text.size() > 1 && text.front() == '+' && text[1] != '-') text.remove_prefix(1);
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc::invalid_argument || stop != end) return Parse::malformed;
  return error == std::errc() ? Parse::fine : Parse::too_large;
}

template <class T>
T number_at(const Table& table, Index row, Index column, Missing missing, Location here) {
  if (table.missing(row, column, here)) {
    if (missing == Missing::refuse) {
      table.complain(row, column,
                     "a number is missing: " + shown(table.text(row, column)) +
                         " (drop such rows with without_missing, or ask for NaN)",
                     here);
    }
    return std::numeric_limits<T>::quiet_NaN();
  }
  T value{};
  const Parse outcome = parse(table.text(row, column), value);
  if (outcome == Parse::fine) {
    // from_chars takes inf, NAN, -nan and nan(1) as well.
    if constexpr (std::is_floating_point_v<T>) {
      if (missing == Missing::refuse && !std::isfinite(value))
        table.complain(row, column,
                       shown(table.text(row, column)) +
                           " is not finite (add it to CsvOptions::missing where it means that "
                           "there is no number, or take it with Missing::as_nan)",
                       here);
    }
    return value;
  }
  const std::string kind = std::is_floating_point_v<T> ? "number" : "whole number";
  const std::string seen = shown(table.text(row, column));
  table.complain(row, column,
                 outcome == Parse::malformed
                     ? seen + " is not a " + kind
                     : seen + " is out of the range of " + std::string(name_of(dtype_of<T>)),
                 here);
}

template <class T>
Tensor columns_as(const Table& table, std::span<const Index> columns, Missing missing,
                  Location here) {
  const auto width = static_cast<Index>(columns.size());
  Tensor result = Tensor::uninitialised(Type{Shape{table.rows(), width}, dtype_of<T>});
  const std::span<T> out = result.data<T>();
  std::size_t next = 0;
  for (Index row = 0; row < table.rows(); ++row) {
    for (const Index column : columns)
      out[next++] = number_at<T>(table, row, column, missing, here);
  }
  return result;
}

}  // namespace

void Table::swap(Table& other) noexcept {
  path_.swap(other.path_);
  names_.swap(other.names_);
  missing_.swap(other.missing_);
  std::swap(columns_, other.columns_);
  lines_.swap(other.lines_);
  text_.swap(other.text_);
  ends_.swap(other.ends_);
}

void Table::check(Index row, Index column, Location here) const {
  if (row >= 0 && row < rows() && column >= 0 && column < columns_) return;
  fail<DataError>({.op = "Table",
                   .what = path_.string() + ": row " + std::to_string(row) + ", column " +
                           std::to_string(column) + " is not in a table of " +
                           std::to_string(rows()) + " rows and " + std::to_string(columns_) +
                           " columns",
                   .where = here,
                   .help = "rows and columns count from 0"});
}

// Asked before the rows are gone through, so that an empty table finds mistakes, too.
void Table::check_columns(std::span<const Index> columns, Location here) const {
  for (const Index column : columns) {
    if (column >= 0 && column < columns_) continue;
    fail<DataError>({.op = "Table",
                     .what = path_.string() + ": column " + std::to_string(column) +
                             " is not in a table of " + std::to_string(columns_) + " columns",
                     .where = here,
                     .help = "columns count from 0; Table::column() finds one by its name"});
  }
}

void Table::complain(Index row, Index column, const std::string& what, Location here) const {
  check(row, column, here);
  std::string place =
      ": line " + std::to_string(line(row, here)) + ", column " + std::to_string(column + 1);
  if (!names_.empty()) place += " " + shown(names_[static_cast<std::size_t>(column)]);
  fail<DataError>({.op = "read_csv", .what = path_.string() + place + ": " + what, .where = here});
}

Index Table::column(std::string_view name, Location here) const {
  const auto found = std::find(names_.begin(), names_.end(), name);
  if (found != names_.end() && std::find(found + 1, names_.end(), name) == names_.end()) {
    return found - names_.begin();
  }
  fail<DataError>({.op = "Table",
                   .what = path_.string() +
                           (found == names_.end() ? ": no column is called "
                                                  : ": more than one column is called ") +
                           shown(name),
                   .where = here,
                   .help = names_.empty() ? "the table was read without a header"
                                          : "columns are " + detail::names_listed(names_)});
}

std::string_view Table::text(Index row, Index column, Location here) const {
  check(row, column, here);
  const auto cell = static_cast<std::size_t>(row * columns_ + column);
  const std::size_t begin = begin_of(cell);
  return std::string_view(text_).substr(begin, ends_[cell] - begin);
}

bool Table::missing(Index row, Index column, Location here) const {
  return std::find(missing_.begin(), missing_.end(), trimmed(text(row, column, here))) !=
         missing_.end();
}

Index Table::line(Index row, Location here) const {
  check(row, 0, here);
  return lines_[static_cast<std::size_t>(row)];
}

Table Table::without_missing(std::span<const Index> columns, Location here) const {
  check_columns(columns, here);
  Table result;
  result.path_ = path_;
  result.names_ = names_;
  result.missing_ = missing_;
  result.columns_ = columns_;
  for (Index row = 0; row < rows(); ++row) {
    const bool whole = std::none_of(columns.begin(), columns.end(),
                                    [&](Index column) { return missing(row, column, here); });
    if (!whole) continue;
    result.lines_.push_back(line(row, here));
    for (Index column = 0; column < columns_; ++column) {
      result.text_ += text(row, column, here);
      result.ends_.push_back(result.text_.size());
    }
  }
  return result;
}

Tensor Table::numbers(std::span<const Index> columns, DType dtype, Missing missing,
                      Location here) const {
  check_columns(columns, here);
  detail::check_dtype("Table::numbers", dtype, here);
  detail::require_listed("Table::numbers", "Missing", missing, 2,
                         "Missing::refuse or Missing::as_nan", here);
  if (dtype == DType::boolean || (missing == Missing::as_nan && !is_floating(dtype))) {
    fail<TypeError>({.op = "Table::numbers",
                     .what = std::string(name_of(dtype)) +
                             (dtype == DType::boolean ? " columns cannot be read" : " has no NaN"),
                     .where = here,
                     .help = "ask for float32 or float64"});
  }
  switch (dtype) {
    case DType::int32: return columns_as<std::int32_t>(*this, columns, missing, here);
    case DType::int64: return columns_as<Index>(*this, columns, missing, here);
    case DType::float32: return columns_as<float>(*this, columns, missing, here);
    default: return columns_as<double>(*this, columns, missing, here);
  }
}

Tensor Table::categories(Index column, std::vector<std::string>& classes, Location here) const {
  check_columns(std::span(&column, 1), here);
  if (classes.empty()) {
    for (Index row = 0; row < rows(); ++row) classes.emplace_back(text(row, column, here));
    std::sort(classes.begin(), classes.end());
    classes.erase(std::unique(classes.begin(), classes.end()), classes.end());
  }
  Tensor result = Tensor::uninitialised(Type{Shape{rows()}, DType::int64});
  const std::span<Index> out = result.data<Index>();
  std::map<std::string_view, Index> number_of;
  for (std::size_t i = 0; i < classes.size(); ++i)
    number_of.emplace(classes[i], static_cast<Index>(i));  // the first, where two are equal
  for (Index row = 0; row < rows(); ++row) {
    const auto found = number_of.find(text(row, column, here));
    if (found == number_of.end()) {
      complain(row, column, shown(text(row, column, here)) + " is none of the classes", here);
    }
    out[static_cast<std::size_t>(row)] = found->second;
  }
  return result;
}

Dataset to_dataset(const Table& table, std::span<const Index> features, Index label,
                   std::vector<std::string> class_names, std::string name, Location here) {
  Tensor column = table.numbers(std::span(&label, 1), DType::int64, Missing::refuse, here);
  const auto labels = std::as_const(column).data<Index>();
  const auto classes = static_cast<Index>(class_names.size());
  for (Index row = 0; row < table.rows(); ++row) {
    const Index value = labels[static_cast<std::size_t>(row)];
    if (value >= 0 && value < classes) continue;
    table.complain(
        row, label,
        "class " + std::to_string(value) + " is not one of 0 to " + std::to_string(classes - 1),
        here);
  }
  Tensor inputs = table.numbers(features, float32, Missing::refuse, here);
  std::vector<std::string> names;
  for (const Index feature : features) {
    if (!table.names().empty()) names.push_back(table.names()[static_cast<std::size_t>(feature)]);
  }
  return {std::move(inputs), column.reshape(Shape{table.rows()}), std::move(class_names),
          std::move(names), std::move(name)};
}

Dataset to_dataset(const Table& table, const std::vector<std::string>& features,
                   std::string_view label, std::string name, Location here) {
  std::vector<Index> columns;
  columns.reserve(features.size());
  for (const std::string& feature : features) columns.push_back(table.column(feature, here));
  Dataset result;
  result.inputs = table.numbers(columns, float32, Missing::refuse, here);
  const Index of_labels = table.column(label, here);
  for (Index row = 0; row < table.rows(); ++row)
    if (table.missing(row, of_labels, here))
      table.complain(row, of_labels, "the label is missing", here);
  result.labels = table.categories(of_labels, result.class_names, here);
  result.feature_names = features;
  result.name = std::move(name);
  return result;
}

}  // namespace dualtape
