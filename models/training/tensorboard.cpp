#include <dualtape/models/tensorboard.hpp>

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <system_error>

#include <dualtape/models/trainer.hpp>
#include <dualtape/models/training/event_file.hpp>
#include <dualtape/models/training/log_file.hpp>

namespace dualtape {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// TensorBoard reads every file with "tfevents" in its name, in the order of the seconds after it.
std::string file_name() {
  static std::atomic<int> count{0};
  return "events.out.tfevents." + std::to_string(static_cast<std::int64_t>(now())) + "." +
         std::to_string(::getpid()) + "." + std::to_string(count++);
}

}  // namespace

TensorBoard::TensorBoard(const std::filesystem::path& folder, std::int64_t every_steps,
                         Location here)
    : path_(folder / file_name()), every_(every_steps) {
  if (every_steps < 1)
    fail<ValueError>({.op = "TensorBoard",
                      .what = "every_steps is " + std::to_string(every_steps),
                      .where = here,
                      .help = "1 writes every step"});
  const std::string first = detail::version_event(now());
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error)
    fail<DataError>({.op = "TensorBoard",
                     .what = folder.string() + ": cannot be made: " + error.message(),
                     .where = here,
                     .help = "name a folder that may be made"});
  file_ =
      std::make_unique<detail::LogFile>("TensorBoard", path_, detail::LogFile::Begin::anew, here);
  put(first);
  flush();
}

TensorBoard::~TensorBoard() {
  try {
    flush();
  } catch (...) {
    return;  // a destructor must not throw; end() has reported what can be reported
  }
}

void TensorBoard::put(const std::string& event) {
  constexpr std::size_t most_waiting = std::size_t{1} << 16U;
  waiting_ += detail::record_of(event);
  if (waiting_.size() >= most_waiting) flush();
}

// What cannot be written waits for the next time.
void TensorBoard::flush() {
  file_->append(waiting_);
  waiting_.clear();
}

void TensorBoard::write(std::int64_t step, const std::string& tag, double value) {
  put(detail::scalar_event(now(), step, tag, static_cast<float>(value)));
}

bool TensorBoard::step(Trainer&, const StepInfo& info) {
  if (info.step % every_ != 0 && std::isfinite(info.loss)) return true;
  write(info.step, "loss", info.loss);
  write(info.step, "rate", info.rate);
  if (!std::isnan(info.cosine)) write(info.step, "cosine", info.cosine);
  return true;
}

bool TensorBoard::epoch(Trainer&, const EpochInfo& info) {
  write(info.step, "epoch loss", info.loss);
  flush();
  return true;
}

bool TensorBoard::scalar(Trainer&, const Scalar& scalar) {
  write(scalar.step, scalar.name, scalar.value);
  flush();
  return true;
}

void TensorBoard::end(Trainer&, const TrainResult&) { flush(); }

}  // namespace dualtape
