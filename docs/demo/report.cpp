#include "report.hpp"

#include <algorithm>
#include <cmath>
#include <dualtape/core/error.hpp>
#include <limits>
#include <map>
#include <system_error>

#include "common/files.hpp"
#include "common/gnuplot.hpp"
#include "common/text.hpp"
#include "plots.hpp"

namespace dualtape::demo {
using namespace docs;  // NOLINT(google-build-using-namespace)
namespace fs = std::filesystem;
namespace {

constexpr double nothing = std::numeric_limits<double>::quiet_NaN();

// Series 1 to 6 are as in the scripts, a little deeper on white and lighter on near-black.
constexpr const char* style = R"css(
:root {
  color-scheme: light dark;
  --paper: #ffffff; --text: #1d2126; --soft: #5c6570; --rule: #d9dee4; --shade: #f5f7f9;
  --ink: #5c6570; --grid: #8c8c8c;
  --series-1: #0068a8; --series-2: #cc5500; --series-3: #008a63;
  --series-4: #b65c90; --series-5: #c98700; --series-6: #3a9ad6;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171b; --text: #e3e7eb; --soft: #9aa4af; --rule: #333a42; --shade: #1c2126;
    --ink: #a3acb6; --grid: #9aa4af;
    --series-1: #4ba6e3; --series-2: #f0783c; --series-3: #2cc296;
    --series-4: #df97bf; --series-5: #f0b53a; --series-6: #8fd0f5;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2.5rem 1.5rem 4rem; max-width: 76rem;
  background: var(--paper); color: var(--text);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", "Noto Sans", "Liberation Sans", sans-serif;
}
h1 { margin: 0 0 .5rem; font-size: 1.75rem; line-height: 1.2; letter-spacing: -.01em; }
h2 { margin: 2.75rem 0 .75rem; font-size: 1.15rem; }
p { max-width: 46rem; margin: .4rem 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.25rem; margin: 1rem 0 0; }
dt { color: var(--soft); }
dd { margin: 0; max-width: 46rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem 0 .4rem 2rem; text-align: right; white-space: nowrap; }
th:first-child { padding-left: 0; text-align: left; }
thead th { border-bottom: 1px solid var(--soft); color: var(--soft); font-weight: 500; }
tbody th { font-weight: 600; }
tbody tr + tr > * { border-top: 1px solid var(--rule); }
.plots { display: grid; gap: 2rem 2.5rem;
  grid-template-columns: repeat(auto-fit, minmax(min(28rem, 100%), 1fr)); }
.plots > :last-child:nth-child(odd) { max-width: 36.75rem; }
figure { margin: 0; }
figure svg { display: block; width: 100%; height: auto; font-family: inherit; }
figcaption { color: var(--soft); font-size: .875rem; line-height: 1.45; }
figure h3 { margin: 0 0 .4rem; font-size: 1rem; font-weight: 600; }
.missing { margin: 0 0 .4rem; padding: 1.25rem; border: 1px dashed var(--rule); color: var(--soft);
  overflow-wrap: anywhere; }
pre { max-width: 100%; margin: .5rem 0; padding: .75rem 1rem; overflow-x: auto;
  background: var(--shade); border: 1px solid var(--rule); border-radius: 4px; }
code, pre { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .9em; }
@media print { body { padding: 0; } figure { break-inside: avoid; } }
)css";

void check_length(const Run& run, const char* what, std::size_t got, const char* like,
                  std::size_t wanted) {
  if (got == wanted) return;
  throw ValueError("[write_report] run '" + run.name + "': " + what + " has " +
                   std::to_string(got) + " values, " + like + " has " + std::to_string(wanted));
}

void check(const Run& run) {
  const std::size_t n = run.step.size();
  check_length(run, "seconds", run.seconds.size(), "step", n);
  check_length(run, "loss", run.loss.size(), "step", n);
  for (const auto& [name, values] : {std::pair{"train_accuracy", &run.train_accuracy},
                                     std::pair{"test_accuracy", &run.test_accuracy}}) {
    if (!values->empty()) check_length(run, name, values->size(), "step", n);
  }
  check_length(run, "cosine", run.cosine.size(), "cosine_step", run.cosine_step.size());
}

// One name for each run, told apart by a number where two runs share a name.
std::vector<std::string> csv_names(const std::vector<Run>& runs) {
  std::vector<std::string> names;
  for (const Run& run : runs) {
    const std::string base = slug(run.name);
    std::string name = base + ".csv";
    for (int n = 2; std::find(names.begin(), names.end(), name) != names.end(); ++n) {
      name = base + "-" + std::to_string(n) + ".csv";
    }
    names.push_back(name);
  }
  return names;
}

struct Drawn {
  std::string svg;      // ready to stand in the page; empty where there is none
  std::string problem;  // then this says why
};

Drawn draw_plot(const Plot& plot, const fs::path& folder, ReportResult& result) {
  const std::string svg_name = plot.name + ".svg";
  // A drawing of an earlier run must not stand beside the figures of this one.
  std::error_code ignored;
  fs::remove(folder / svg_name, ignored);
  const GnuplotResult drawn = draw(folder / (plot.name + ".gp"), svg_name);
  switch (drawn.status) {
    case GnuplotResult::Status::drawn:
      return {inline_svg(read_file(folder / svg_name), plot.name + "-", plot.title), ""};
    case GnuplotResult::Status::missing: result.gnuplot_missing = true; break;
    case GnuplotResult::Status::failed:
      result.problems.push_back("plots/" + plot.name + ".gp: " + drawn.problem);
      break;
  }
  return {"", drawn.problem};
}

std::string figure_html(const Plot& plot, const Drawn& drawn) {
  std::string text = "<figure>\n<h3>" + html(plot.title) + "</h3>\n";
  if (drawn.svg.empty()) {
    text += "<p class=\"missing\">Not drawn: " + html(drawn.problem) +
            ". To draw it later, run <code>gnuplot " + html(plot.name) +
            ".gp</code> in the folder <code>plots</code>.</p>\n";
  } else {
    text += drawn.svg + "\n";
  }
  return text + "<figcaption>" + html(plot.caption) + "</figcaption>\n</figure>\n";
}

std::string fact(const char* name, const std::string& value) {
  if (value.empty()) return "";
  return std::string("<dt>") + name + "</dt><dd>" + html(value) + "</dd>\n";
}

std::string file_list(const std::vector<std::string>& names) {
  std::string text = "<p>Every value stands in ";
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += i + 1 == names.size() ? " and " : ", ";
    text += "<code>" + html(names[i]) + "</code>";
  }
  return text +
         ", beside this page. The plots were drawn from these files by the gnuplot scripts in "
         "<code>plots</code>, which can be changed and run again there.</p>\n";
}

std::string page(const ReportInfo& info, const std::vector<Run>& runs, const std::string& figures,
                 const std::vector<std::string>& names) {
  std::vector<Summary> rows;
  for (const Run& run : runs) rows.push_back(run.summary);

  std::string text = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
  text += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>" +
          html(info.title) + "</title>\n<style>" + style + "</style>\n</head>\n<body>\n<main>\n";
  text += "<h1>" + html(info.title) + "</h1>\n<dl>\n" + fact("Data", info.data) +
          fact("Model", info.model) + fact("Seed", std::to_string(info.seed)) +
          fact("dualtape", info.version) + "</dl>\n";
  text += "<h2>Results</h2>\n<div class=\"scroll\">\n" + html_table(rows) + "</div>\n";
  for (const std::string& note : info.notes) text += "<p>" + html(note) + "</p>\n";
  if (!figures.empty()) text += "<h2>Plots</h2>\n<div class=\"plots\">\n" + figures + "</div>\n";
  text += "<h2>To repeat this run</h2>\n<pre>" + html(info.command) + "</pre>\n";
  if (!names.empty()) text += file_list(names);
  return text + "</main>\n</body>\n</html>\n";
}

}  // namespace

std::string ReportResult::message() const {
  if (gnuplot_missing) {
    return "gnuplot is not installed: the CSV files and scripts are written, the plots are not";
  }
  if (problems.empty()) return "";
  std::string text = problems.front();
  if (problems.size() > 1) text += " (and " + std::to_string(problems.size() - 1) + " more)";
  return text;
}

std::string run_csv(const Run& run) {
  struct Row {
    double seconds = nothing, loss = nothing, loss_mean = nothing, train = nothing, test = nothing,
           cosine = nothing, cosine_mean = nothing;
  };
  const std::vector<double> loss_means = smoothed(run.loss);
  const std::vector<double> cosine_means = smoothed(run.cosine);
  std::map<double, Row> rows;
  for (std::size_t i = 0; i < run.step.size(); ++i) {
    Row& row = rows[run.step[i]];
    row.seconds = run.seconds[i];
    row.loss = run.loss[i];
    row.loss_mean = loss_means[i];
    if (!run.train_accuracy.empty()) row.train = run.train_accuracy[i];
    if (!run.test_accuracy.empty()) row.test = run.test_accuracy[i];
  }
  for (std::size_t i = 0; i < run.cosine_step.size(); ++i) {
    Row& row = rows[run.cosine_step[i]];
    row.cosine = run.cosine[i];
    row.cosine_mean = cosine_means[i];
  }

  std::string text =
      "step,seconds,loss,loss_smoothed,train_accuracy,test_accuracy,cosine,cosine_smoothed\n";
  for (const auto& [step, row] : rows) {
    text += csv_number(step);
    for (const double cell :
         {row.seconds, row.loss, row.loss_mean, row.train, row.test, row.cosine, row.cosine_mean}) {
      text += "," + csv_number(cell);
    }
    text += "\n";
  }
  return text;
}

ReportResult write_report(const fs::path& folder, const ReportInfo& info,
                          const std::vector<Run>& runs) {
  for (const Run& run : runs) check(run);
  prepare_folder(folder);
  const fs::path plot_folder = folder / "plots";
  prepare_folder(plot_folder);

  const std::vector<std::string> names = csv_names(runs);
  for (std::size_t r = 0; r < runs.size(); ++r) write_file(folder / names[r], run_csv(runs[r]));

  ReportResult result;
  result.page = folder / "report.html";
  std::string figures;
  for (const Plot& plot : make_plots(runs, info, names)) {
    write_file(plot_folder / (plot.name + ".gp"), plot.script);
    figures += figure_html(plot, draw_plot(plot, plot_folder, result));
  }
  write_file(result.page, page(info, runs, figures, names));
  return result;
}

}  // namespace dualtape::demo
