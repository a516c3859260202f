#include <dualtape/models/progress.hpp>

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <string_view>

#include <dualtape/models/trainer.hpp>

namespace dualtape {
namespace {

template <class... Values>
std::string format(const char* form, Values... values) {
  std::array<char, 64> text{};
  const int size = std::snprintf(text.data(), text.size(), form, values...);
  return {text.data(), static_cast<std::size_t>(std::clamp(size, 0, 63))};
}

std::string time_text(double seconds) {
  if (!std::isfinite(seconds)) return "?";
  const auto whole = static_cast<long long>(std::min(std::ceil(seconds), 1e9));
  if (whole < 60) return format("%lld s", whole);
  if (whole < 3600) return format("%lld:%02lld", whole / 60, whole % 60);
  return format("%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string bar(double share) {
  constexpr std::size_t cells = 20;
  const auto full = static_cast<std::size_t>(share * static_cast<double>(cells));
  std::string text(full, '=');
  if (full < cells) text += '>';
  text.resize(cells, ' ');
  return "[" + text + "] " + format("%3.0f%% ", std::floor(share * 100));
}

bool can_draw(std::FILE* out) {
  const char* term = std::getenv("TERM");  // NOLINT(concurrency-mt-unsafe)
  return ::isatty(::fileno(out)) == 1 && term != nullptr && std::string_view(term) != "dumb";
}

std::size_t width_of(std::FILE* out) {
  winsize size{};
  if (::ioctl(::fileno(out), TIOCGWINSZ, &size) != 0 || size.ws_col < 20) return 79;
  return static_cast<std::size_t>(size.ws_col - 1);
}

// The step at which the rules end a run that stands at `now`; 0 if that is not known.
std::int64_t last_step(const StopRules& rules, std::int64_t now, std::int64_t epochs_begun,
                       std::int64_t per_epoch) {
  constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();
  std::int64_t last = rules.until_step;
  if (rules.steps < never - now) last = std::min(last, now + rules.steps);
  if (per_epoch > 0) {
    if (rules.epochs < never / per_epoch - now)
      last = std::min(last, now + rules.epochs * per_epoch);
    if (rules.until_epoch < never / per_epoch)
      last = std::min(
          last, now + std::max<std::int64_t>(rules.until_epoch - epochs_begun, 0) * per_epoch);
  }
  return last == never ? 0 : last;
}

}  // namespace

std::string progress_line(std::int64_t done, std::int64_t last, double steps_per_second,
                          double loss, const std::string& scalar, std::size_t width) {
  const auto steps = static_cast<double>(done);
  std::string line;
  if (last > 0)
    line = bar(std::clamp(steps / static_cast<double>(last), 0.0, 1.0)) + std::to_string(done) +
           "/" + std::to_string(last);
  else
    line = std::to_string(done) + " steps";
  line += format(steps_per_second < 10 ? " %.2f/s" : " %.1f/s", steps_per_second);
  if (last > 0)
    line += " ETA " + time_text(static_cast<double>(std::max<std::int64_t>(last - done, 0)) /
                                steps_per_second);
  line += format(" loss %.4g", loss);
  if (!scalar.empty()) line += " | " + scalar;
  return line.substr(0, width);
}

ProgressBar::ProgressBar(ProgressOptions options, Location where) : options_(options) {
  const auto require = [&](bool good, const std::string& what, const char* help) {
    if (!good) fail<ValueError>({.op = "ProgressBar", .what = what, .where = where, .help = help});
  };
  require(options.out != nullptr, "out is null", "stderr is what it draws on unless told");
  require(options.steps_per_epoch >= 0,
          "steps_per_epoch is " + std::to_string(options.steps_per_epoch),
          "give batches.per_epoch(), or 0 where it is not known");
  require(options.seconds >= 0,
          "seconds is " + std::to_string(options.seconds) + ", but must be at least 0",
          "0.1 is what it is unless told");
  shown_ = can_draw(options.out);
  const char* no_color = std::getenv("NO_COLOR");  // NOLINT(concurrency-mt-unsafe)
  colours_ = no_color == nullptr || *no_color == '\0';
}

ProgressBar::~ProgressBar() { finish(); }

void ProgressBar::begin(Trainer& trainer, const StopRules& rules) {
  first_ = done_ = trainer.steps_done(Location{});
  last_ = last_step(rules, first_, trainer.epochs_begun(Location{}), options_.steps_per_epoch);
  scalar_.clear();
  start_ = Clock::now();
  drawn_at_ = start_ - std::chrono::hours(1);
}

bool ProgressBar::step(Trainer&, const StepInfo& info) {
  done_ = info.step;
  loss_ = info.loss;
  if (!shown_) return true;
  const Clock::time_point now = Clock::now();
  if (std::chrono::duration<double>(now - drawn_at_).count() >= options_.seconds) draw(now);
  return true;
}

bool ProgressBar::scalar(Trainer&, const Scalar& scalar) {
  scalar_ = scalar.name + format(" %.4g", scalar.value);
  return true;
}

void ProgressBar::end(Trainer&, const TrainResult& result) {
  if (!shown_ || result.steps == 0) return;
  draw(Clock::now());
  finish();
}

void ProgressBar::draw(Clock::time_point now) {
  drawn_at_ = now;
  drawn_ = true;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const std::string line =
      progress_line(done_, last_, static_cast<double>(done_ - first_) / seconds, loss_, scalar_,
                    width_of(options_.out));
  const std::size_t end_of_bar = line.front() == '[' ? line.find(']') + 1 : 0;
  std::fprintf(options_.out, "\r%s%.*s%s%s\x1b[K", colours_ ? "\x1b[32m" : "",
               static_cast<int>(end_of_bar), line.c_str(), colours_ ? "\x1b[0m" : "",
               line.c_str() + end_of_bar);
  std::fflush(options_.out);
}

void ProgressBar::finish() {
  if (!drawn_) return;
  std::fputc('\n', options_.out);
  std::fflush(options_.out);
  drawn_ = false;
}

}  // namespace dualtape
