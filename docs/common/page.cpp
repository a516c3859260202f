#include "page.hpp"

#include <algorithm>
#include <dualtape/core/error.hpp>
#include <optional>
#include <sstream>

namespace dualtape::docs {
namespace {

using Lines = std::vector<std::string>;

Lines lines_of(std::string_view text) {
  Lines lines;
  std::istringstream in{std::string(text)};
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

bool is_blank(const std::string& line) {
  return line.find_first_not_of(" \t") == std::string::npos;
}

std::string trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(" \t") + 1 - begin));
}

// Without blank lines at the ends and without the indentation all lines share.
std::string tidy(Lines lines) {
  while (!lines.empty() && is_blank(lines.front())) lines.erase(lines.begin());
  while (!lines.empty() && is_blank(lines.back())) lines.pop_back();
  std::size_t indent = std::string::npos;
  for (const std::string& line : lines) {
    if (!is_blank(line)) indent = std::min(indent, line.find_first_not_of(' '));
  }
  std::string text;
  for (const std::string& line : lines) text += (is_blank(line) ? "" : line.substr(indent)) + "\n";
  return text;
}

bool is_name(std::string_view text) {
  return !text.empty() &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") == std::string_view::npos;
}

// The name in `open` name `close`, if the line is that.
std::optional<std::string> name_in(const std::string& line, std::string_view open,
                                   std::string_view close) {
  const std::string text = trimmed(line);
  if (text.size() <= open.size() + close.size() || !text.starts_with(open) ||
      !text.ends_with(close))
    return {};
  std::string name = text.substr(open.size(), text.size() - open.size() - close.size());
  if (!is_name(name)) return {};
  return name;
}

[[noreturn]] void bad_region(const std::string& name, const char* what) {
  throw ValueError("region '" + name + "' " + what);
}

// What a comment of a page asks for.
struct Request {
  bool output = false;
  std::string name;
  std::string from = "main.cpp";
  bool full_only = false;
};

std::optional<Request> request_in(const std::string& line) {
  const std::string text = trimmed(line);
  if (!text.starts_with("<!--") || !text.ends_with("-->")) return {};
  std::istringstream words(text.substr(4, text.size() - 7));
  std::string kind;
  std::string word;
  Request request;
  words >> kind >> request.name;
  if (kind != "region:" && kind != "output:") return {};
  request.output = kind == "output:";
  while (words >> word) {
    if (word == "from" && !request.output)
      words >> request.from;
    else if (word == "full" && request.output)
      request.full_only = true;
    else
      request.name.clear();  // not understood
  }
  return request;
}

bool is_fence(const std::string& line) { return line.starts_with("```"); }

}  // namespace

std::map<std::string, std::string> regions_of(std::string_view program) {
  std::map<std::string, Lines> found;
  std::vector<std::string> open;
  for (const std::string& line : lines_of(program)) {
    if (const auto closed = name_in(line, "// [/", "]")) {
      const auto at = std::find(open.begin(), open.end(), *closed);
      if (at == open.end()) bad_region(*closed, "is closed but not open");
      open.erase(at);
    } else if (const auto opened = name_in(line, "// [", "]")) {
      if (!found.emplace(*opened, Lines{}).second) bad_region(*opened, "is there twice");
      open.push_back(*opened);
    } else {
      for (const std::string& name : open) found[name].push_back(line);
    }
  }
  if (!open.empty()) bad_region(open.back(), "is not closed");
  std::map<std::string, std::string> regions;
  for (auto& [name, lines] : found) regions[name] = tidy(std::move(lines));
  return regions;
}

std::map<std::string, std::string> sections_of(std::string_view printed) {
  std::map<std::string, Lines> found;
  Lines* current = nullptr;
  for (const std::string& line : lines_of(printed)) {
    if (const auto name = name_in(line, "--- ", " ---")) {
      current = &found[*name];
    } else if (line == "---") {
      current = nullptr;
    } else if (current != nullptr) {
      current->push_back(line);
    }
  }
  std::map<std::string, std::string> sections;
  for (auto& [name, lines] : found) sections[name] = tidy(std::move(lines));
  return sections;
}

Rewritten rewrite(std::string_view page, const Sources& sources) {
  Rewritten result;
  const Lines lines = lines_of(page);
  const auto complain = [&](std::size_t line, const std::string& what, bool mended) {
    result.problems.push_back("line " + std::to_string(line + 1) + ": " + what);
    result.mended = result.mended && mended;
  };
  // The wanted text, or nothing where the block stays as it is.
  const auto wanted = [&](const Request& request, std::size_t line) -> std::optional<std::string> {
    if (request.name.empty()) {
      complain(line, "the comment is not understood", false);
      return {};
    }
    if (request.output) {
      if (!sources.has_output || (request.full_only && !sources.full)) return {};
      if (const auto at = sources.sections.find(request.name); at != sources.sections.end())
        return at->second;
      complain(line, "the program prints no section '" + request.name + "'", false);
      return {};
    }
    try {
      const auto regions = regions_of(sources.program(request.from));
      if (const auto at = regions.find(request.name); at != regions.end()) return at->second;
      complain(line, request.from + " has no region '" + request.name + "'", false);
    } catch (const Error& error) {
      complain(line, request.from + ": " + error.what(), false);
    }
    return {};
  };

  for (std::size_t i = 0; i < lines.size(); ++i) {
    result.page += lines[i] + "\n";
    const auto request = request_in(lines[i]);
    const bool bare = !request && is_fence(lines[i]);
    if (bare && lines[i] == "```cpp") {
      complain(i, "C++ that comes from no program; put <!-- region: name --> before it", false);
    }
    if (!request && !bare) continue;
    std::size_t begin = i + 1;  // of the block's content
    std::string shown;
    std::size_t end = i;  // its last line
    if (bare || (begin < lines.size() && is_fence(lines[begin]))) {
      if (!bare) ++begin;
      for (end = begin; end < lines.size() && lines[end] != "```"; ++end)
        shown += lines[end] + "\n";
      if (end == lines.size()) {
        complain(i, "the block is not closed", false);
        --end;
      }
    }
    const std::string fence = bare              ? ""
                              : end > i         ? lines[i + 1]
                              : request->output ? "```text"
                                                : "```cpp";
    const auto text = bare ? std::nullopt : wanted(*request, i);
    if (text && *text != shown) {
      complain(i,
               (request->output ? "output '" : "region '") + request->name +
                   "' is not as the program has it:\n" + *text,
               true);
    }
    if (end == i && !text) continue;  // nothing there and nothing to put
    if (!bare) result.page += fence + "\n";
    result.page += (text ? *text : shown) + "```\n";
    i = end;
  }
  return result;
}

std::vector<std::string> pictures_of(std::string_view page) {
  std::vector<std::string> pictures;
  for (std::size_t at = 0; (at = page.find("![", at)) != std::string_view::npos; ++at) {
    const std::size_t begin = page.find("](", at);
    if (begin == std::string_view::npos) break;
    const std::size_t end = page.find(')', begin);
    if (end == std::string_view::npos) break;
    std::string target(page.substr(begin + 2, end - begin - 2));
    if (target.find("://") == std::string::npos) pictures.push_back(std::move(target));
  }
  return pictures;
}

}  // namespace dualtape::docs
