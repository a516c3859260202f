#include "progress.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <string_view>
#include <utility>
#include <vector>

#include "common/text.hpp"

namespace dualtape::demo {
using namespace docs;  // NOLINT(google-build-using-namespace)
namespace {

constexpr double redraw_interval = 1.0 / 15;  // seconds; faster than this only flickers
constexpr std::array<std::size_t, 5> bar_widths = {40, 32, 24, 16, 8};

std::string_view environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

// The first variable that is set decides, as for setlocale. Where none is set (containers), the
// terminal is one of today's and reads UTF-8.
bool reads_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const std::string_view value = environment(name);
    if (value.empty()) continue;
    return value.find("UTF-8") != std::string_view::npos ||
           value.find("utf8") != std::string_view::npos ||
           value.find("UTF8") != std::string_view::npos ||
           value.find("utf-8") != std::string_view::npos;
  }
  return true;
}

int screen_width(const Screen& screen) {
  if (screen.width > 0) return screen.width;
  winsize size{};
  if (ioctl(fileno(screen.stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  const int columns = std::atoi(std::string(environment("COLUMNS")).c_str());
  return columns > 0 ? columns : 80;
}

double fraction(const Reading& reading) {
  if (reading.total == 0) return 0;
  return std::min(1.0, static_cast<double>(reading.step) / static_cast<double>(reading.total));
}

double rate(const Reading& reading) {
  return reading.elapsed > 0 ? static_cast<double>(reading.step) / reading.elapsed : 0;
}

std::string rate_text(const Reading& reading) {
  const double value = rate(reading);
  return fixed(value, value < 10 ? 1 : 0) + " steps/s";
}

std::string percent(double share, int digits) { return fixed(100 * share, digits) + " %"; }

std::string time_left(const Reading& reading) {
  const std::size_t left = reading.total - std::min(reading.step, reading.total);
  return pad_left(duration(static_cast<double>(left) / rate(reading)), 5) + " left";
}

std::string count(const Reading& reading) {
  const std::string done = std::to_string(reading.step);
  if (reading.total == 0) return done + (reading.step == 1 ? " step" : " steps");
  const std::string total = std::to_string(reading.total);
  return pad_left(done, total.size()) + "/" + total;
}

// Rounded down, so that 100 % is not claimed before the last step.
std::string whole_percent(const Reading& reading) {
  return pad_left(fixed(std::floor(100 * fraction(reading)), 0), 3) + " %";
}

// The fields to the right of the bar, padded so that they stay where they are as figures change.
// On a narrow screen those with the highest rank go first.
struct Field {
  std::string text;
  int rank = 0;
};

std::vector<Field> fields(const Reading& reading, const char* accuracy_name) {
  std::vector<Field> out = {{count(reading), 4}};
  if (reading.loss) out.push_back({"loss " + pad_right(figure(*reading.loss), 6), 1});
  if (reading.accuracy) {
    const std::string value = pad_right(percent(*reading.accuracy, 1), 7);
    out.push_back({std::string(accuracy_name) + " " + value, 2});
  }
  if (reading.elapsed > 0) out.push_back({rate_text(reading), 3});
  if (reading.total > 0 && reading.step > 0 && reading.elapsed > 0) {
    out.push_back({time_left(reading), 0});
  }
  return out;
}

// Fields with at most this rank, in order, two blanks before each.
std::string joined(const std::vector<Field>& fields, int highest_rank) {
  std::string text;
  for (const Field& field : fields) {
    if (field.rank <= highest_rank) text += "  " + field.text;
  }
  return text;
}

std::string bar(double share, std::size_t width, const Screen& screen) {
  static constexpr std::array<const char*, 8> eighths = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const auto units = static_cast<std::size_t>(share * static_cast<double>(width * 8));
  const std::size_t full = units / 8;
  std::string filled;
  for (std::size_t i = 0; i < full; ++i) filled += screen.blocks ? "█" : "#";
  if (screen.blocks && full < width) filled += eighths[units % 8];
  const std::size_t rest = width - columns(filled);
  const char* left = screen.blocks ? "▕" : "[";
  const char* right = screen.blocks ? "▏" : "]";
  if (screen.colour && !filled.empty()) filled = "\x1b[36m" + filled + "\x1b[0m";
  return left + filled + std::string(rest, screen.blocks ? ' ' : '.') + right;
}

}  // namespace

Screen detect_screen(std::FILE* stream) {
  Screen screen;
  screen.stream = stream;
  const std::string_view term = environment("TERM");
  screen.live = isatty(fileno(stream)) == 1 && term != "dumb";
  screen.colour = screen.live && environment("NO_COLOR").empty();
  screen.blocks = screen.live && reads_utf8();
  return screen;
}

std::string live_line(const Reading& reading, const Screen& screen, std::size_t width) {
  std::string head = reading.label;
  if (reading.total > 0) head += " " + whole_percent(reading);
  const std::size_t smallest = reading.total > 0 ? bar_widths.back() + 3 : 0;  // with its edges
  const std::vector<Field> all = fields(reading, "acc");
  for (int rank = 4; rank >= -1; --rank) {
    const std::string tail = joined(all, rank);
    const std::size_t used = columns(head) + columns(tail);
    if (used + smallest > width) continue;
    if (reading.total == 0) return head + tail;
    // A few fixed widths: the bar does not breathe when a figure gets longer.
    const auto* const fits = std::find_if(bar_widths.begin(), bar_widths.end(),
                                          [&](std::size_t bar) { return used + bar + 3 <= width; });
    return head + " " + bar(fraction(reading), *fits, screen) + tail;
  }
  return clip(head, width);
}

std::string plain_line(const Reading& reading) {
  std::string line = reading.label;
  if (reading.total > 0) line += " " + whole_percent(reading);
  return line + joined(fields(reading, "accuracy"), 4);
}

std::string final_line(const Reading& reading, const Screen& screen) {
  const bool all = reading.total == 0 || reading.step >= reading.total;
  std::string mark;
  if (screen.live) {
    mark = all ? (screen.blocks ? "✓ " : "* ") : (screen.blocks ? "– " : "- ");
    if (all && screen.colour) mark = "\x1b[32m" + mark + "\x1b[0m";
  }
  std::string line = mark + reading.label + "  " + std::to_string(reading.step);
  if (!all) line += " of " + std::to_string(reading.total);
  line += reading.step == 1 && all ? " step in " : " steps in ";
  line += duration(reading.elapsed);
  if (reading.elapsed > 0 && reading.step > 0) line += "  " + rate_text(reading);
  if (reading.loss) line += "  loss " + figure(*reading.loss);
  if (reading.accuracy) line += "  accuracy " + percent(*reading.accuracy, 1);
  return line;
}

Progress::Progress(std::string label, std::size_t total, std::size_t label_width, Screen screen,
                   Clock clock)
    : screen_(screen), clock_(std::move(clock)) {
  if (!clock_) {
    clock_ = [] {
      using namespace std::chrono;
      return duration_cast<std::chrono::duration<double>>(steady_clock::now().time_since_epoch())
          .count();
    };
  }
  reading_.label = pad_right(label, label_width);
  reading_.total = total;
  start_ = clock_();
  if (screen_.live) draw_live();
}

Progress::~Progress() {
  // Nothing may throw from here; fputs does not.
  if (!finished_ && drawn_) {
    std::fputs("\n", screen_.stream);
    std::fflush(screen_.stream);
  }
}

void Progress::update(std::size_t step, std::optional<double> loss,
                      std::optional<double> accuracy) {
  if (finished_) return;
  const double now = clock_();
  reading_.step = step;
  reading_.elapsed = now - start_;
  if (loss) reading_.loss = loss;
  if (accuracy) reading_.accuracy = accuracy;

  if (screen_.live) {
    if (now >= next_draw_) draw_live();
    return;
  }
  // The last tenth is the final line's.
  const auto tenth = static_cast<std::size_t>(fraction(reading_) * 10);
  if (reading_.total == 0 || tenth < next_tenth_ || tenth >= 10) return;
  next_tenth_ = tenth + 1;
  write(plain_line(reading_) + "\n");
}

void Progress::finish() {
  if (finished_) return;
  finished_ = true;
  reading_.elapsed = clock_() - start_;
  const std::string line = final_line(reading_, screen_);
  write(screen_.live ? "\r" + line + "\x1b[K\n" : line + "\n");
}

// One write of the whole line, the rest of the old one erased after it: nothing flickers.
void Progress::draw_live() {
  // The last column stays free: some terminals wrap as soon as it is written.
  const auto width = static_cast<std::size_t>(std::max(1, screen_width(screen_) - 1));
  write("\r" + live_line(reading_, screen_, width) + "\x1b[K");
  drawn_ = true;
  next_draw_ = clock_() + redraw_interval;
}

void Progress::write(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), screen_.stream);
  std::fflush(screen_.stream);
}

}  // namespace dualtape::demo
