// Tables: names, numbers, categories, missing values, and errors with line and column.
#include <array>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <dualtape/data/csv.hpp>

#include "temporary.hpp"

using namespace dualtape;
using namespace dualtape::testing;

namespace {

using Columns = std::vector<std::int64_t>;

Table table_of(std::string_view content, const CsvOptions& options = {}) {
  const TemporaryFolder folder;
  return read_csv(folder.write("t.csv", content), options);
}

constexpr std::string_view flowers =
    "kind,sepal length,sepal width\n"
    "b,5.1,3.5\n"
    "a,+4.9, 3.0 \n"
    "\n"
    "b,NA,-1e-2\n"
    "c,2,abc\n";

}  // namespace

TEST_CASE("columns become tensors") {
  const Table table = table_of(flowers);
  CHECK(table.rows() == 4);
  CHECK(table.columns() == 3);
  CHECK(table.column("sepal width") == 2);
  CHECK(table.line(2) == 5);  // the empty line counts as a line of the file
  const Table whole = table.without_missing(Columns{1});
  CHECK(whole.rows() == 3);
  CHECK(whole.line(2) == 6);
  const Tensor lengths = whole.numbers(Columns{1, 1}, float64);
  CHECK(lengths.shape() == Shape{3, 2});
  CHECK(lengths.at({0, 0}) == 5.1);
  CHECK(lengths.at({1, 1}) == 4.9);
  CHECK(lengths.at({2, 0}) == 2.0);
  CHECK(whole.numbers(Columns{1}).dtype() == float32);
}

TEST_CASE("missing values are refused unless NaN is asked for") {
  const Table table = table_of("x\n1\nNA\n3\n");
  CHECK(table.missing(1, 0));
  CHECK_FALSE(table.missing(0, 0));
  const std::string text = text_thrown<DataError>([&] { table.numbers(Columns{0}); });
  CHECK(contains(text, "line 3, column 1 'x': a number is missing"));
  const Tensor filled = table.numbers(Columns{0}, float32, Missing::as_nan);
  CHECK(std::isnan(filled.at({1, 0})));
  CHECK(filled.at({2, 0}) == 3.0);
  CHECK_THROWS_AS(table.numbers(Columns{0}, int64, Missing::as_nan), TypeError);
  CHECK_THROWS_AS(table.numbers(Columns{0}, boolean), TypeError);
}

TEST_CASE("a wrong field is named by file, line, column and header") {
  const TemporaryFolder folder;
  const auto file = folder.write("t.csv", flowers);
  const Table table = read_csv(file);
  const Table whole = table.without_missing(Columns{1});
  const std::string text = text_thrown<DataError>([&] { whole.numbers(Columns{1, 2}); });
  CHECK(contains(text, file.string() + ": line 6, column 3 'sepal width': 'abc' is not a number"));
  const auto number_error = [](const std::string& field, DType dtype) {
    const Table one = table_of("x\n" + field + "\n");
    return text_thrown<DataError>([&] { one.numbers(Columns{0}, dtype); });
  };
  CHECK(contains(number_error("1.5", int64), "'1.5' is not a whole number"));
  CHECK(contains(number_error("3000000000", int32), "out of the range of int32"));
  CHECK(contains(number_error("1e39", float32), "out of the range of float32"));
  CHECK(number_error("1e39", float64).empty());
}

TEST_CASE("long and unprintable fields are cut short in errors") {
  const Table table = table_of("x\n" + std::string(500, 'y') + "\n\x01\n");
  const std::string text = text_thrown<DataError>([&] { table.numbers(Columns{0}); });
  CHECK(contains(text, "y...'"));
  CHECK(text.size() < 300);
}

TEST_CASE("words become classes, sorted or as given") {
  const Table table = table_of(flowers);
  std::vector<std::string> classes;
  const Tensor labels = table.categories(0, classes);
  CHECK(classes == std::vector<std::string>{"a", "b", "c"});
  CHECK(identical(labels, Tensor::of({1, 0, 1, 2})));
  std::vector<std::string> given = {"c", "b", "a"};
  CHECK(identical(table.categories(0, given), Tensor::of({1, 2, 1, 0})));
  std::vector<std::string> short_list = {"a", "b"};
  const std::string text = text_thrown<DataError>([&] { table.categories(0, short_list); });
  CHECK(contains(text, "line 6, column 1 'kind': 'c' is none of the classes"));
}

TEST_CASE("a column that is not there: the error lists those that are") {
  const Table table = table_of("a,b,b\n1,2,3\n");
  CHECK(contains(text_thrown<DataError>([&] { table.column("c"); }), "'a', 'b', 'b'"));
  CHECK(contains(text_thrown<DataError>([&] { table.column("b"); }), "more than one column"));
  CHECK_THROWS_AS(table.numbers(Columns{3}), DataError);
  CHECK_THROWS_AS(table.text(1, 0), DataError);
  CHECK_THROWS_AS(table.text(-1, 0), DataError);
  const Table bare = table_of("1,2\n", {.header = false});
  CHECK(bare.names().empty());
  CHECK(contains(text_thrown<DataError>([&] { bare.column("a"); }), "without a header"));
}

TEST_CASE("a table becomes a data set, its labels checked") {
  const Table table = table_of("kind,x,y\n1,0.5,2\n0,1.5,3\n");
  const Dataset data = to_dataset(table, Columns{2, 1}, 0, {"no", "yes"}, "pairs");
  CHECK(data.count() == 2);
  CHECK(data.classes() == 2);
  CHECK(data.feature_names == std::vector<std::string>{"y", "x"});
  CHECK(identical(data.inputs, Tensor{{2, 0.5}, {3, 1.5}}));
  CHECK(identical(data.labels, Tensor::of({1, 0})));
  const std::string text =
      text_thrown<DataError>([&] { to_dataset(table, Columns{1}, 0, {"no"}, "pairs"); });
  CHECK(contains(text, "line 2, column 1 'kind': class 1 is not one of 0 to 0"));
  CHECK_THROWS_AS(to_dataset(table, Columns{9}, 0, {"no", "yes"}, "pairs"), DataError);
}

TEST_CASE("a data set is named by its columns") {
  const Table table = table_of("kind,x,y\npear,0.5,2\nfig,1.5,3\npear,2.5,4\n");
  const Dataset data = to_dataset(table, {"y", "x"}, "kind", "fruit");
  CHECK(data.name == "fruit");
  CHECK(data.feature_names == std::vector<std::string>{"y", "x"});
  CHECK(data.class_names == std::vector<std::string>{"fig", "pear"});
  CHECK(identical(data.inputs, Tensor{{2, 0.5}, {3, 1.5}, {4, 2.5}}));
  CHECK(identical(data.labels, Tensor::of({1, 0, 1})));
  const std::string text = text_thrown<DataError>([&] {
    to_dataset(table, {"y", "z"}, "kind", "fruit");
  });
  CHECK(contains(text, "no column is called 'z'"));
  CHECK(contains(text, "'kind', 'x', 'y'"));
  CHECK(contains(text_thrown<DataError>([&] { to_dataset(table, {"y"}, "sort", "fruit"); }),
                 "no column is called 'sort'"));
  const Table holes = table_of("kind,x\npear,1\nNA,2\n");
  CHECK(contains(text_thrown<DataError>([&] { to_dataset(holes, {"x"}, "kind", "fruit"); }),
                 "line 3, column 1 'kind': the label is missing"));
}

TEST_CASE("where missing values are refused so is what is not finite, in every spelling") {
  for (const char* field :
       {"NAN", "-nan", "nan(1)", "NaN(abc)", "inf", "-INF", "infinity", "+inf"}) {
    CAPTURE(field);
    const Table table = table_of("x\n1\n" + std::string(field) + "\n");
    for (const DType dtype : {float32, float64}) {
      const std::string text = error_of<DataError>([&] { table.numbers(Columns{0}, dtype); });
      CHECK(has(text, "line 3, column 1 'x'"));
      CHECK(has(text, "not finite"));
      CHECK(has(text, "csv_test.cpp:"));
      const double taken = table.numbers(Columns{0}, dtype, Missing::as_nan).at({1, 0});
      CHECK(!std::isfinite(taken));
      CHECK(std::isinf(taken) == (std::string(field).find_first_of("fF") != std::string::npos));
    }
    CHECK_THROWS_AS(table.numbers(Columns{0}, int64), DataError);
    CHECK(table_of("x\n1\n" + std::string(field) + "\n", {.missing = {field}}).missing(1, 0));
  }
}

TEST_CASE("an error does not list a thousand long columns") {
  std::string header;
  for (int i = 0; i < 1000; ++i) header += std::string(i == 0 ? "" : ",") + std::string(60, 'n');
  const Table table = table_of(header + "\n" + std::string(999, ',') + "\n");
  const std::string text = error_of<DataError>([&] { table.column("other"); });
  CHECK(text.size() < 1000);
  CHECK(has(text, "..."));
}

TEST_CASE("a table that was moved from is empty") {
  Table table = table_of(flowers);
  const Table moved = std::move(table);
  // NOLINTBEGIN(bugprone-use-after-move): that is the matter
  CHECK(table.rows() == 0);
  CHECK(table.columns() == 0);
  CHECK(table.names().empty());
  CHECK(has(error_of<DataError>([&] { table.text(0, 0); }), "0 rows and 0 columns"));
  table = moved;
  Table other;
  other = std::move(table);
  CHECK(table.columns() == 0);
  CHECK_THROWS_AS(table.numbers(Columns{1}), DataError);
  // NOLINTEND(bugprone-use-after-move)
  CHECK(other.rows() == 4);
  CHECK(other.text(3, 2) == "abc");
}

TEST_CASE("ten thousand classes are looked up in no time that grows with their square") {
  std::string text = "word\n";
  for (int i = 0; i < 10'000; ++i) text += "w" + std::to_string(i) + "\n";
  std::vector<std::string> classes;
  const Table table = table_of(text);
  const Tensor labels = table.categories(0, classes);
  CHECK(classes.size() == 10'000);
  CHECK(classes[static_cast<std::size_t>(labels.at({7}))] == "w7");
  // Where one is there twice, it is the first.
  std::vector<std::string> twice{"x", "w", "w"};
  const Table words = table_of("word\nw\nx\n");
  CHECK(identical(words.categories(0, twice), Tensor::of({1, 0})));
}
