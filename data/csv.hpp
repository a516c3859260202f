// Reading CSV files (RFC 4180) into tables of text, and columns of those into tensors.
// Plain values; any thread may call. Every error is a DataError that names file, line and column.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dualtape/core/tensor.hpp>
#include <dualtape/data/dataset.hpp>

namespace dualtape {

struct CsvOptions {
  char separator = ',';
  bool header = true;  // the first line holds names
  // Fields that mean "no value".
  std::vector<std::string> missing = {"", "NA", "NaN", "nan"};
  std::size_t longest_row = std::size_t{1} << 20U;  // bytes; more is taken for a mistake
};

// What becomes of fields without a value: a DataError, as for infinities and NaNs in any spelling,
// or NaN; infinities then stay what they are.
enum class Missing : std::uint8_t { refuse, as_nan };

// The fields of a CSV file, row-major. Rows and columns count from 0 here; error texts count
// lines and columns of the file from 1.
class Table {
 public:
  Table() = default;
  Table(const Table&) = default;
  Table& operator=(const Table&) = default;
  Table(Table&& other) noexcept { swap(other); }  // leaves `other` without rows and columns
  Table& operator=(Table&& other) noexcept {
    Table taken(std::move(other));
    swap(taken);
    return *this;
  }
  ~Table() = default;

  std::int64_t rows() const { return static_cast<std::int64_t>(lines_.size()); }
  std::int64_t columns() const { return columns_; }
  const std::vector<std::string>& names() const { return names_; }  // empty without a header
  const std::filesystem::path& path() const { return path_; }

  // The column of that name; DataError where no column, or more than one, has it.
  std::int64_t column(std::string_view name, Location here = Location::current()) const;
  std::string_view text(std::int64_t row, std::int64_t column,
                        Location here = Location::current()) const;
  bool missing(std::int64_t row, std::int64_t column, Location here = Location::current()) const;
  // The file's line on which the row begins, from 1.
  std::int64_t line(std::int64_t row, Location here = Location::current()) const;

  // The table without the rows that have a missing value in one of the columns.
  Table without_missing(std::span<const std::int64_t> columns,
                        Location here = Location::current()) const;

  // The columns as a (rows, columns.size()) tensor of float32, float64, int32 or int64. Integers
  // must be written as such. Missing::as_nan needs a floating dtype.
  Tensor numbers(std::span<const std::int64_t> columns, DType dtype = DType::float32,
                 Missing missing = Missing::refuse, Location here = Location::current()) const;
  // One column of words as class numbers: int64 (rows,), by position in `classes`. Where `classes`
  // is empty, it becomes the sorted list of the words found.
  Tensor categories(std::int64_t column, std::vector<std::string>& classes,
                    Location here = Location::current()) const;

  // Throws the DataError for one field: "FILE: line 12, column 3 'sepal width': WHAT".
  [[noreturn]] void complain(std::int64_t row, std::int64_t column, const std::string& what,
                             Location here = Location::current()) const;

 private:
  friend class CsvReader;
  void swap(Table& other) noexcept;
  void check(std::int64_t row, std::int64_t column, Location here) const;
  void check_columns(std::span<const std::int64_t> columns, Location here) const;
  std::size_t begin_of(std::size_t cell) const { return cell == 0 ? 0 : ends_[cell - 1]; }

  std::filesystem::path path_;
  std::vector<std::string> names_;
  std::vector<std::string> missing_;
  std::int64_t columns_ = 0;
  std::vector<std::int64_t> lines_;  // one a row
  std::string text_;                 // all fields, one after the other
  std::vector<std::size_t> ends_;    // where each field ends in text_
};

// Reads the file. Quoted fields may hold separators, line ends and doubled quotes; lines end in LF
// or CRLF; empty lines and a byte order mark are skipped. Throws DataError for a file that is
// missing, empty or unreadable, for ragged rows, stray quotes and rows beyond longest_row.
Table read_csv(const std::filesystem::path& path, const CsvOptions& options = {},
               Location here = Location::current());

// A data set for classification: float32 inputs (rows, features.size()) from the feature columns,
// int64 labels (rows,) from the label column, whose numbers must lie below class_names.size().
Dataset to_dataset(const Table& table, std::span<const std::int64_t> features, std::int64_t label,
                   std::vector<std::string> class_names, std::string name,
                   Location here = Location::current());
// The same by the names of columns, with words for labels: the classes are those found, in
// alphabetic order.
//   to_dataset(read_csv("pears.csv"), {"weight (g)", "length (mm)"}, "variety", "pears")
Dataset to_dataset(const Table& table, const std::vector<std::string>& features,
                   std::string_view label, std::string name, Location here = Location::current());

}  // namespace dualtape
