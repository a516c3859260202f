// The demo: one graph trained by backpropagation and by forward gradients, side by side.
#include <exception>
#include <iostream>
#include <string>

#include <dualtape/core/error.hpp>

#include "options.hpp"
#include "train.hpp"

namespace {

// Line ends and the blanks after them become one blank.
std::string one_line(const std::string& text) {
  std::string line;
  bool at_start = false;
  for (const char c : text) {
    if (c == '\n') at_start = true;
    if (c == '\n' || (at_start && c == ' ')) continue;
    if (at_start) line += ' ';
    at_start = false;
    line += c;
  }
  return line;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace dualtape::demo;
  const Parsed parsed = parse_options(argc, argv, DUALTAPE_VERSION, std::cout, std::cerr);
  if (!parsed.options) return parsed.exit_code;
  try {
    run_demo(*parsed.options, DUALTAPE_VERSION, std::cout);
    return 0;
  } catch (const dualtape::Error& error) {
    std::cerr << "demo: " << one_line(error.what()) << "\n";
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "demo: " << error.what() << "\n";
    return 1;
  }
}
