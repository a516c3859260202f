#include <dualtape/models/json_log.hpp>

#include <cerrno>
#include <cmath>
#include <system_error>
#include <utility>

#include <dualtape/models/detail/json.hpp>
#include <dualtape/models/trainer.hpp>

namespace dualtape {

using detail::json_object;

namespace {

[[noreturn]] void refuse(const std::filesystem::path& path, const char* what) {
  fail<DataError>(
      {.op = "JsonLog",
       .what = path.string() + ": " + what + ": " + std::generic_category().message(errno)});
}

std::string text(std::string_view view) { return std::string(view); }

}  // namespace

JsonLog::JsonLog(std::filesystem::path path, std::int64_t every_steps)
    : path_(std::move(path)), every_(every_steps) {
  if (every_steps < 1)
    fail<ValueError>({.op = "JsonLog", .what = "every_steps is " + std::to_string(every_steps)});
  json_object({});  // throws where there is no JSON, before a file is made
  file_.reset(std::fopen(path_.c_str(), "ab"));
  if (!file_) refuse(path_, "cannot be opened");
}

double JsonLog::wall() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

void JsonLog::write(const std::string& line) {
  const std::string whole = line + '\n';
  if (std::fwrite(whole.data(), 1, whole.size(), file_.get()) != whole.size() ||
      std::fflush(file_.get()) != 0)
    refuse(path_, "cannot be written");
}

void JsonLog::begin(Trainer& trainer, const StopRules&) {
  start_ = std::chrono::steady_clock::now();
  seconds_ = 0;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  write(json_object({{"event", "begin"},
                     {"step", trainer.steps_done()},
                     {"unix_seconds", std::chrono::duration<double>(now).count()}}));
}

bool JsonLog::step(Trainer&, const StepInfo& info) {
  const double taken = info.seconds - std::exchange(seconds_, info.seconds);
  if (info.step % every_ != 0 && std::isfinite(info.loss)) return true;
  std::vector<std::pair<std::string, detail::JsonValue>> fields{
      {"event", "step"},   {"step", info.step},     {"epoch", info.epoch},   {"loss", info.loss},
      {"rate", info.rate}, {"step_seconds", taken}, {"wall_seconds", wall()}};
  if (!std::isnan(info.cosine)) fields.emplace_back("cosine", info.cosine);
  write(json_object(fields));
  return true;
}

bool JsonLog::epoch(Trainer&, const EpochInfo& info) {
  write(json_object({{"event", "epoch"},
                     {"step", info.step},
                     {"epoch", info.epoch},
                     {"loss", info.loss},
                     {"step_seconds", info.seconds},
                     {"wall_seconds", wall()}}));
  return true;
}

bool JsonLog::scalar(Trainer&, const Scalar& scalar) {
  write(json_object({{"event", "scalar"},
                     {"step", scalar.step},
                     {"epoch", scalar.epoch},
                     {"name", scalar.name},
                     {"value", scalar.value},
                     {"wall_seconds", wall()}}));
  return true;
}

void JsonLog::end(Trainer& trainer, const TrainResult& result) {
  std::vector<std::pair<std::string, detail::JsonValue>> fields{
      {"event", "end"},
      {"step", trainer.steps_done()},
      {"stop", text(name_of(result.stop))},
      {"step_seconds", result.seconds},
      {"wall_seconds", wall()}};
  if (!result.fault.empty()) fields.emplace_back("fault", result.fault);
  if (!result.stopped_by.empty()) fields.emplace_back("stopped_by", result.stopped_by);
  write(json_object(fields));
}

}  // namespace dualtape
