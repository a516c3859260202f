#include <doctest/doctest.h>

#include <cstdint>
#include <dualtape/core/error.hpp>
#include <dualtape/core/shape.hpp>
#include <limits>
#include <sstream>
#include <utility>
#include <vector>

using namespace dualtape;

TEST_CASE("rank, sizes and count") {
  const Shape matrix{64, 784};
  CHECK(matrix.rank() == 2);
  CHECK(matrix[0] == 64);
  CHECK(matrix.back() == 784);
  CHECK(matrix.count() == 50176);
  CHECK(Shape{}.rank() == 0);
  CHECK(Shape{}.empty_rank());
  CHECK(Shape{}.count() == 1);
  CHECK(Shape{3, 0, 2}.count() == 0);
  CHECK(Shape{2, 3, 4, 5, 6, 7}.count() == 5040);
  CHECK(Shape{2, 3, 4, 5, 6, 7}.vector() == std::vector<std::int64_t>{2, 3, 4, 5, 6, 7});
}

TEST_CASE("shapes print as Python's tuples") {
  CHECK(to_string(Shape{}) == "()");
  CHECK(to_string(Shape{3}) == "(3,)");
  CHECK(to_string(Shape{64, 784}) == "(64, 784)");
  CHECK(to_string(Type{{2, 3}, int64}) == "int64 (2, 3)");
  std::ostringstream out;
  out << Shape{1, 0};
  CHECK(out.str() == "(1, 0)");
}

TEST_CASE("shapes of few and of many axes copy, move and compare alike") {
  for (const std::size_t rank : {0U, 1U, 4U, 5U, 9U}) {
    std::vector<std::int64_t> sizes(rank);
    for (std::size_t i = 0; i < rank; ++i) sizes[i] = static_cast<std::int64_t>(i + 1);
    const Shape original(sizes);
    Shape copied(original);
    CHECK(copied == original);
    Shape moved(std::move(copied));
    CHECK(moved == original);
    Shape assigned{7, 7, 7, 7, 7, 7, 7};
    assigned = original;
    CHECK(assigned == original);
    Shape taken{7};
    taken = std::move(moved);
    CHECK(taken == original);
    const Shape& itself = taken;
    taken = itself;
    CHECK(taken.vector() == sizes);
    sizes.push_back(1);
    CHECK(!(Shape(sizes) == original));
  }
  CHECK(!(Shape{1, 2} == Shape{2, 1}));
}

TEST_CASE("sizes that cannot be are ShapeErrors") {
  constexpr std::int64_t huge = std::int64_t{1} << 31;
  CHECK_THROWS_AS((Shape{2, -1}), ShapeError);
  CHECK_THROWS_WITH((Shape{2, -1}), doctest::Contains("-1 in (2, -1)"));
  CHECK_THROWS_AS((Shape{huge, huge, 2}), ShapeError);
  CHECK_THROWS_AS((Shape{std::numeric_limits<std::int64_t>::max()}), ShapeError);
  // Also where a 0 hides the product: the strides would overflow all the same.
  CHECK_THROWS_AS((Shape{0, huge, huge, huge}), ShapeError);
  CHECK(Shape{1 << 30, 1 << 29}.count() == std::int64_t{1} << 59);
  CHECK(bytes_of({Shape{1 << 30, 1 << 29}, float64}) == std::size_t{1} << 62);
}

TEST_CASE("broadcasting follows NumPy's table") {
  struct Row {
    Shape a;
    Shape b;
    Shape result;
  };
  // The first four are the examples of NumPy's manual.
  const Row table[] = {{{256, 256, 3}, {3}, {256, 256, 3}},
                       {{8, 1, 6, 1}, {7, 1, 5}, {8, 7, 6, 5}},
                       {{5, 4}, {1}, {5, 4}},
                       {{15, 3, 5}, {15, 1, 5}, {15, 3, 5}},
                       {{}, {2, 3}, {2, 3}},
                       {{}, {}, {}},
                       {{0}, {1}, {0}},
                       {{3, 1}, {0}, {3, 0}},
                       {{2, 1, 1, 1, 1, 3}, {4, 1}, {2, 1, 1, 1, 4, 3}}};
  for (const Row& row : table) {
    for (const Broadcast& found : {broadcast(row.a, row.b), broadcast(row.b, row.a)}) {
      CHECK(found.ok);
      CHECK(found.shape == row.result);
    }
  }
}

TEST_CASE("shapes that do not broadcast") {
  CHECK(!broadcast({3}, {4}).ok);
  CHECK(!broadcast({2, 1}, {8, 4, 3}).ok);
  CHECK(!broadcast({0}, {2}).ok);
  CHECK(!broadcast({2, 3}, {3, 2}).ok);
}

TEST_CASE("an axis that is not there is refused, also one that would count from the end") {
  const Shape matrix{2, 3};
  CHECK(matrix[1] == 3);
  CHECK(matrix.back() == 3);
  for (const int axis : {2, -1})
    CHECK_THROWS_AS(static_cast<void>(matrix[static_cast<std::size_t>(axis)]), ShapeError);
  CHECK_THROWS_AS(static_cast<void>(Shape{}.back()), ShapeError);
}
