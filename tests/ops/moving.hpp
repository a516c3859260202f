// What the tests of operators that move elements share.
#pragma once

#include <doctest/doctest.h>

#include <initializer_list>
#include <numeric>
#include <string>
#include <string_view>

#include <dualtape/core/registry.hpp>
#include <dualtape/modes/check.hpp>

namespace moving {

namespace dt = dualtape;

// 1, 2, 3, ... in row-major order.
inline dt::Tensor counted(const dt::Shape& shape, dt::DType dtype = dt::float64) {
  dt::Tensor t(shape, dt::float64);
  const auto data = t.data<double>();
  std::iota(data.begin(), data.end(), 1.0);
  return t.to(dtype);
}

// f() must throw an E whose text has all of `parts`.
template <class E, class F>
void check_refused(F f, std::initializer_list<std::string_view> parts) {
  std::string text;
  try {
    f();
  } catch (const E& error) {
    text = error.what();
  }
  CAPTURE(text);
  CHECK(!text.empty());
  for (const std::string_view part : parts) {
    CAPTURE(part);
    CHECK(text.find(part) != std::string::npos);
  }
}

// The registered operators and composites of these names must pass the checks of derivatives.
inline void check_derivatives(std::initializer_list<std::string_view> names) {
  std::size_t found = 0;
  for (const dt::Entry& entry : dt::all_entries())
    for (const std::string_view name : names)
      if (entry.info.name == name) {
        ++found;
        const dt::CheckReport report = dt::check_entry(entry);
        INFO(dt::to_string(report));
        CHECK(report.ok());
      }
  CHECK(found == names.size());
}

}  // namespace moving
