// A progress bar for a Trainer, on terminals only: steps done of those to come, the rate, the time
// left, the loss and what was reported last. One Trainer, one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

#include <dualtape/models/callback.hpp>

namespace dualtape {

struct ProgressOptions {
  std::int64_t steps_per_epoch = 0;  // batches.per_epoch(), for runs that epochs bound; 0: unknown
  std::FILE* out = stderr;           // must outlive it
  double seconds = 0.1;              // from one drawing to the next, at least
};

// Draws only where `out` is a terminal that can move its cursor (TERM is not "dumb"); colours only
// where NO_COLOR is not set (no-color.org).
class ProgressBar final : public Callback {
 public:
  // ValueError for a negative number of steps, seconds that are negative or NaN and an `out` that
  // is null.
  explicit ProgressBar(ProgressOptions options = {}, Location where = Location::current());
  ~ProgressBar() override;
  void begin(Trainer& trainer, const StopRules& rules) override;
  bool step(Trainer& trainer, const StepInfo& info) override;
  bool scalar(Trainer& trainer, const Scalar& scalar) override;
  void end(Trainer& trainer, const TrainResult& result) override;
  std::optional<Names> reports() const override { return Names(); }

 private:
  using Clock = std::chrono::steady_clock;
  void draw(Clock::time_point now);
  void finish();

  ProgressOptions options_;
  bool shown_ = false;  // `out` is a terminal
  bool drawn_ = false;  // a line is there to be ended
  bool colours_ = false;
  std::int64_t first_ = 0;  // step of begin()
  std::int64_t done_ = 0;
  std::int64_t last_ = 0;  // step at which the run ends; 0: unknown
  double loss_ = 0;
  std::string scalar_;
  Clock::time_point start_;
  Clock::time_point drawn_at_;
};

// One line without colours, at most `width` characters: "[=====>    ]  50% 120/240 35.0/s ETA 3 s
// loss 0.1234 | test loss 0.2". `last` is 0 where the end is not known.
std::string progress_line(std::int64_t done, std::int64_t last, double steps_per_second,
                          double loss, const std::string& scalar, std::size_t width);

}  // namespace dualtape
