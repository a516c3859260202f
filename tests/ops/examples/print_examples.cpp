// Prints a program that evaluates the example of every registered operator and compares what it
// prints with what the operator's declaration says. The program is built and run as a test, so an
// example in the reference that does not compile or prints something else is found. Numbers may
// differ by 4 ulp of float32, which is what operators promise on every machine.
#include <iostream>
#include <vector>

#include <dualtape/core/registry.hpp>

int main() {
  std::cout << R"(// Made by print_examples.cpp from the registry.
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <iostream>

#include <dualtape/dualtape.hpp>

namespace dt = dualtape;
using namespace dualtape;

namespace {

int wrong = 0;

bool starts_number(const char* text) {
  return std::isdigit(static_cast<unsigned char>(text[*text == '-' ? 1 : 0])) != 0;
}

// The same text, but for spaces, with numbers that are as near as is promised.
bool agree(const char* a, const char* b) {
  while (true) {
    while (*a == ' ') ++a;
    while (*b == ' ') ++b;
    if (starts_number(a) && starts_number(b)) {
      char* end = nullptr;
      const double x = std::strtod(a, &end);
      a = end;
      const double y = std::strtod(b, &end);
      b = end;
      if (std::abs(x - y) > 4 * 0x1p-23 * std::abs(y)) return false;
    } else {
      if (*a != *b) return false;
      if (*a == 0) return true;
      ++a;
      ++b;
    }
  }
}

template <class Build>
void check(const char* name, const std::string& prints, Build build) {
  Graph g;
  std::string printed;
  try {
    printed = to_string(dt::eval(build(g)));
  } catch (const std::exception& error) {
    printed = std::string("throws ") + error.what();
  }
  if (agree(printed.c_str(), prints.c_str())) return;
  std::cout << "The example of " << name << " prints\n" << printed << "\nbut is said to print\n"
            << prints << "\n";
  ++wrong;
}

}  // namespace

int main() {
)";
  // Also a test that the look-ups of core alone know every operator of the library.
  const std::vector<dualtape::Entry> entries = dualtape::all_entries();
  if (entries.size() < 100) {
    std::cerr << "the registry has " << entries.size() << " operators only\n";
    return 1;
  }
  for (const dualtape::Entry& entry : entries) {
    const auto& [code, prints] = entry.info.example;
    std::cout << "  check(\"" << entry.info.name << "\", R\"~(" << prints
              << ")~\",\n        []([[maybe_unused]] Graph& g) -> Var { return " << code
              << "; });\n";
  }
  std::cout << R"(  std::cout << wrong << " wrong examples\n";
  return wrong == 0 ? 0 : 1;
}
)";
}
