// Prints a program that evaluates the example of every registered operator and compares what it
// prints with what the operator's declaration says. The program is built and run as a test, so an
// example in the reference that does not compile or prints something else is found.
#include <iostream>

#include <dualtape/core/registry.hpp>

int main() {
  std::cout << R"(// Made by print_examples.cpp from the registry.
#include <iostream>

#include <dualtape/dualtape.hpp>

namespace dt = dualtape;
using namespace dualtape;

namespace {

int wrong = 0;

template <class Build>
void check(const char* name, const std::string& prints, Build build) {
  Graph g;
  std::string printed;
  try {
    printed = to_string(dt::eval(build(g)));
  } catch (const std::exception& error) {
    printed = std::string("throws ") + error.what();
  }
  if (printed == prints) return;
  std::cout << "The example of " << name << " prints\n" << printed << "\nbut is said to print\n"
            << prints << "\n";
  ++wrong;
}

}  // namespace

int main() {
)";
  for (const dualtape::Entry& entry : dualtape::all_entries()) {
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
