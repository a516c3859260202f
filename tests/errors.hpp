// The texts of errors that tests provoke.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <string_view>

namespace dualtape::testing {

// The text of the error of type E that `act` throws; "" where it throws none.
template <class E, class F>
std::string text_thrown(F&& act) {
  try {
    act();
  } catch (const E& error) {
    return error.what();
  }
  return {};
}

// The same; a failure where it throws none.
template <class E, class F>
std::string error_of(F&& act) {
  std::string text = text_thrown<E>(act);
  REQUIRE_MESSAGE(!text.empty(), "no error was thrown");
  return text;
}

inline bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

// The same, and tells the text that does not.
inline bool has(const std::string& text, std::string_view part) {
  const bool found = contains(text, part);
  if (!found) MESSAGE("in: " << text);
  return found;
}

}  // namespace dualtape::testing
