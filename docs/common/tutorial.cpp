#include "tutorial.hpp"

#include <exception>
#include <iostream>

#include "files.hpp"
#include "process.hpp"

namespace dualtape::docs {

void Tutorial::section(std::string_view name) const { std::cout << "--- " << name << " ---\n"; }
void Tutorial::aside() const { std::cout << "---\n"; }

void Tutorial::draw(const Figure& figure) const {
  const std::string problem = figure.draw(out_);
  if (!problem.empty()) std::cerr << "not drawn: " << problem << "\n";
}

void Tutorial::draw_graph(const std::string& name, const std::string& dot) const {
  write_file(out_ / (name + ".dot"), dot);
  const Ended ended =
      run_program({"dot", "-Tsvg", "-Gbgcolor=transparent", "-Gfontcolor=#7a7a7a",
                   "-Ncolor=#7a7a7a", "-Ecolor=#7a7a7a", "-o", name + ".svg", name + ".dot"},
                  out_);
  if (ended.spawn_error != 0 || ended.status != 0)
    std::cerr << "not drawn: " << name << ".dot, since Graphviz is missing or failed\n";
}

void Tutorial::csv(const std::string& name, const std::vector<Column>& columns) const {
  write_csv(out_ / name, columns);
}

int run_tutorial(int argc, const char* const* argv, std::string_view title,
                 void (*body)(const Tutorial&)) {
  bool quick = false;
  std::filesystem::path out = "tutorial-out";
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--quick") {
      quick = true;
    } else if (word == "--out" && i + 1 < argc) {
      out = argv[++i];
    } else if (word == "--help") {
      std::cout << title
                << "\n\n  --out DIR  folder for drawings and CSV files\n"
                   "  --quick    a reduced size, as the tests run it\n";
      return 0;
    } else {
      std::cerr << "tutorial: " << (word == "--out" ? "--out needs a folder" : "unknown flag ")
                << (word == "--out" ? "" : word) << "; --help lists the flags\n";
      return 2;
    }
  }
  try {
    prepare_folder(out);
    body(Tutorial(quick, out));
    std::cout << "\nDrawings and tables are in " << out.string() << std::endl;
    return 0;
  } catch (const std::exception& error) {
    std::cout.flush();
    std::cerr << "tutorial: " << error.what() << "\n";
    return 1;
  }
}

}  // namespace dualtape::docs
