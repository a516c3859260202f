#include <dualtape/core/formula.hpp>

#include <atomic>
#include <bit>
#include <charconv>
#include <limits>

#include <dualtape/core/error.hpp>

namespace dualtape {
namespace {

// In the order of the enumerators.
constexpr std::array<std::string_view, prim_count> names{
    "constant",   "input",         "neg",        "abs",       "sqrt",    "exp",      "expm1",
    "log",        "log1p",         "sin",        "cos",       "tan",     "asin",     "acos",
    "atan",       "sinh",          "cosh",       "tanh",      "asinh",   "acosh",    "atanh",
    "erf",        "erfc",          "normal_cdf", "sigmoid",   "floor",   "ceil",     "round",
    "trunc",      "add",           "sub",        "mul",       "div",     "pow",      "atan2",
    "hypot",      "exp_product",   "mod",        "minimum",   "maximum", "less",     "less_equal",
    "greater",    "greater_equal", "equal",      "not_equal", "isnan",   "isfinite", "logical_and",
    "logical_or", "logical_not",   "select"};

thread_local detail::Recorder* innermost = nullptr;

std::uint64_t next_serial() {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

std::array<std::uint16_t*, 3> operands_of(Recording::Step& step) {
  return {&step.a, &step.b, &step.c};
}

// The steps that `result` needs, each after its operands, left operands first; `result` becomes the
// last. The order does not depend on the one in which a compiler evaluates `f(x) + g(x)`.
std::vector<Recording::Step> needed_steps(const std::vector<Recording::Step>& steps,
                                          std::uint16_t result) {
  struct Visit {
    std::uint16_t step;
    std::uint8_t operand;  // the next to see to
  };
  constexpr std::size_t unplaced = std::numeric_limits<std::size_t>::max();
  std::vector<std::size_t> place(steps.size(), unplaced);
  std::vector<Recording::Step> kept;
  std::vector<Visit> path{{result, 0}};
  while (!path.empty()) {
    Visit& visit = path.back();
    Recording::Step step = steps[visit.step];
    const auto operands = operands_of(step);
    if (visit.operand < operand_count(step.prim)) {
      const std::uint16_t operand = *operands[visit.operand++];
      if (place[operand] == unplaced) path.push_back({operand, 0});
      continue;
    }
    for (std::size_t k = 0; k < operand_count(step.prim); ++k) {
      *operands[k] = static_cast<std::uint16_t>(place[*operands[k]]);
    }
    place[visit.step] = kept.size();
    kept.push_back(step);
    path.pop_back();
  }
  return kept;
}

std::string shortest(double value) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return {text.data(), end};
}

}  // namespace

std::string_view name_of(Prim prim) { return names[static_cast<std::size_t>(prim)]; }

bool operator==(const Recording::Step& x, const Recording::Step& y) {
  return x.prim == y.prim && x.a == y.a && x.b == y.b && x.c == y.c && x.mask == y.mask &&
         std::bit_cast<std::uint64_t>(x.constant) == std::bit_cast<std::uint64_t>(y.constant);
}

std::string to_string(const Recording& recording) {
  std::string text;
  for (std::size_t i = 0; i < recording.steps.size(); ++i) {
    const Recording::Step& step = recording.steps[i];
    text.append("%").append(std::to_string(i)).append(" = ").append(name_of(step.prim));
    if (step.prim == Prim::constant) text.append(" ").append(shortest(step.constant));
    if (step.prim == Prim::input) text.append(" ").append(std::to_string(step.a));
    const std::array<std::uint16_t, 3> operands{step.a, step.b, step.c};
    for (std::size_t k = 0; k < operand_count(step.prim); ++k) {
      text.append(" %").append(std::to_string(operands[k]));
    }
    text.append("\n");
  }
  return text;
}

namespace detail {

Recorder::Recorder(std::span<const InputKind> kinds) : serial_(next_serial()), outer_(innermost) {
  code_.inputs = static_cast<std::uint16_t>(kinds.size());
  code_.kinds.assign(kinds.begin(), kinds.end());
  innermost = this;
}

Recorder::~Recorder() { innermost = outer_; }

Recorder& Recorder::current() {
  if (innermost == nullptr) {
    fail<GraphError>({.op = "formula",
                      .what = "a Recorded value was used outside a recording",
                      .help = "use Recorded only inside the formula given to record()"});
  }
  return *innermost;
}

Recorder::Value Recorder::constant(double value) {
  Recording::Step step;
  step.constant = value;
  return current().add(step);
}

Recorder::Value Recorder::apply(Prim prim, bool mask, std::initializer_list<Value> operands) {
  Recorder& recorder = current();
  Recording::Step step;
  step.prim = prim;
  step.mask = mask;
  const auto slots = operands_of(step);
  std::size_t k = 0;
  for (const Value operand : operands) *slots[k++] = recorder.own(operand);
  return recorder.add(step);
}

Recorder::Value Recorder::add(const Recording::Step& step) {
  const Key key{static_cast<std::uint64_t>(step.prim), step.a, step.b, step.c,
                std::bit_cast<std::uint64_t>(step.constant)};
  if (const auto found = known_.find(key); found != known_.end()) return {serial_, found->second};
  if (code_.steps.size() > std::numeric_limits<std::uint16_t>::max()) {
    fail<GraphError>({.op = "formula",
                      .what = "the formula has more than 65536 different steps",
                      .help = "split it into several operators"});
  }
  const auto index = static_cast<std::uint16_t>(code_.steps.size());
  code_.steps.push_back(step);
  known_.emplace(key, index);
  return {serial_, index};
}

std::uint16_t Recorder::own(Value value) const {
  if (value.owner != serial_) {
    fail<GraphError>({.op = "formula",
                      .what = "a Recorded value of another recording was used",
                      .help = "do not keep Recorded values beyond the formula that made them"});
  }
  return value.step;
}

Recording Recorder::finish(const Recorded& result) const { return finish(result.value_); }
Recording Recorder::finish(const RecordedMask& result) const { return finish(result.value_); }

Recording Recorder::finish(Value result) const {
  const std::uint16_t last = own(result);
  Recording recording = code_;
  recording.mask_result = code_.steps[last].mask;
  recording.steps = needed_steps(code_.steps, last);
  return recording;
}

}  // namespace detail
}  // namespace dualtape
