// The reader of CSV files: the state machine of RFC 4180, fed one byte at a time.
#include <array>
#include <utility>

#include <dualtape/core/files/input_file.hpp>
#include <dualtape/core/tensor/memory_for.hpp>
#include <dualtape/data/csv.hpp>
#include <dualtape/data/readers/bundled.hpp>

namespace dualtape {

class CsvReader {
 public:
  CsvReader(const std::filesystem::path& path, const CsvOptions& options, Location here)
      : where_(here),
        separator_(options.separator),
        header_(options.header),
        longest_row_(options.longest_row) {
    table_.path_ = path;
    table_.missing_ = options.missing;
    if (separator_ == '"' || separator_ == '\n' || separator_ == '\r') {
      fail<ValueError>({.op = "read_csv",
                        .what = "quotes and line ends cannot separate the fields",
                        .where = here});
    }
  }

  void feed(std::string_view chunk) {
    for (const char c : chunk) put(c);
  }

  Table finish() {
    if (state_ == State::quoted) {
      fail_at(quote_line_, "the quoted field that begins here is never closed",
              "end it with a quote; a quote inside a quoted field is written twice");
    }
    if (row_bytes_ > 0) end_row();  // the last line may lack its line end
    if (header_ || table_.lines_.empty()) {
      fail<DataError>({.op = "read_csv",
                       .what = table_.path_.string() +
                               (table_.columns_ > 0 ? ": a header, but no rows" : ": is empty"),
                       .where = where_,
                       .help = table_.columns_ > 0
                                   ? "set CsvOptions::header to false if that line is data"
                                   : std::string()});
    }
    return std::move(table_);
  }

 private:
  enum class State : std::uint8_t { field_start, plain, quoted, quote_in_quoted };

  void put(char c) {
    if (c == '\0') fail_at(line_, "a zero byte", "is this a text file?");
    if (after_return_ && c != '\n') fail_at(line_, "a carriage return that no line feed follows");
    after_return_ = false;
    if (c == '\n' && state_ != State::quoted) return line_end();
    if (++row_bytes_ > longest_row_) {
      fail_at(row_line_, "a row of more than " + std::to_string(longest_row_) + " bytes",
              "is a quote missing? else raise CsvOptions::longest_row");
    }
    if (c == '\n') ++line_;
    switch (state_) {
      case State::quoted: put_quoted(c); break;
      case State::quote_in_quoted: put_after_quote(c); break;
      default: put_plain(c);
    }
  }

  void put_quoted(char c) {
    if (c == '"') {
      state_ = State::quote_in_quoted;
    } else {
      table_.text_ += c;
    }
  }

  void put_after_quote(char c) {
    if (c == '"') {
      table_.text_ += c;
      state_ = State::quoted;
    } else if (c == separator_) {
      end_field();
    } else if (c == '\r') {
      after_return_ = true;
    } else {
      fail_at(line_, where() + ": text after the closing quote",
              "a quote inside a quoted field is written twice");
    }
  }

  void put_plain(char c) {
    if (c == separator_) {
      end_field();
    } else if (c == '\r') {
      after_return_ = true;
      --row_bytes_;  // so that a line of CR LF alone counts as empty
    } else if (c == '"' && state_ == State::field_start) {
      state_ = State::quoted;
      quote_line_ = line_;
    } else if (c == '"') {
      fail_at(line_, where() + ": a quote inside an unquoted field",
              "quote the whole field and write the quote twice");
    } else {
      table_.text_ += c;
      state_ = State::plain;
    }
  }

  void line_end() {
    if (row_bytes_ > 0) end_row();
    row_line_ = ++line_;
    row_bytes_ = 0;
  }

  void end_field() {
    table_.ends_.push_back(table_.text_.size());
    state_ = State::field_start;
  }

  void end_row() {
    end_field();
    const auto found = static_cast<std::int64_t>(table_.ends_.size() - row_cell_);
    if (table_.columns_ == 0) table_.columns_ = found;
    if (found != table_.columns_) {
      fail_at(row_line_,
              std::to_string(found) + " fields, but the first line has " +
                  std::to_string(table_.columns_),
              "look for a missing or an unquoted separator");
    }
    if (header_) {
      take_header();
    } else {
      table_.lines_.push_back(row_line_);
    }
    row_cell_ = table_.ends_.size();
  }

  void take_header() {
    std::size_t begin = 0;
    for (const std::size_t end : table_.ends_) {
      table_.names_.push_back(table_.text_.substr(begin, end - begin));
      begin = end;
    }
    table_.text_.clear();
    table_.ends_.clear();
    header_ = false;
  }

  std::string where() const {
    return "column " + std::to_string(table_.ends_.size() - row_cell_ + 1);
  }

  [[noreturn]] void fail_at(std::int64_t line, const std::string& what,
                            const std::string& help = {}) const {
    fail<DataError>({.op = "read_csv",
                     .what = table_.path_.string() + ": line " + std::to_string(line) + ": " + what,
                     .where = where_,
                     .help = help});
  }

  Table table_;
  Location where_;
  char separator_;
  bool header_;  // still to come
  std::size_t longest_row_;
  State state_ = State::field_start;
  bool after_return_ = false;    // the byte before was a CR outside quotes
  std::int64_t line_ = 1;        // where we are
  std::int64_t row_line_ = 1;    // where the row began
  std::int64_t quote_line_ = 1;  // where the quoted field began
  std::size_t row_bytes_ = 0;    // bytes of this row so far
  std::size_t row_cell_ = 0;     // index of the row's first field
};

Table read_csv(const std::filesystem::path& path, const CsvOptions& options, Location here) {
  return detail::memory_for("read_csv", path, here, [&] {
    CsvReader reader(path, options, here);
    const detail::InputFile file(path, [&](std::uint64_t, const std::string& what) {
      fail<DataError>({.op = "read_csv", .what = path.string() + ": " + what, .where = here});
    });
    constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
    std::array<char, 65536> buffer{};
    std::uint64_t offset = 0;
    for (std::size_t got = buffer.size(); got == buffer.size(); offset += got) {
      got = file.read(offset, buffer.data(), buffer.size());
      std::string_view chunk(buffer.data(), got);
      if (offset == 0 && chunk.starts_with(byte_order_mark))
        chunk.remove_prefix(byte_order_mark.size());
      reader.feed(chunk);
    }
    return reader.finish();
  });
}

Table detail::csv_of_text(std::string_view text, const std::filesystem::path& path,
                          const CsvOptions& options, Location here) {
  CsvReader reader(path, options, here);
  reader.feed(text);
  return reader.finish();
}

}  // namespace dualtape
