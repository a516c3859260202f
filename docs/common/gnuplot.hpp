// Runs gnuplot on a script and makes its SVG fit to stand inside an HTML page. One call at a time
// for one script.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace dualtape::docs {

struct GnuplotResult {
  enum class Status { drawn, missing, failed };
  Status status = Status::failed;
  std::string problem;  // one line, empty where drawn
};

// Runs `gnuplot` (looked up in PATH, no shell in between) on a script in the script's own folder.
// The script must draw to the file named by its variable `output`; the finished drawing is moved
// to `svg_name` beside the script only if gnuplot ended well and the file is whole.
// Never throws because of gnuplot; throws DataError where the folder cannot be written.
GnuplotResult draw(const std::filesystem::path& script, const std::string& svg_name);

// The <svg> element of a gnuplot drawing for use inside HTML: without prolog, its ids prefixed (so
// that several drawings can share a page), named by `title` for screen readers, and every colour of
// the scripts replaced by a CSS variable (--ink, --grid, --series-1 ...) that falls back to it.
std::string inline_svg(std::string_view svg, std::string_view prefix, std::string_view title);

// Colours of the scripts as "#RRGGBB". The series are Okabe and Ito's colour-blind-safe ones
// (https://jfly.uni-koeln.de/color/) without black and yellow; all are readable on white and on
// near-black alike, since a drawing on its own does not know where it is shown.
inline constexpr std::string_view ink_colour = "#7a7a7a";
inline constexpr std::string_view grid_colour = "#8c8c8c";
inline constexpr std::string_view series_colours[] = {"#0072b2", "#d55e00", "#009e73",
                                                      "#cc79a7", "#e69f00", "#56b4e9"};

}  // namespace dualtape::docs
