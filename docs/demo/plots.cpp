#include "plots.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <sstream>
#include <utility>

#include "common/figure.hpp"
#include "common/gnuplot.hpp"
#include "common/text.hpp"

namespace dualtape::demo {
using namespace docs;  // NOLINT(google-build-using-namespace)
namespace {

enum class Quantity { loss, accuracy, cosine };
enum class Against { steps, seconds };

// Columns of <run>.csv, counted from 1.
constexpr int step_column = 1;
constexpr int seconds_column = 2;
constexpr int loss_column = 3;  // the smoothed values are one further on
constexpr int train_column = 5;
constexpr int test_column = 6;
constexpr int cosine_column = 7;

constexpr std::size_t most_points = 2000;  // of one line; more only make the file large

std::string colour_of(std::size_t run) {
  return std::string(series_colours[run % std::size(series_colours)]);
}

// "#AARRGGBB": gnuplot counts transparency, not opacity.
std::string faint(const std::string& colour) { return "#C4" + colour.substr(1); }

const std::vector<double>& values_of(const Run& run, Quantity quantity) {
  switch (quantity) {
    case Quantity::accuracy: return run.test_accuracy;
    case Quantity::cosine: return run.cosine;
    case Quantity::loss: break;
  }
  return run.loss;
}

std::vector<double> finite_values(const std::vector<Run>& runs, Quantity quantity) {
  std::vector<double> all;
  for (const Run& run : runs) {
    for (const double value : values_of(run, quantity)) {
      if (std::isfinite(value)) all.push_back(value);
    }
  }
  if (quantity == Quantity::accuracy) {
    for (const Run& run : runs) {
      for (const double value : run.train_accuracy) {
        if (std::isfinite(value)) all.push_back(value);
      }
    }
  }
  std::sort(all.begin(), all.end());
  return all;
}

double quantile(const std::vector<double>& sorted, double share) {
  return sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1))];
}

// Noisy: what smoothing takes away is more than a hundredth of the range of what it leaves.
bool is_noisy(const std::vector<double>& values) {
  if (values.size() < 40) return false;
  const std::vector<double> mean = smoothed(values);
  double low = HUGE_VAL;
  double high = -HUGE_VAL;
  double squares = 0;
  double count = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) continue;
    low = std::min(low, mean[i]);
    high = std::max(high, mean[i]);
    squares += (values[i] - mean[i]) * (values[i] - mean[i]);
    count += 1;
  }
  return count > 0 && std::sqrt(squares / count) > 0.01 * (high - low);
}

// 1, 2 and 5 times powers of ten, from the one at or below `low` to the one at or above `high`.
std::vector<double> round_ticks(double low, double high) {
  std::vector<double> ticks;
  const int last = static_cast<int>(std::ceil(std::log10(high)));
  for (int power = static_cast<int>(std::floor(std::log10(low))); power <= last; ++power) {
    for (const double lead : {1.0, 2.0, 5.0}) ticks.push_back(lead * std::pow(10.0, power));
  }
  const double slack = 1 + 1e-9;
  while (ticks.size() > 1 && ticks[1] <= low * slack) ticks.erase(ticks.begin());
  while (ticks.size() > 1 && ticks[ticks.size() - 2] * slack >= high) ticks.pop_back();
  return ticks;
}

std::string number(double value) { return csv_number(value); }

// Without the last digits, where powers of ten leave 0.30000000000000004 and its like.
std::string short_number(double value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

// Range and ticks of a logarithmic axis ('x' or 'y') that shows `low` to `high`.
std::string log_axis(char axis, double low, double high) {
  const std::string a(1, axis);
  std::string text =
      "set logscale " + a + "\nset " + a + "range [" + number(low) + ":" + number(high) + "]\n";
  if (high / low > 2e3) {
    // Over many decades only the powers of ten have room.
    return text + "set format " + a + " '10^{%T}'\nset " + a + "tics 10\n";
  }
  text += "set " + a + "tics (";
  const char* comma = "";
  for (const double tick : round_ticks(low, high)) {
    text += comma + in_quotes(short_number(tick)) + " " + short_number(tick);
    comma = ", ";
  }
  return text + ")\n";
}

// A logarithmic axis pays where positive values span more than this.
constexpr double log_ratio = 15;

std::string loss_axis(const std::vector<double>& sorted) {
  // A diverging run has no say beyond the largest one in a hundred; the smallest are kept.
  const double low = std::max(quantile(sorted, 0.002), 1e-12);
  const double high = sorted.back();
  if (sorted.front() > 0 && high / low > log_ratio) return log_axis('y', low, high * 1.1);
  return "set yrange [" + std::string(sorted.front() < 0 ? "*" : "0") + ":*]\n";
}

std::string accuracy_axis(const std::vector<double>& sorted) {
  const double low = std::max(0.0, std::floor(sorted.front() * 10) * 10);
  return "set yrange [" + number(low) + ":101]\nset ytics " + std::string(low < 60 ? "20" : "10") +
         "\n";
}

// The estimate of one random direction is now and then all but orthogonal to the gradient; the
// axis ends where only one value in fifty lies below.
std::string cosine_axis(const std::vector<double>& sorted) {
  const double low = quantile(sorted, 0.02);
  if (low > 0 && sorted.back() / low > log_ratio) return log_axis('y', low, 1.25);
  return "set yrange [" + std::string(sorted.front() < 0 ? "*" : "0") + ":1.05]\n";
}

std::string y_axis(Quantity quantity, const std::vector<double>& sorted) {
  switch (quantity) {
    case Quantity::accuracy: return accuracy_axis(sorted);
    case Quantity::cosine: return cosine_axis(sorted);
    case Quantity::loss: break;
  }
  return loss_axis(sorted);
}

std::string preamble(const std::string& name, const std::string& title) {
  return script_preamble(name, title) +
         "set datafile separator comma\nset autoscale xfix\nset xrange [0:*]\n";
}

struct Line {
  std::size_t run = 0;
  int y = 0;            // column of the CSV file
  double scale = 1;     // of y
  std::string looks;    // linewidth, colour ...
  std::string every;    // thinning, may be empty
  bool titled = false;  // stands in the key
};

std::string line_text(const Line& line, Against against, const std::string& csv_name,
                      const std::string& run_name) {
  const int x = against == Against::steps ? step_column : seconds_column;
  std::string y = std::to_string(line.y);
  if (line.scale != 1) y = "($" + y + "*" + number(line.scale) + ")";
  return in_quotes("../" + csv_name) + " skip 1" + line.every + " using " + std::to_string(x) +
         ":" + y + " with lines " + line.looks +
         (line.titled ? " title " + in_quotes(run_name) : " notitle");
}

std::string looks(double width, const std::string& colour, std::size_t run, bool dashed = false) {
  // Beyond the number of colours, runs are told apart by dashes.
  const bool again = run >= std::size(series_colours);
  return "linewidth " + number(width) + " linecolor rgb " + in_quotes(colour) +
         (dashed  ? " dashtype (2,3)"
          : again ? " dashtype (8,3)"
                  : "");
}

// Linear, unless the longest run is so much longer that the others would be a smear at the left.
std::string time_axis(const std::vector<Run>& runs) {
  double shortest = HUGE_VAL;
  double longest = 0;
  for (const Run& run : runs) {
    if (run.seconds.empty() || !(run.seconds.back() > 0)) continue;
    shortest = std::min(shortest, run.seconds.back());
    longest = std::max(longest, run.seconds.back());
  }
  if (longest <= 4 * shortest) return "";
  return log_axis('x', shortest / 50, longest * 1.05);
}

// gnuplot takes letters for a third wider than they are; told so, it finds room for the names of
// three runs or four in one row.
std::string key_width(const std::vector<Run>& runs) {
  std::size_t longest = 0;
  for (const Run& run : runs) longest = std::max(longest, columns(run.name));
  return "set key width -" + std::to_string(3 * longest / 10) + "\n";
}

// Faint lines first, so that none hides a mean.
std::vector<Line> lines_of(const std::vector<Run>& runs, Quantity quantity, bool noisy) {
  std::vector<Line> back;
  std::vector<Line> front;
  for (std::size_t r = 0; r < runs.size(); ++r) {
    const std::string colour = colour_of(r);
    if (quantity == Quantity::accuracy) {
      if (!runs[r].train_accuracy.empty()) {
        back.push_back({r, train_column, 100, looks(1.2, colour, r, true), "", false});
      }
      if (!runs[r].test_accuracy.empty()) {
        front.push_back({r, test_column, 100, looks(2, colour, r), "", true});
      }
      continue;
    }
    if (values_of(runs[r], quantity).empty()) continue;
    const int column = quantity == Quantity::loss ? loss_column : cosine_column;
    std::string every;
    if (quantity == Quantity::loss && runs[r].loss.size() > most_points) {
      every = " every " + std::to_string(runs[r].loss.size() / most_points + 1);
    }
    if (noisy) back.push_back({r, column, 1, looks(0.8, faint(colour), r), every, false});
    front.push_back({r, column + (noisy ? 1 : 0), 1, looks(2, colour, r), every, true});
  }
  back.insert(back.end(), front.begin(), front.end());
  return back;
}

std::string y_label(Quantity quantity, const ReportInfo& info) {
  switch (quantity) {
    case Quantity::accuracy: return "accuracy (%)";
    case Quantity::cosine: return "cosine with the gradient";
    case Quantity::loss: break;
  }
  return info.loss_label;
}

std::string caption_of(const std::vector<Run>& runs, Quantity quantity, bool noisy) {
  std::string text;
  if (quantity == Quantity::accuracy) {
    const bool train = std::any_of(runs.begin(), runs.end(),
                                   [](const Run& run) { return !run.train_accuracy.empty(); });
    return train ? "Solid: test rows. Dashed: training rows." : "Test rows.";
  }
  if (quantity == Quantity::loss) text = "Of each step's batch.";
  if (quantity == Quantity::cosine) {
    text =
        "Between each estimate and the true gradient at the same parameters. 1 is the gradient's "
        "own direction; k random directions over n parameters come to about √(k/n).";
  }
  if (noisy) text += " Faint: single values. Bold: their moving mean.";
  return text;
}

const char* quantity_name(Quantity quantity) {
  switch (quantity) {
    case Quantity::accuracy: return "accuracy";
    case Quantity::cosine: return "cosine";
    case Quantity::loss: break;
  }
  return "loss";
}

std::optional<Plot> make_plot(Quantity quantity, Against against, const std::vector<Run>& runs,
                              const ReportInfo& info, const std::vector<std::string>& csv_names) {
  const std::vector<double> sorted = finite_values(runs, quantity);
  if (sorted.empty()) return {};
  const bool noisy =
      quantity != Quantity::accuracy && std::any_of(runs.begin(), runs.end(), [&](const Run& run) {
        return is_noisy(values_of(run, quantity));
      });

  Plot plot;
  const std::string what = quantity_name(quantity);
  const std::string unit = against == Against::steps ? "steps" : "seconds";
  plot.name = what + "-" + unit;
  plot.title = what + " against " + unit;
  plot.title[0] = static_cast<char>(plot.title[0] - 'a' + 'A');
  plot.caption = caption_of(runs, quantity, noisy);

  plot.script = preamble(plot.name, plot.title) + y_axis(quantity, sorted) + key_width(runs);
  const bool timed = against == Against::seconds;
  const std::string time = timed ? time_axis(runs) : "";
  plot.script += time;
  const std::string ink = " textcolor rgb " + in_quotes(ink_colour) + " noenhanced\n";
  plot.script += "set xlabel " +
                 in_quotes(!timed         ? "steps"
                           : time.empty() ? "training time (s)"
                                          : "training time (s, logarithmic)") +
                 " offset 0,0.4" + ink;
  plot.script += "set ylabel " + in_quotes(y_label(quantity, info)) + ink + "plot";
  const char* comma = " \\\n  ";
  for (const Line& line : lines_of(runs, quantity, noisy)) {
    plot.script += comma + line_text(line, against, csv_names[line.run], runs[line.run].name);
    comma = ", \\\n  ";
  }
  plot.script += "\n";
  return plot;
}

}  // namespace

std::size_t smoothing_half_width(std::size_t count) { return std::max<std::size_t>(2, count / 60); }

std::vector<double> smoothed(const std::vector<double>& values) {
  const std::size_t n = values.size();
  const std::size_t widest = smoothing_half_width(n);
  // Running sums over the finite values give every window in constant time.
  std::vector<double> sums(n + 1, 0.0);
  std::vector<double> counts(n + 1, 0.0);
  for (std::size_t i = 0; i < n; ++i) {
    const bool counts_in = std::isfinite(values[i]);
    sums[i + 1] = sums[i] + (counts_in ? values[i] : 0);
    counts[i + 1] = counts[i] + (counts_in ? 1 : 0);
  }
  std::vector<double> out = values;
  for (std::size_t i = 0; i < n; ++i) {
    if (!std::isfinite(values[i])) continue;
    const std::size_t half = std::min(widest, i);
    const std::size_t begin = i - half;
    const std::size_t end = std::min(n, i + half + 1);
    out[i] = (sums[end] - sums[begin]) / (counts[end] - counts[begin]);
  }
  return out;
}

std::vector<Plot> make_plots(const std::vector<Run>& runs, const ReportInfo& info,
                             const std::vector<std::string>& csv_names) {
  static constexpr std::pair<Quantity, Against> wanted[] = {
      {Quantity::loss, Against::steps},     {Quantity::loss, Against::seconds},
      {Quantity::accuracy, Against::steps}, {Quantity::accuracy, Against::seconds},
      {Quantity::cosine, Against::steps},
  };
  std::vector<Plot> plots;
  for (const auto& [quantity, against] : wanted) {
    if (auto plot = make_plot(quantity, against, runs, info, csv_names)) {
      plots.push_back(std::move(*plot));
    }
  }
  return plots;
}

}  // namespace dualtape::demo
