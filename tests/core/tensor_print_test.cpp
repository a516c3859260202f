// The texts expected are those of NumPy's str() for the same arrays.
#include <doctest/doctest.h>

#include <cstdint>
#include <dualtape/core/tensor.hpp>
#include <limits>
#include <span>
#include <sstream>
#include <string>
#include <vector>

using namespace dualtape;

namespace {

const double inf = std::numeric_limits<double>::infinity();
const double nan_value = std::numeric_limits<double>::quiet_NaN();

Tensor doubles(const std::vector<double>& values) {
  return Tensor::from(values, {static_cast<std::int64_t>(values.size())});
}

Tensor counted(std::int64_t count) {
  Tensor made = zeros({count}, int64);
  std::int64_t next = 0;
  for (auto& value : made.data<std::int64_t>()) value = next++;
  return made;
}

}  // namespace

TEST_CASE("floats stand in columns with their points aligned") {
  CHECK(to_string(Tensor{1, 2.5, 3}) == "[1.  2.5 3. ]");
  CHECK(to_string(Tensor{{1, -2}, {3.25, 100}}) ==
        "[[  1.    -2.  ]\n"
        " [  3.25 100.  ]]");
  CHECK(to_string(Tensor{0.1, 1.0 / 3}) == "[0.1        0.33333334]");
  CHECK(to_string(doubles({0.1, 1.0 / 3, 2.0 / 3})) == "[0.1        0.33333333 0.66666667]");
  CHECK(to_string(doubles({3.14159265358979, -0.0})) == "[ 3.14159265 -0.        ]");
}

TEST_CASE("small, large and far apart floats are scientific") {
  CHECK(to_string(Tensor{1e-5, 1.5}) == "[1.0e-05 1.5e+00]");
  CHECK(to_string(Tensor{1e8}) == "[1.e+08]");
  CHECK(to_string(Tensor{1, 1001}) == "[1.000e+00 1.001e+03]");
  CHECK(to_string(Tensor{1, 1000}) == "[   1. 1000.]");
  CHECK(to_string(Tensor{0, 1000}) == "[   0. 1000.]");
  CHECK(to_string(doubles({1e100, 1, -1})) == "[ 1.e+100  1.e+000 -1.e+000]");
}

TEST_CASE("numbers that are not finite keep the columns") {
  CHECK(to_string(Tensor{1, nan_value, -inf}) == "[  1.  nan -inf]");
  CHECK(to_string(Tensor{nan_value, inf}) == "[nan inf]");
  CHECK(to_string(Tensor{1.5, inf}) == "[1.5 inf]");
}

TEST_CASE("integers and bools are right aligned") {
  CHECK(to_string(Tensor::of({1, -20, 300})) == "[  1 -20 300]");
  const bool values[] = {true, false};
  CHECK(to_string(Tensor::from(std::span<const bool>(values), {2})) == "[ True False]");
}

TEST_CASE("rank 0 prints as a Python number") {
  CHECK(to_string(Tensor(2.0)) == "2.0");
  CHECK(to_string(Tensor(-2.5)) == "-2.5");
  CHECK(to_string(Tensor(1e-5)) == "1e-05");
  CHECK(to_string(Tensor::scalar(1.5e16)) == "1.5e+16");
  CHECK(to_string(Tensor(123456789.0)) == "123456790.0");
  CHECK(to_string(Tensor::scalar(0.1)) == "0.1");
  CHECK(to_string(Tensor(true)) == "True");
  CHECK(to_string(Tensor(-3)) == "-3");
  CHECK(to_string(Tensor(nan_value)) == "nan");
}

TEST_CASE("nested axes are set apart by empty lines") {
  CHECK(to_string(zeros({2, 2, 3})) ==
        "[[[0. 0. 0.]\n"
        "  [0. 0. 0.]]\n"
        "\n"
        " [[0. 0. 0.]\n"
        "  [0. 0. 0.]]]");
  CHECK(to_string(zeros({2, 1, 1, 1}, int32)) == "[[[[0]]]\n\n\n [[[0]]]]");
}

TEST_CASE("no elements") {
  CHECK(to_string(Tensor()) == "[]");
  CHECK(to_string(zeros({3, 0, 2})) == "[]");
}

TEST_CASE("lines are wrapped at 75 characters") {
  CHECK(to_string(counted(40).to(float32)) ==
        "[ 0.  1.  2.  3.  4.  5.  6.  7.  8.  9. 10. 11. 12. 13. 14. 15. 16. 17.\n"
        " 18. 19. 20. 21. 22. 23. 24. 25. 26. 27. 28. 29. 30. 31. 32. 33. 34. 35.\n"
        " 36. 37. 38. 39.]");
}

TEST_CASE("more than 1000 elements are shortened to three at either edge") {
  CHECK(to_string(counted(1001)) == "[   0    1    2 ...  998  999 1000]");
  CHECK(to_string(counted(1000)).find("...") == std::string::npos);
  CHECK(to_string(zeros({20, 100})) ==
        "[[0. 0. 0. ... 0. 0. 0.]\n"
        " [0. 0. 0. ... 0. 0. 0.]\n"
        " [0. 0. 0. ... 0. 0. 0.]\n"
        " ...\n"
        " [0. 0. 0. ... 0. 0. 0.]\n"
        " [0. 0. 0. ... 0. 0. 0.]\n"
        " [0. 0. 0. ... 0. 0. 0.]]");
  // An axis of six is left whole.
  CHECK(to_string(zeros({6, 200}, int32)).find("\n ...") == std::string::npos);
  // What is not shown has no say in the width.
  Tensor spiked = zeros({1001}, int64);
  spiked.data<std::int64_t>()[500] = 123456;
  CHECK(to_string(spiked) == "[0 0 0 ... 0 0 0]");
}

TEST_CASE("streams take the same text") {
  std::ostringstream out;
  out << Tensor{1, 2};
  CHECK(out.str() == "[1. 2.]");
}
