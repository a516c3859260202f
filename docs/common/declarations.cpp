#include "declarations.hpp"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <sstream>

namespace dualtape::docs {
namespace {

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// Without comments and preprocessor lines.
std::string code_of(std::string_view header) {
  std::string code;
  bool line_begins = true;
  for (std::size_t i = 0; i < header.size(); ++i) {
    const bool comment = header.substr(i).starts_with("//");
    if (comment || (line_begins && header[i] == '#')) {
      i = std::min(header.find('\n', i), header.size() - 1);
      code += '\n';
      line_begins = true;
      continue;
    }
    code += header[i];
    if (header[i] == '\n')
      line_begins = true;
    else if (header[i] != ' ')
      line_begins = false;
  }
  return code;
}

std::string tidy(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool space = std::isspace(static_cast<unsigned char>(c)) != 0;
    if (!space)
      out += c;
    else if (!out.empty() && out.back() != ' ' && out.back() != '(')
      out += ' ';
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

// The place behind the bracket that closes the one at `open`.
std::size_t behind(std::string_view text, std::size_t open, char opening, char closing) {
  int depth = 0;
  for (std::size_t i = open; i < text.size(); ++i) {
    if (text[i] == opening) ++depth;
    if (text[i] == closing && --depth == 0) return i + 1;
  }
  return text.size();
}

void drop_prefix(std::string& text, std::string_view prefix) {
  if (text.starts_with(prefix)) text = tidy(std::string_view(text).substr(prefix.size()));
}

// "template <...>" and "requires(...)" are for the compiler.
std::string without_head(std::string text) {
  if (text.starts_with("template")) {
    const std::size_t open = text.find('<');
    text = tidy(std::string_view(text).substr(behind(text, open, '<', '>')));
  }
  if (text.starts_with("requires")) {
    const std::size_t open = text.find('(');
    const std::size_t word = text.find(' ');
    // Either requires(...) or requires Concept<...>.
    if (open != std::string::npos && (word == std::string::npos || open < word || open == word + 1))
      text = tidy(std::string_view(text).substr(behind(text, open, '(', ')')));
    else if (const std::size_t angle = text.find('<'); angle != std::string::npos)
      text = tidy(std::string_view(text).substr(behind(text, angle, '<', '>')));
  }
  for (const std::string_view word : {"[[nodiscard]]", "inline ", "constexpr ", "static "})
    drop_prefix(text, word);
  return text;
}

void drop_locations(std::string& text) {
  for (const std::string_view name : {"where", "here"}) {
    const std::string parameter = "Location " + std::string(name) + " = Location::current()";
    for (const std::string& all : {", " + parameter, parameter})
      if (const std::size_t at = text.find(all); at != std::string::npos)
        text.erase(at, all.size());
  }
}

// Reads a header from left to right.
class Scanner {
 public:
  explicit Scanner(std::string code) : code_(std::move(code)) {}

  std::vector<Declaration> read() {
    std::string statement;
    int parentheses = 0;
    for (std::size_t i = 0; i < code_.size(); ++i) {
      const char c = code_[i];
      if (c == '(') ++parentheses;
      if (c == ')') --parentheses;
      if (parentheses == 0 && c == '}') {
        if (!spaces_.empty()) spaces_.pop_back();
        statement.clear();
      } else if (parentheses == 0 && c == ';') {
        add(statement);
        statement.clear();
      } else if (parentheses == 0 && c == '{') {
        i = brace(tidy(statement), i);
        statement.clear();
      } else {
        statement += c;
      }
    }
    return std::move(found_);
  }

 private:
  // What opens at `open`, and where to go on: within a namespace, behind all else.
  std::size_t brace(const std::string& statement, std::size_t open) {
    if (statement.starts_with("namespace")) {
      spaces_.push_back(tidy(std::string_view(statement).substr(9)));
      return open;
    }
    add(statement);
    return behind(code_, open, '{', '}') - 1;
  }

  void add(const std::string& statement) {
    std::string text = without_head(tidy(statement));
    drop_locations(text);
    const std::size_t open = text.find('(');
    const bool other = text.starts_with("class ") || text.starts_with("struct ") ||
                       text.starts_with("enum ") || text.starts_with("union ") ||
                       text.starts_with("concept ") || text.starts_with("using ") ||
                       text.starts_with("friend ") || text.starts_with("static_assert");
    if (open == std::string::npos || other || text.substr(0, open).find('=') != std::string::npos)
      return;
    std::size_t begin = open;
    while (begin > 0 && is_word(text[begin - 1])) --begin;
    const std::string name = text.substr(begin, open - begin);
    if (name.empty() || begin == 0 || text[begin - 1] == ':' ||
        text.substr(0, open).find("operator") != std::string::npos)
      return;
    std::string space;
    for (const std::string& one : spaces_) space.append(space.empty() ? "" : "::").append(one);
    if (!space.starts_with("dualtape") || space.find("detail") != std::string::npos) return;
    space.erase(0, std::min(space.size(), std::string_view("dualtape::").size()));
    found_.push_back({space.empty() ? name : space + "::" + name, text});
  }

  std::string code_;
  std::vector<std::string> spaces_;
  std::vector<Declaration> found_;
};

}  // namespace

std::vector<Declaration> functions_of(std::string_view header) {
  return Scanner(code_of(header)).read();
}

std::vector<Declaration> structs_of(std::string_view header) {
  std::vector<Declaration> found;
  std::string comment, block, name;
  bool internal = false, after_template = false;
  std::istringstream lines{std::string(header)};
  for (std::string line; std::getline(lines, line);) {
    if (line == "namespace detail {") internal = true;
    if (line == "}  // namespace detail") internal = false;
    if (!name.empty()) {
      block += line + '\n';
      if (line != "};") continue;
      const bool plain = block.find(name + "(") == std::string::npos &&
                         block.find(") const") == std::string::npos &&
                         block.find("operator") == std::string::npos &&
                         block.find("private:") == std::string::npos;
      if (plain && !internal) found.push_back({name, comment + block});
      name.clear();
      comment.clear();
    } else if (line.starts_with("struct ") && line.ends_with(" {") && !after_template) {
      name = line.substr(7, line.size() - 9);
      block = line + '\n';
    } else if (line.starts_with("//")) {
      comment += line + '\n';
    } else {
      comment.clear();
      after_template = line.starts_with("template");
    }
  }
  return found;
}

}  // namespace dualtape::docs
