// The frame of a tutorial's program: flags, the folder for its files, and the sections of output
// that its page shows. Use from one thread.
#pragma once

#include <filesystem>
#include <iosfwd>
#include <string>
#include <string_view>

#include "figure.hpp"
#include "statistics.hpp"

namespace dualtape::docs {

class Tutorial {
 public:
  Tutorial(bool quick, std::filesystem::path out) : quick_(quick), out_(std::move(out)) {}

  // True under --quick: a reduced size for tests.
  bool quick() const { return quick_; }
  template <class T>
  T choose(T full, T reduced) const {
    return quick_ ? reduced : full;
  }

  // The folder that files are written to; it exists.
  const std::filesystem::path& out() const { return out_; }

  // What is printed from here to the next section() or aside() is the output block `name` of the
  // page. Print there only what is the same on every machine; times go after aside().
  void section(std::string_view name) const;
  void aside() const;

  // Draws into out(), and says so or why not.
  void draw(const Figure& figure) const;
  // Writes a Graphviz drawing (see to_dot) to name.dot, and name.svg if `dot` is installed.
  void draw_graph(const std::string& name, const std::string& dot) const;
  void csv(const std::string& name, const std::vector<Column>& columns) const;

 private:
  bool quick_;
  std::filesystem::path out_;
};

// What main() returns: parses --quick, --out DIR and --help, runs `body`, reports its exceptions.
int run_tutorial(int argc, const char* const* argv, std::string_view title,
                 void (*body)(const Tutorial&));

}  // namespace dualtape::docs
