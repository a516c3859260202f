#include "figure.hpp"

#include <array>
#include <cmath>
#include <cstdio>
#include <dualtape/core/error.hpp>
#include <iterator>

#include "files.hpp"
#include "gnuplot.hpp"
#include "text.hpp"

namespace dualtape::docs {
namespace {

constexpr std::size_t most_points = 600;  // of one line; more only make the drawing large
constexpr std::size_t contour_steps = 161;

std::string colour_of(const Looks& looks) {
  const std::string_view colour =
      looks.colour < 0
          ? ink_colour
          : series_colours[static_cast<std::size_t>(looks.colour) % std::size(series_colours)];
  // "#AARRGGBB": gnuplot counts transparency, not opacity.
  return in_quotes((looks.faint ? "#A0" : "#") + std::string(colour.substr(1)));
}

// Six digits are finer than a pixel.
std::string cell(double value) {
  if (!std::isfinite(value)) return "NaN";
  std::array<char, 32> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "%.6g", value);
  return buffer.data();
}

std::string title_of(const std::string& name) {
  return name.empty() ? " notitle" : " title " + in_quotes(name);
}

std::string line_looks(const Looks& looks) {
  return " linewidth " + cell(looks.width) + " linecolor rgb " + colour_of(looks) +
         (looks.dashed ? " dashtype (6,4)" : "");
}

const char* mark_of(Mark mark) {
  switch (mark) {
    case Mark::circle: return "6 pointsize 0.8";
    case Mark::cross: return "2 pointsize 0.7";
    case Mark::star: return "3 pointsize 1.1";
    case Mark::dot: break;
  }
  return "7 pointsize 0.35";
}

}  // namespace

std::string in_quotes(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("''") : std::string(1, c);
  return out + "'";
}

std::string script_preamble(const std::string& name, const std::string& title, int width,
                            int height) {
  const std::string ink_rgb = "rgb " + in_quotes(ink_colour);
  const std::string grid_line =
      "linetype 1 linecolor rgb '#B0" + std::string(grid_colour.substr(1)) + "' linewidth 0.7";
  return "# " + title + ". Run in this folder: gnuplot " + name + ".gp\n" +
         "if (!exists('output')) output = " + in_quotes(name + ".svg") + "\n" +
         "set terminal svg size " + std::to_string(width) + "," + std::to_string(height) +
         " dynamic enhanced font 'sans-serif,14' linewidth 1\n"
         "set output output\n"
         "set datafile missing NaN\n"
         "set border 3 linecolor " +
         ink_rgb + " linewidth 1\nset tics nomirror out scale 0.4 textcolor " + ink_rgb +
         "\nset grid " + grid_line + ", " + grid_line +
         "\nset key above left Left reverse horizontal samplen 1.4 font ',12' noenhanced "
         "textcolor " +
         ink_rgb + "\nset format x '%g'\nset format y '%g'\n";
}

std::vector<double> linear_steps(double low, double high, std::size_t count) {
  std::vector<double> steps;
  for (std::size_t i = 0; i < count; ++i)
    steps.push_back(low + (high - low) * static_cast<double>(i) / static_cast<double>(count - 1));
  return steps;
}

std::vector<double> log_steps(double low, double high, std::size_t count) {
  std::vector<double> steps = linear_steps(std::log(low), std::log(high), count);
  for (double& step : steps) step = std::exp(step);
  return steps;
}

Figure::Figure(std::string name, std::string title)
    : name_(std::move(name)), title_(std::move(title)) {}

Figure& Figure::labels(std::string x, std::string y) {
  const std::string tail = " textcolor rgb " + in_quotes(ink_colour) + " noenhanced\n";
  settings_ += "set xlabel " + in_quotes(x) + " offset 0,0.4" + tail;
  settings_ += "set ylabel " + in_quotes(y) + tail;
  return *this;
}
Figure& Figure::log_x() {
  settings_ += "set logscale x\nset format x '10^{%T}'\n";
  return *this;
}
Figure& Figure::log_y() {
  settings_ += "set logscale y\nset format y '10^{%T}'\n";
  return *this;
}
Figure& Figure::x_range(double low, double high) {
  x_range_ = {low, high};
  settings_ += "set xrange [" + cell(low) + ":" + cell(high) + "]\n";
  return *this;
}
Figure& Figure::y_range(double low, double high) {
  y_range_ = {low, high};
  settings_ += "set yrange [" + cell(low) + ":" + cell(high) + "]\n";
  return *this;
}
Figure& Figure::square() {
  settings_ += "set size ratio -1\n";
  return *this;
}
Figure& Figure::size(int width, int height) {
  width_ = width;
  height_ = height;
  return *this;
}

std::string Figure::add_data(const std::vector<const Values*>& columns, bool thin) {
  const std::size_t rows = columns.front()->size();
  for (const Values* column : columns) {
    if (column->size() != rows)
      throw ValueError("[Figure '" + name_ + "'] vectors of one series have " +
                       std::to_string(rows) + " and " + std::to_string(column->size()) + " values");
  }
  const std::string block = "$d" + std::to_string(blocks_++);
  data_ += block + " << EOD\n";
  const std::size_t step = thin && rows > most_points ? rows / most_points + 1 : 1;
  for (std::size_t row = 0; row < rows; ++row) {
    if (row % step != 0 && row + 1 != rows) continue;
    for (std::size_t c = 0; c < columns.size(); ++c)
      data_ += (c == 0 ? "" : " ") + cell((*columns[c])[row]);
    data_ += "\n";
  }
  data_ += "EOD\n";
  return block;
}

Figure& Figure::line(std::string name, Values x, Values y, Looks looks) {
  plot_.push_back(add_data({&x, &y}, true) + " using 1:2 with lines" + line_looks(looks) +
                  title_of(name));
  return *this;
}

Figure& Figure::band(Values x, Values low, Values high, int colour) {
  plot_.push_back(add_data({&x, &low, &high}, true) +
                  " using 1:2:3 with filledcurves fillstyle transparent solid 0.22 noborder "
                  "linecolor rgb " +
                  colour_of({.colour = colour}) + " notitle");
  return *this;
}

Figure& Figure::points(std::string name, Values x, Values y, Mark mark, Looks looks) {
  plot_.push_back(add_data({&x, &y}, false) + " using 1:2 with points pointtype " + mark_of(mark) +
                  line_looks(looks) + title_of(name));
  return *this;
}

Figure& Figure::arrows(std::string name, Values x, Values y, Values dx, Values dy, Looks looks) {
  plot_.push_back(add_data({&x, &y, &dx, &dy}, false) +
                  " using 1:2:3:4 with vectors head filled size screen 0.012,20" +
                  line_looks(looks) + title_of(name));
  return *this;
}

Figure& Figure::contours(const std::function<double(double, double)>& f, Values levels) {
  const auto [x_low, x_high] = x_range_;
  const auto [y_low, y_high] = y_range_;
  if (!(x_low < x_high && y_low < y_high))
    throw ValueError("[Figure '" + name_ + "'] contours need x_range and y_range before them");
  const Values xs = linear_steps(x_low, x_high, contour_steps);
  const Values ys = linear_steps(y_low, y_high, contour_steps);
  const std::string grid = "$g" + std::to_string(blocks_);
  const std::string lines = "$c" + std::to_string(blocks_++);
  data_ += grid + " << EOD\n";
  for (const double y : ys) {
    for (const double x : xs) data_ += cell(x) + " " + cell(y) + " " + cell(f(x, y)) + "\n";
    data_ += "\n";
  }
  data_ += "EOD\nset contour base\nunset surface\nset cntrparam levels discrete ";
  for (std::size_t i = 0; i < levels.size(); ++i) data_ += (i == 0 ? "" : ",") + cell(levels[i]);
  data_ += "\nset table " + lines + "\nsplot " + grid +
           " using 1:2:3\nunset table\nunset contour\nset surface\n";
  plot_.push_back(lines + " using 1:2 with lines linewidth 0.8 linecolor rgb " +
                  colour_of({.colour = ink, .faint = true}) + " notitle");
  return *this;
}

Figure& Figure::text(double x, double y, std::string text) {
  settings_ += "set label " + in_quotes(text) + " at " + cell(x) + "," + cell(y) +
               " front font ',12' noenhanced textcolor rgb " + in_quotes(ink_colour) + "\n";
  return *this;
}

std::string Figure::script() const {
  // The data come before logarithmic axes are set, which would warp the grids of contours.
  std::string text = script_preamble(name_, title_, width_, height_) + data_ + settings_ + "plot";
  const char* comma = " \\\n  ";
  for (const std::string& element : plot_) {
    text += comma + element;
    comma = ", \\\n  ";
  }
  return text + "\n";
}

std::string Figure::draw(const std::filesystem::path& folder) const {
  const std::filesystem::path path = folder / (name_ + ".gp");
  write_file(path, script());
  return docs::draw(path, name_ + ".svg").problem;
}

}  // namespace dualtape::docs
