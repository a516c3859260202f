// The reader: RFC 4180's forms, chunk borders, and files broken in every way we could think of.
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <dualtape/data/csv.hpp>

#include "temporary.hpp"

using namespace dualtape;
using namespace dualtape::testing;

namespace {

// Every field of a file without a header, "|" between fields and "/" after each row.
std::string fields(std::string_view content, char separator = ',') {
  const TemporaryFolder folder;
  const Table table =
      read_csv(folder.write("t.csv", content), {.separator = separator, .header = false});
  std::string result;
  for (std::int64_t row = 0; row < table.rows(); ++row) {
    for (std::int64_t column = 0; column < table.columns(); ++column) {
      result += (column > 0 ? "|" : "") + std::string(table.text(row, column));
    }
    result += "/";
  }
  return result;
}

std::string complaint(std::string_view content, const CsvOptions& options = {.header = false}) {
  const TemporaryFolder folder;
  const auto file = folder.write("broken.csv", content);
  std::string text = text_thrown<DataError>([&] { read_csv(file, options); });
  CHECK(contains(text, file.string()));
  return text;
}

}  // namespace

TEST_CASE("plain, quoted and empty fields") {
  CHECK(fields("a,b\nc,d\n") == "a|b/c|d/");
  CHECK(fields("a,b\r\nc,d\r\n") == "a|b/c|d/");
  CHECK(fields("a,b\nc,d") == "a|b/c|d/");
  CHECK(fields("a;b\n", ';') == "a|b/");
  CHECK(fields("a\tb,c\n", '\t') == "a|b,c/");
  CHECK(fields("\"a,b\",c\n") == "a,b|c/");
  CHECK(fields("\"say \"\"hi\"\"\",\"\"\n") == "say \"hi\"|/");
  CHECK(fields("\"a\nb\",c\r\nd,\"e\"\r\n") == "a\nb|c/d|e/");
  CHECK(fields("\"a\r\nb\",c\n") == "a\r\nb|c/");
  CHECK(fields(",\n,\n") == "|/|/");
  CHECK(fields("a,\n,b") == "a|/|b/");
  CHECK(fields("\n\r\na\n\n\nb\n\n") == "a/b/");
  CHECK(fields("\"\"\n\"\"\n") == "//");
  CHECK(fields("\xEF\xBB\xBFx,y\n") == "x|y/");
}

TEST_CASE("what a field holds does not depend on where the chunks end") {
  // Chunks are 65536 bytes: put CR LF, a doubled quote and a quoted line end across the border.
  for (std::size_t pad = 65530; pad < 65540; ++pad) {
    const std::string filler(pad, 'x');
    const std::string expected = filler + "|1/a\"b|c\nd/";
    CHECK(fields(filler + ",1\r\n\"a\"\"b\",\"c\nd\"\r\n") == expected);
  }
}

TEST_CASE("a header gives names, quoted ones too") {
  const TemporaryFolder folder;
  const Table table = read_csv(folder.write("t.csv", "\"a \"\"b\"\"\",c\n1,2\n"));
  CHECK(table.names() == std::vector<std::string>{"a \"b\"", "c"});
  CHECK(table.rows() == 1);
  CHECK(table.line(0) == 2);
}

TEST_CASE("lines count as an editor counts them, quoted line ends included") {
  const TemporaryFolder folder;
  const Table table = read_csv(folder.write("t.csv", "h\n\n\"a\nb\"\nc\n"));
  CHECK(table.line(0) == 3);
  CHECK(table.line(1) == 5);
}

TEST_CASE("broken files say what is wrong and where") {
  CHECK(contains(complaint(""), "is empty"));
  CHECK(contains(complaint("\n\n"), "is empty"));
  CHECK(contains(complaint("", {}), "is empty"));
  CHECK(contains(complaint("a,b\n", {}), "a header, but no rows"));
  CHECK(contains(complaint("1,2\n3,4\n5\n"), "line 3: 1 fields, but the first line has 2"));
  CHECK(contains(complaint("1,2\n3,4,5\n"), "line 2: 3 fields, but the first line has 2"));
  CHECK(contains(complaint("a,b\n1\n", {}), "line 2: 1 fields"));
  CHECK(contains(complaint("1,2\n3,\"4\n5,6\n"), "line 2: the quoted field that begins here"));
  CHECK(contains(complaint("1,2\n3,4\"5\n"), "line 2: column 2: a quote inside an unquoted"));
  CHECK(contains(complaint("\"a\"b,2\n"), "line 1: column 1: text after the closing quote"));
  CHECK(contains(complaint("1\r2\r"), "line 1: a carriage return that no line feed follows"));
  CHECK(contains(complaint(std::string_view("1,2\n\0,4\n", 8)), "line 2: a zero byte"));
}

TEST_CASE("an absurdly long row is an error before it fills the memory") {
  const std::string row(5000, 'x');
  const CsvOptions narrow = {.header = false, .longest_row = 1000};
  CHECK(contains(complaint("a\n" + row + "\n", narrow), "line 2: a row of more than 1000 bytes"));
  CHECK(contains(complaint("a\n\"b\n" + row, narrow), "line 2: a row of more than 1000 bytes"));
  CHECK(fields(row + "\n") == row + "/");
}

TEST_CASE("a file that is not there, a folder, a silly separator") {
  const TemporaryFolder folder;
  const auto text = text_thrown<DataError>([&] { read_csv(folder.path() / "none.csv"); });
  CHECK(contains(text, (folder.path() / "none.csv").string() + ": cannot be opened: No such file"));
  CHECK(contains(text_thrown<DataError>([&] { read_csv(folder.path()); }),
                 "not a regular file, but a folder"));
  const auto file = folder.write("t.csv", "a\n1\n");
  CHECK_THROWS_AS(read_csv(file, {.separator = '"'}), ValueError);
  CHECK_THROWS_AS(read_csv(file, {.separator = '\n'}), ValueError);
}
