// Figures of the tutorials: lines, bands, points, arrows and contours in one pair of axes, drawn by
// gnuplot to SVG with a transparent background and colours for light and dark pages alike.
//
//   Figure figure("loss", "Loss against steps");
//   figure.labels("step", "loss").log_y();
//   figure.band(steps, bands.low, bands.high, 0).line("reverse", steps, bands.mid, {.colour = 0});
//   figure.draw(folder);
//
// Later layers lie over earlier ones. A Figure is used by one thread at a time.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace dualtape::docs {

struct Looks {
  int colour = 0;  // number of a series colour (see gnuplot.hpp), or ink
  double width = 2;
  bool dashed = false;
  bool faint = false;
};
inline constexpr int ink = -1;  // the colour of axes and text

enum class Mark { dot, circle, cross, star };

class Figure {
 public:
  using Values = std::vector<double>;

  // `name` is that of the files: name.gp and name.svg. The title stands in the script only; a page
  // has its own caption.
  Figure(std::string name, std::string title);

  Figure& labels(std::string x, std::string y);
  Figure& log_x();
  Figure& log_y();
  Figure& x_range(double low, double high);
  Figure& y_range(double low, double high);
  Figure& square();  // one unit is as long on both axes
  Figure& size(int width, int height);

  // Series with an empty name do not stand in the key. Points that are not finite interrupt lines;
  // long lines are thinned. All vectors of a call have one length, else ValueError.
  Figure& line(std::string name, Values x, Values y, Looks looks = {});
  Figure& band(Values x, Values low, Values high, int colour);
  Figure& points(std::string name, Values x, Values y, Mark mark = Mark::dot, Looks looks = {});
  // From (x, y) to (x + dx, y + dy).
  Figure& arrows(std::string name, Values x, Values y, Values dx, Values dy, Looks looks = {});
  // Contour lines of f over the rectangle of x_range and y_range, which must be set before.
  Figure& contours(const std::function<double(double, double)>& f, Values levels);
  Figure& text(double x, double y, std::string text);

  // The gnuplot script with its data; runs on its own.
  std::string script() const;
  // Writes folder/name.gp and draws folder/name.svg. Returns "" or one line that says why there is
  // no drawing. Throws DataError where the folder cannot be written.
  std::string draw(const std::filesystem::path& folder) const;

 private:
  std::string add_data(const std::vector<const Values*>& columns, bool thin);

  std::string name_;
  std::string title_;
  std::string settings_;
  std::string data_;               // datablocks
  std::vector<std::string> plot_;  // elements of the plot command
  std::size_t blocks_ = 0;
  int width_ = 620;
  int height_ = 400;
  std::pair<double, double> x_range_{0, 0};
  std::pair<double, double> y_range_{0, 0};
};

// For settings shared with other scripts: terminal, axes, grid and key in colours for light and
// dark. `name` is that of the files.
std::string script_preamble(const std::string& name, const std::string& title, int width = 620,
                            int height = 400);
std::string in_quotes(std::string_view text);  // as a gnuplot string

// `count` values from `low` to `high`, the ends included; evenly, or evenly in the logarithm.
std::vector<double> linear_steps(double low, double high, std::size_t count);
std::vector<double> log_steps(double low, double high, std::size_t count);

}  // namespace dualtape::docs
