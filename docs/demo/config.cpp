#include "config.hpp"

#include <set>
#include <sstream>
#include <string>

#include "common/text.hpp"
#include "options.hpp"

namespace dualtape::demo {
using namespace docs;  // NOLINT(google-build-using-namespace)
namespace {

// The line up to the # that begins a comment.
std::string without_comment(const std::string& line) {
  char quote = '\0';
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote != '\0') {
      if (c == quote) quote = '\0';
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '#') {
      return line.substr(0, i);
    }
  }
  return line;
}

// A line for a path, or a comment where CLI11 would not read the same text back.
std::string path_line(const std::string& flag, const std::string& path) {
  const bool quoted = path.find('"') != std::string::npos;
  if (path.find_first_of("\\\n\r`") != std::string::npos ||
      (quoted && path.find('\'') != std::string::npos))
    return "# " + flag + ": its name has characters that cannot stand here\n";
  const char* quote = quoted ? "'" : "\"";
  return flag + " = " + quote + path + quote + "\n";
}

}  // namespace

ConfigFile::ConfigFile() { comment('\0'); }  // from_config below has taken comments away

std::vector<CLI::ConfigItem> ConfigFile::from_config(std::istream& input) const {
  std::stringstream bare;
  for (std::string line; std::getline(input, line);) bare << without_comment(line) << "\n";
  std::vector<CLI::ConfigItem> read = ConfigBase::from_config(bare);
  std::set<std::string> names;
  for (const CLI::ConfigItem& item : read) {
    if (!item.parents.empty())
      throw CLI::ConfigError("'" + item.parents.front() + "' is a section; settings stand in none");
    if (!names.insert(item.name).second)
      throw CLI::ConfigError("'" + item.name + "' stands there twice");
  }
  return read;
}

std::string Options::config() const {
  std::string text = "# ./run demo --config FILE repeats this run.\n";
  for (const auto& [flag, value] : settings()) {
    const bool list = value.find(',') != std::string::npos;
    const bool word = value.find_first_not_of("0123456789.e+-") != std::string::npos;
    std::string shown = word ? "\"" + value + "\"" : value;
    if (list) {  // of words or of numbers
      shown = "[";
      std::istringstream in(value);
      for (std::string part; std::getline(in, part, ',');) {
        if (shown.size() > 1) shown += ", ";
        shown += flag == "mode" ? "\"" + part + "\"" : part;
      }
      shown += "]";
    }
    text += flag;
    text += " = ";
    text += shown + "\n";
  }
  if (!one_rate()) {
    text += "# lr as tuned:";
    for (const Method& method : methods)
      text += std::string(&method == &methods.front() ? " " : "; ") + method.name() + " " +
              csv_number(method.lr);
    text += "\n";
  }
  text += path_line("out", out);
  if (graph) text += path_line("graph", *graph);
  return text;
}

}  // namespace dualtape::demo
