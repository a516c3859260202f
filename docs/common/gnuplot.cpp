#include "gnuplot.hpp"

#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <vector>

#include "files.hpp"
#include "process.hpp"
#include "text.hpp"

namespace dualtape::docs {
namespace fs = std::filesystem;
namespace {

// gnuplot shows the faulty line, a caret below it, and then the message in a line of its own,
// which is what a reader needs; the last line that says anything is taken.
std::string last_line(std::string_view text) {
  std::string line;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view now = text.substr(0, end);
    const std::size_t begin = now.find_first_not_of(" \t\r");
    if (begin != std::string_view::npos) line = now.substr(begin);
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return line;
}

std::string why_it_failed(const Ended& ended) {
  const std::string said = last_line(ended.messages);
  std::string text = WIFSIGNALED(ended.status)
                         ? "gnuplot was ended by signal " + std::to_string(WTERMSIG(ended.status))
                         : "gnuplot ended with code " + std::to_string(WEXITSTATUS(ended.status));
  if (!said.empty()) text += ": " + said;
  return text;
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
}

// Removes everything from `open` to the end of `close`, once.
void cut(std::string& text, std::string_view open, std::string_view close) {
  const std::size_t begin = text.find(open);
  if (begin == std::string::npos) return;
  const std::size_t end = text.find(close, begin);
  if (end == std::string::npos) return;
  text.erase(begin, end + close.size() - begin);
}

int channel(std::string_view colour, std::size_t at) {
  int value = 0;
  std::from_chars(colour.data() + at, colour.data() + at + 2, value, 16);
  return value;
}

// gnuplot writes "rgb(  0, 114, 178)" for lines and "rgb(0,114,178)" for text.
void name_colour(std::string& svg, std::string_view colour, const std::string& variable) {
  const int r = channel(colour, 1);
  const int g = channel(colour, 3);
  const int b = channel(colour, 5);
  const std::string named = "var(" + variable + ", " + std::string(colour) + ")";
  for (const char* format :
       {"\"rgb(%3d, %3d, %3d)\"", "\"rgb(%d,%d,%d)\"", "'rgb(%3d, %3d, %3d)'", "'rgb(%d,%d,%d)'"}) {
    std::array<char, 64> buffer{};
    // A presentation attribute takes no var(), a style does.
    std::snprintf(buffer.data(), buffer.size(), format, r, g, b);
    for (const char* property : {"stroke", "fill"}) {
      replace_all(svg, std::string(property) + "=" + buffer.data(),
                  "style=\"" + std::string(property) + ":" + named + "\"");
    }
  }
}

// Groups without any content are most of what gnuplot writes.
void drop_empty_groups(std::string& svg) {
  const std::string_view end = "\n</g>";
  for (std::size_t at = 0; (at = svg.find("<g fill=", at)) != std::string::npos;) {
    const std::size_t close = svg.find('>', at);
    if (close == std::string::npos) return;
    if (svg.compare(close + 1, end.size(), end) == 0) {
      svg.erase(at, close + 1 + end.size() - at);
    } else {
      at = close;
    }
  }
}

}  // namespace

GnuplotResult draw(const fs::path& script, const std::string& svg_name) {
  using Status = GnuplotResult::Status;
  const fs::path svg = script.parent_path() / svg_name;
  const fs::path part = temporary_name(svg);
  // The name is made from fixed letters and digits, so it needs no escapes in gnuplot's quotes.
  const std::string setting = "output = '" + part.filename().string() + "'";
  const Ended ended =
      run_program({"gnuplot", "-e", setting, script.filename().string()},
                  script.parent_path().empty() ? fs::path(".") : script.parent_path());

  std::error_code ignored;
  if (ended.spawn_error == ENOENT) return {Status::missing, "gnuplot is not installed"};
  if (ended.spawn_error != 0) {
    return {Status::failed,
            std::string("gnuplot could not be started: ") + std::strerror(ended.spawn_error)};
  }
  if (!WIFEXITED(ended.status) || WEXITSTATUS(ended.status) != 0) {
    fs::remove(part, ignored);
    return {Status::failed, why_it_failed(ended)};
  }
  if (!fs::exists(part) || read_file(part).find("</svg>") == std::string::npos) {
    fs::remove(part, ignored);
    const std::string said = last_line(ended.messages);
    return {Status::failed, "gnuplot wrote no whole drawing" + (said.empty() ? "" : ": " + said)};
  }
  replace_file(part, svg);
  return {Status::drawn, ""};
}

std::string inline_svg(std::string_view svg, std::string_view prefix, std::string_view title) {
  std::string out(svg);
  const std::size_t begin = out.find("<svg");
  if (begin == std::string::npos) return "";
  out.erase(0, begin);
  while (!out.empty() && out.back() == '\n') out.pop_back();

  cut(out, "<title>Gnuplot", "</title>");
  cut(out, "<desc>", "</desc>");
  // The point symbols that gnuplot always defines refer to each other; none is drawn unless it is
  // named after the definitions.
  const std::size_t defined = out.find("</defs>");
  if (defined != std::string::npos && out.find("#gpPt", defined) == std::string::npos) {
    cut(out, "<defs>", "</defs>");
  }
  for (std::size_t at = 0; (at = out.find("<title>gnuplot_plot_", at)) != std::string::npos;) {
    out.erase(at, out.find("</title>", at) + 8 - at);
  }
  const std::string p(prefix);
  replace_all(out, "id=\"", "id=\"" + p);
  replace_all(out, "id='", "id='" + p);
  replace_all(out, "href='#", "href='#" + p);
  replace_all(out, "url(#", "url(#" + p);
  replace_all(out, " font-family=\"sans-serif\"", "");

  name_colour(out, ink_colour, "--ink");
  name_colour(out, grid_colour, "--grid");
  for (std::size_t i = 0; i < std::size(series_colours); ++i) {
    name_colour(out, series_colours[i], "--series-" + std::to_string(i + 1));
  }
  drop_empty_groups(out);
  const std::string name = html(title);
  out.insert(4, " role=\"img\" aria-label=\"" + name + "\"");
  return out;
}

}  // namespace dualtape::docs
