// Plateau: lowers the learning rate where a metric has stopped improving. The trainer's ReduceRate
// callback tells it the metric; without a trainer call observe(). One thread at a time.
//
//   dt::Plateau plateau(dt::constant_rate(0.1), {.factor = 0.5, .patience = 3});
//   ... {.schedule = plateau.schedule()} ...
//   plateau.observe(test_loss);
#pragma once

#include <cstdint>
#include <memory>

#include <dualtape/core/tensor.hpp>
#include <dualtape/models/schedules.hpp>

namespace dualtape {

struct PlateauOptions {
  double factor = 0.1;         // the rate is multiplied by it; in (0, 1)
  std::int64_t patience = 10;  // observations without improvement to tolerate
  // An improvement is at least this share of the best metric's size so far, or this much.
  double threshold = 1e-4;
  bool relative = true;
  std::int64_t cooldown = 0;  // observations after a lowering that count for nothing
  double lowest_rate = 0;
  bool larger_is_better = false;
};

// As torch.optim.lr_scheduler.ReduceLROnPlateau with eps = 0.
class Plateau {
 public:
  // ValueError for options out of range or an empty schedule.
  explicit Plateau(Schedule base, const PlateauOptions& options = {},
                   Location where = Location::current());

  // Moving copies, so that there is no Plateau without a schedule; copies lower it together.
  Plateau(const Plateau& other) = default;
  Plateau& operator=(const Plateau& other) = default;

  // max(base(step) * factor^(lowerings so far), lowest_rate), following what is observed later; it
  // may outlive the Plateau.
  Schedule schedule() const;

  // Counts a metric, NaN as no improvement. True if the factor was applied once more.
  bool observe(double metric);

  // All that is remembered: float64 (4,). restore() throws ValueError for anything else.
  Tensor state() const;
  void restore(const Tensor& state, Location where = Location::current());

 private:
  bool better(double metric) const;

  Schedule base_;
  PlateauOptions options_;
  std::shared_ptr<double> scale_;
  double best_;
  std::int64_t bad_ = 0;
  std::int64_t cooling_ = 0;
};

}  // namespace dualtape
