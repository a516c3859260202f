#include <dualtape/core/profile.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <map>
#include <numeric>

#include <dualtape/core/base/table.hpp>
#include <dualtape/core/error.hpp>
#include <dualtape/core/files/input_file.hpp>

namespace dualtape {
namespace {

using detail::short_time;
using detail::TextTable;

std::string printed(const char* format, double number) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), format, number);
  return text.data();
}

std::string share(double part, double whole) {
  return printed("%.1f %%", whole > 0 ? 100 * part / whole : 0.0);
}
// Empty where there is no arithmetic to speak of.
std::string rate(double amount, double nanoseconds) {
  return amount > 0 && nanoseconds > 0 ? printed("%.2f", amount / nanoseconds) : "";
}

// As JSON wants it: quotes, backslashes and control characters escaped; other bytes as they are.
std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      std::array<char, 8> escaped{};
      std::snprintf(escaped.data(), escaped.size(), "\\u%04x", static_cast<unsigned>(c));
      out += escaped.data();
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string event_text(const Profile& profile, const ProfileEvent& event, std::size_t thread,
                       Location where) {
  if (event.step >= profile.steps.size())
    fail<ValueError>({.op = "trace",
                      .label = profile.name,
                      .what = "an event is of step " + std::to_string(event.step) + ", there are " +
                              std::to_string(profile.steps.size()) + " steps",
                      .where = where,
                      .help = "number steps by their place in Profile::steps"});
  const StepProfile& step = profile.steps[event.step];
  std::string out = R"({"ph":"X","pid":1,"tid":)" + std::to_string(thread);
  out += ",\"name\":" + json_string(step.op) + ",\"cat\":" + json_string(name_of(step.role));
  out += ",\"ts\":" + printed("%.3f", event.start_ns / 1000);
  out += ",\"dur\":" + printed("%.3f", event.duration_ns / 1000);
  out += ",\"args\":{\"step\":" + std::to_string(event.step) +
         ",\"shape\":" + json_string(step.type) + ",\"label\":" + json_string(step.label) +
         ",\"line\":" + json_string(step.where);
  if (!step.note.empty()) out += ",\"kernel\":" + json_string(step.note);
  out += ",\"flops\":" + printed("%.0f", step.cost.flops) +
         ",\"bytes\":" + printed("%.0f", step.cost.bytes) + "}}";
  return out;
}

// A step of a function stands behind an arrow.
std::string named(const StepProfile& step) {
  std::string text;
  for (std::uint32_t i = 0; i < step.depth; ++i) text += "> ";
  return text + step.op;
}

std::string heading(const Profile& profile) {
  Cost cost;
  std::size_t own = 0;
  for (const StepProfile& step : profile.steps) {
    if (step.depth > 0) continue;
    ++own;
    cost += step.cost;
  }
  const double run =
      profile.runs > 0 ? profile.typical_ns() / static_cast<double>(profile.runs) : 0;
  std::string text = profile.name + ": " + std::to_string(own) + " steps, " +
                     std::to_string(profile.runs) + " runs, " + short_time(profile.total_ns()) +
                     " in all, " + short_time(run) + " a run at the medians";
  if (const std::string speed = rate(cost.flops, run); !speed.empty())
    text += ", " + speed + " GFLOP/s";
  return text + '\n';
}

}  // namespace

double Profile::total_ns() const {
  return std::accumulate(steps.begin(), steps.end(), 0.0, [](double sum, const StepProfile& step) {
    return sum + (step.depth == 0 ? step.total_ns : 0);
  });
}

double Profile::typical_ns() const {
  return std::accumulate(steps.begin(), steps.end(), 0.0, [](double sum, const StepProfile& step) {
    return sum + (step.depth == 0 ? step.typical_ns() : 0);
  });
}

std::vector<OperatorProfile> Profile::operators() const {
  // What several steps spend on one function goes to the first of them.
  std::map<std::size_t, std::pair<double, double>> shared;
  for (const StepProfile& step : steps)
    if (step.shares >= 0) {
      auto& [total, typical] = shared[static_cast<std::size_t>(step.shares)];
      total += step.total_ns;
      typical += step.typical_ns();
    }
  std::map<std::string, OperatorProfile> by_name;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const StepProfile& step = steps[i];
    OperatorProfile& entry = by_name[step.op];
    entry.op = step.op;
    ++entry.steps;
    entry.calls += step.calls;
    double total = step.total_ns, typical = step.typical_ns();
    if (const auto others = shared.find(i); others != shared.end()) {
      total += others->second.first;
      typical += others->second.second;
    }
    bool runs_steps = step.shares >= 0;
    if (runs_steps) total = typical = 0;
    for (std::size_t k = i + 1; k < steps.size() && steps[k].depth > step.depth; ++k) {
      if (steps[k].depth != step.depth + 1) continue;
      runs_steps = true;
      total -= steps[k].total_ns;
      typical -= steps[k].typical_ns();
    }
    entry.total_ns += std::max(total, 0.0);
    entry.typical_ns += std::max(typical, 0.0);
    const auto calls = static_cast<double>(step.calls);
    if (!runs_steps) entry.cost += {step.cost.flops * calls, step.cost.bytes * calls};
  }
  std::vector<OperatorProfile> sorted;
  sorted.reserve(by_name.size());
  for (auto& [name_of_op, entry] : by_name) sorted.push_back(std::move(entry));
  std::ranges::stable_sort(sorted, std::ranges::greater{}, &OperatorProfile::typical_ns);
  return sorted;
}

std::string Profile::table(std::size_t most_steps) const {
  const double whole = typical_ns();
  TextTable by_operator({">share", ">time", ">steps", ">calls", ">GFLOP/s", ">GB/s", "operator"});
  for (const OperatorProfile& entry : operators())
    by_operator.row({share(entry.typical_ns, whole), short_time(entry.total_ns),
                     std::to_string(entry.steps), std::to_string(entry.calls),
                     rate(entry.cost.flops, entry.typical_ns),
                     rate(entry.cost.bytes, entry.typical_ns), entry.op});

  std::vector<const StepProfile*> slowest;
  for (const StepProfile& step : steps) slowest.push_back(&step);
  std::ranges::stable_sort(slowest, std::ranges::greater{}, &StepProfile::typical_ns);
  const std::size_t shown = std::min(most_steps, slowest.size());
  TextTable by_step({">share", ">median", ">min", ">GFLOP/s", ">GB/s", ">step", "operator", "role",
                     "type", "line", "label", "kernel"});
  for (std::size_t i = 0; i < shown; ++i) {
    const StepProfile& step = *slowest[i];
    by_step.row({share(step.typical_ns(), whole), short_time(step.median_ns),
                 short_time(step.min_ns), rate(step.cost.flops, step.median_ns),
                 rate(step.cost.bytes, step.median_ns), step.number, named(step),
                 std::string(name_of(step.role)), step.type, step.where, step.label, step.note});
  }
  std::string out = heading(*this) + by_operator.text() + '\n' + by_step.text();
  if (shown < slowest.size()) {
    double rest = 0;
    for (std::size_t i = shown; i < slowest.size(); ++i)
      if (slowest[i]->depth == 0) rest += slowest[i]->typical_ns();
    out += "and " + std::to_string(slowest.size() - shown) + " more steps, " + share(rest, whole) +
           '\n';
  }
  return out;
}

std::string Profile::trace(Location where) const { return trace_of({this, 1}, where); }

std::string trace_of(std::span<const Profile> profiles, Location where) {
  std::string out = "[";
  std::string_view between = "\n";
  for (std::size_t i = 0; i < profiles.size(); ++i) {
    out += between;
    out += R"({"ph":"M","pid":1,"tid":)" + std::to_string(i + 1) +
           R"(,"name":"thread_name","args":{"name":)" + json_string(profiles[i].name) + "}}";
    between = ",\n";
    for (const ProfileEvent& event : profiles[i].events) {
      out += between;
      out += event_text(profiles[i], event, i + 1, where);
    }
  }
  return out + "\n]\n";
}

void Profile::write_trace(const std::filesystem::path& file, Location where) const {
  const std::string text = trace(where);
  // The empty path cannot be opened.
  std::ofstream out(detail::holds_zero_byte(file) ? std::filesystem::path() : file,
                    std::ios::binary);
  out << text;
  out.close();
  if (!out)
    fail<DataError>({.op = "write_trace",
                     .what = "cannot write " + file.string(),
                     .where = where,
                     .help = "a file in a folder that exists and may be written"});
}

}  // namespace dualtape
