// The texts of errors that tests provoke.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <string_view>

namespace dualtape::testing {

// The text of the error of type E that `act` throws; a failure where it throws none.
template <class E, class F>
std::string error_of(F&& act) {
  try {
    act();
  } catch (const E& error) {
    return error.what();
  }
  FAIL("no error was thrown");
  return {};
}

inline bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace dualtape::testing
