#include <doctest/doctest.h>

#include <cstdint>
#include <dualtape/core/dtype.hpp>
#include <limits>
#include <string>
#include <type_traits>

using namespace dualtape;

TEST_CASE("names and sizes are NumPy's") {
  CHECK(name_of(boolean) == "bool");
  CHECK(name_of(int32) == "int32");
  CHECK(name_of(int64) == "int64");
  CHECK(name_of(float32) == "float32");
  CHECK(name_of(float64) == "float64");
  CHECK(size_of(boolean) == 1);
  CHECK(size_of(int32) == 4);
  CHECK(size_of(int64) == 8);
  CHECK(size_of(float32) == 4);
  CHECK(size_of(float64) == 8);
}

TEST_CASE("kinds of dtypes") {
  static_assert(is_floating(float32) && is_floating(float64) && !is_floating(int64));
  static_assert(is_integer(int32) && is_integer(int64) && !is_integer(boolean));
  static_assert(Element<float> && !Element<long double> && !Element<char> && !Element<unsigned>);
  CHECK(!is_integer(float32));
}

TEST_CASE("promotion is commutative, associative and idempotent, with bool as the least") {
  const DType all[] = {boolean, int32, int64, float32, float64};
  for (const DType a : all) {
    CHECK(promote(a, a) == a);
    CHECK(promote(boolean, a) == a);
    CHECK(promote(a, float64) == float64);
    for (const DType b : all) {
      CHECK(promote(a, b) == promote(b, a));
      for (const DType c : all) CHECK(promote(promote(a, b), c) == promote(a, promote(b, c)));
    }
  }
  CHECK(promote(int64, float32) == float32);  // as in PyTorch
}

TEST_CASE("dispatch hands over the type that dtype_of maps back") {
  for (const DType dtype : {boolean, int32, int64, float32, float64}) {
    CHECK(dispatch(dtype, []<class T>() { return dtype_of<T>; }) == dtype);
    CHECK(dispatch(dtype, []<class T>() { return sizeof(T); }) == size_of(dtype));
  }
}

TEST_CASE("elements convert towards zero, and to the nearest end of a range") {
  using Small = std::numeric_limits<std::int32_t>;
  using Large = std::numeric_limits<std::int64_t>;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK(convert_element<std::int32_t>(2.9) == 2);
  CHECK(convert_element<std::int32_t>(-2.9F) == -2);
  CHECK(convert_element<std::int32_t>(nan) == 0);
  CHECK(convert_element<std::int32_t>(2147483647.0) == Small::max());
  CHECK(convert_element<std::int32_t>(2147483648.0) == Small::max());
  CHECK(convert_element<std::int32_t>(-2147483648.0F) == Small::min());
  CHECK(convert_element<std::int32_t>(-infinity) == Small::min());
  CHECK(convert_element<std::int64_t>(1e300) == Large::max());
  CHECK(convert_element<std::int64_t>(-1e300) == Large::min());
  CHECK(convert_element<std::int64_t>(9007199254740993.0F) == 9007199254740992);
  CHECK(convert_element<std::int32_t>(std::int64_t{1} << 32) == 0);  // wraps
  CHECK(convert_element<bool>(0.5));
  CHECK(convert_element<bool>(nan));
  CHECK(!convert_element<bool>(-0.0));
  CHECK(convert_element<float>(true) == 1.0F);
}
