// Pages whose code and output come from programs.
//
// A program marks regions by lines `// [name]` ... `// [/name]`; they may nest. A page asks for one
// by a comment before a fenced block:
//
//   <!-- region: name -->                        from main.cpp beside the page
//   <!-- region: name from ../examples/x.cpp -->  from another file, relative to the page
//   <!-- output: name -->                        what the program printed after "--- name ---"
//   <!-- output: name full -->                   the same, looked at in full runs only
//
// Pure functions but where they say otherwise, safe from any thread.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace dualtape::docs {

// The marked regions of a program by name, without marker lines, common indentation and blank lines
// at the ends. Throws ValueError with one line for a region that is not closed, closed but not
// open, or there twice.
std::map<std::string, std::string> regions_of(std::string_view program);

// The sections of a program's output by name: from "--- name ---" to the next such line or "---".
std::map<std::string, std::string> sections_of(std::string_view printed);

// Where blocks come from.
struct Sources {
  // The text of a program, by its path relative to the page; throws DataError if there is none.
  std::function<std::string(const std::string&)> program;
  std::map<std::string, std::string> sections;
  bool has_output = false;  // false: output blocks are left as they are
  bool full = false;        // the output is that of a full run
};

struct Rewritten {
  std::string page;                   // with every block as its source has it
  std::vector<std::string> problems;  // what differs or cannot be found, each in the page's line
  bool mended = true;                 // false where a problem is not mended by the new text
};
Rewritten rewrite(std::string_view page, const Sources& sources);

// Pictures the page names, relative to it: the x.svg of ![...](x.svg).
std::vector<std::string> pictures_of(std::string_view page);

}  // namespace dualtape::docs
