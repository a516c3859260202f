// Runs a loop back to front from the states it keeps.
#include <algorithm>
#include <cstring>

#include <dualtape/core/run/body.hpp>
#include <dualtape/modes/loops/schedule.hpp>
#include <dualtape/modes/loops/scheduled.hpp>

namespace dualtape::detail {
namespace {

// Values one after the other in one piece of memory.
class Places {
 public:
  void add(const Type& type) {
    places_.push_back(bytes_);
    sizes_.push_back(bytes_of(type));
    bytes_ += (bytes_of(type) + 63) / 64 * 64;
  }
  std::size_t bytes() const { return bytes_; }
  std::size_t count() const { return places_.size(); }
  std::size_t size(std::size_t i) const { return sizes_[i]; }
  std::byte* at(std::byte* begin, std::size_t i) const { return begin + places_[i]; }

 private:
  std::vector<std::size_t> places_;
  std::vector<std::size_t> sizes_;
  std::size_t bytes_ = 0;
};

class BackRunner {
 public:
  BackRunner(const BackLoop& back, const CompileOptions& options)
      : back_(back),
        states_(back.kept_states()),
        online_(states_),
        advance_(body_of(*back.advance(), options)),
        step_(body_of(*back.step(), options)),
        carried_(back.carried()),
        sliced_(back.sliced()),
        constant_(back.constant()),
        stacked_(back.stacked()) {
    const std::vector<Var>& in = back.loop.body->inputs();
    for (std::size_t i = 0; i < back.loop.carried; ++i) state_.add(in[i].type());
    for (const std::size_t i : carried_) sums_.add(in[i].type());
    for (const std::size_t i : constant_) sums_.add(in[i].type());
    free_.reserve(static_cast<std::size_t>(states_));
    programs_ = (std::max(advance_.bytes(), step_.bytes()) + 63) / 64 * 64;
  }

  std::size_t bytes() const {
    return programs_ + static_cast<std::size_t>(states_ + passing) * state_.bytes() +
           2 * sums_.bytes();
  }
  Body& advance() { return advance_; }
  Body& step() { return step_; }
  std::string note() const {
    const Loop& loop = back_.loop;
    std::string text = std::to_string(states_) + " states kept";
    if (!loop.stops)
      text += " of " + std::to_string(loop.length) + ", " + std::to_string(back_.advances()) +
              " advances";
    return text + "; a step back: " + step_.summary();
  }

  void run(const KernelArgs& args) {
    args_ = &args;
    memory_ = static_cast<std::byte*>(args.workspace);
    start_sums();
    if (back_.loop.stops)
      run_online();
    else if (back_.loop.every > 0)
      run_every();
    else
      run_offline();
    finish();
  }

 private:
  // The state that a sweep has arrived at, the one before it, and the one it goes to.
  static constexpr std::int64_t passing = 3;

  static Body body_of(const Function& f, const CompileOptions& options) {
    return {f.inputs(), f.outputs(), of_functions(options), f.where()};
  }

  std::byte* kept(std::int64_t slot) const {
    return memory_ + programs_ + static_cast<std::size_t>(slot) * state_.bytes();
  }
  std::byte* passing_by(std::int64_t step) const { return kept(states_ + step % passing); }
  std::byte* sums(bool which) const {
    return kept(states_ + passing) + (which ? sums_.bytes() : 0);
  }
  const std::byte* operand(std::size_t input) const { return args_->input<std::byte>(input); }
  std::size_t cotangent(std::size_t k) const { return back_.loop.body->inputs().size() + k; }

  void start_sums() {
    which_ = false;
    for (std::size_t k = 0; k < sums_.count(); ++k) {
      std::byte* const to = sums_.at(sums(false), k);
      if (sums_.size(k) == 0) continue;
      if (k < carried_.size())
        std::memcpy(to, operand(cotangent(k)), sums_.size(k));
      else
        std::memset(to, 0, sums_.size(k));
    }
    // Steps that are not taken leave zeros.
    for (std::size_t k = 0; k < sliced_.size(); ++k)
      if (const std::size_t bytes = bytes_of(back_.loop.operand_type(sliced_[k])); bytes > 0)
        std::memset(args_->out[carried_.size() + k], 0, bytes);
  }
  void finish() {
    for (std::size_t k = 0; k < sums_.count(); ++k) {
      const std::size_t place = k < carried_.size() ? k : k + sliced_.size();
      if (sums_.size(k) > 0)
        std::memcpy(args_->out[place], sums_.at(sums(which_), k), sums_.size(k));
    }
  }

  std::byte* start_state(std::byte* to) {
    for (std::size_t i = 0; i < state_.count(); ++i)
      if (state_.size(i) > 0) std::memcpy(state_.at(to, i), operand(i), state_.size(i));
    return to;
  }

  void read_inputs(Body& body, const std::byte* state, std::int64_t step, std::int64_t steps) {
    const Loop& loop = back_.loop;
    body.use(memory_);
    for (std::size_t i = 0; i < loop.carried; ++i)
      body.read(i, state_.at(const_cast<std::byte*>(state), i));
    for (std::size_t i = loop.carried; i < loop.body->inputs().size(); ++i)
      body.read(i, operand(i) +
                       (loop.is_sliced(i) ? part(loop.body->inputs()[i].type(), step, steps) : 0));
  }
  std::size_t part(const Type& type, std::int64_t step, std::int64_t steps) const {
    const std::int64_t slice = back_.loop.backward ? steps - 1 - step : step;
    return static_cast<std::size_t>(slice) * bytes_of(type);
  }

  // From the state before `step` to the one after it.
  void advance(const std::byte* from, std::byte* to, std::int64_t step, std::int64_t steps) {
    read_inputs(advance_, from, step, steps);
    for (std::size_t i = 0; i < state_.count(); ++i) advance_.write(i, state_.at(to, i));
    advance_.run();
  }
  // By `count` steps; the state is then in `to`, or where states pass by if that is null.
  std::byte* advance_by(std::int64_t count, std::byte* from, std::byte* to, std::int64_t step,
                        std::int64_t steps) {
    for (std::int64_t i = 0; i < count; ++i) {
      std::byte* const next = i + 1 == count && to != nullptr ? to : passing_by(i);
      advance(from, next, step + i, steps);
      from = next;
    }
    return from;
  }

  void step_back(const std::byte* state, std::int64_t step, std::int64_t steps) {
    const Loop& loop = back_.loop;
    read_inputs(step_, state, step, steps);
    std::size_t input = loop.body->inputs().size();
    for (std::size_t k = 0; k < sums_.count(); ++k) step_.read(input++, sums_.at(sums(which_), k));
    for (std::size_t k = 0; k < stacked_.size(); ++k)
      step_.read(input++, operand(cotangent(carried_.size() + k)) +
                              part(loop.body->outputs()[stacked_[k]].type(), step, steps));
    std::size_t output = 0;
    for (std::size_t k = 0; k < sums_.count(); ++k)
      step_.write(output++, sums_.at(sums(!which_), k));
    for (std::size_t k = 0; k < sliced_.size(); ++k)
      step_.write(output++, args_->output<std::byte>(carried_.size() + k) +
                                part(loop.body->inputs()[sliced_[k]].type(), step, steps));
    step_.run();
    which_ = !which_;
  }

  // Steps first ... last - 1, from the state before the first; `free_` has the memory for others.
  void back(std::byte* state, std::int64_t first, std::int64_t last, std::int64_t steps) {
    while (last - first > 1) {
      const auto states = static_cast<std::int64_t>(free_.size()) + 1;
      const std::int64_t middle = first + next_kept(last - first, states);
      if (last - middle == 1) {
        step_back(advance_by(middle - first, state, nullptr, first, steps), middle, steps);
      } else {
        const std::int64_t slot = free_.back();
        free_.pop_back();
        advance_by(middle - first, state, kept(slot), first, steps);
        back(kept(slot), middle, last, steps);
        free_.push_back(slot);
      }
      last = middle;
    }
    if (last > first) step_back(state, first, steps);
  }

  void run_offline() {
    free_.clear();
    for (std::int64_t slot = states_; --slot > 0;) free_.push_back(slot);
    back(start_state(kept(0)), 0, back_.loop.length, back_.loop.length);
  }

  // The states before steps 0, k, 2 k ... in the first memory, then all within k steps.
  void run_every() {
    const std::int64_t steps = back_.loop.length;
    const std::int64_t k = back_.loop.every;
    if (steps == 0) return;
    std::byte* state = start_state(kept(0));
    const std::int64_t parts = (steps + k - 1) / k;
    for (std::int64_t p = 1; p < parts; ++p)
      state = advance_by(k, state, kept(p), (p - 1) * k, steps);
    for (std::int64_t p = parts; p-- > 0;) {
      const std::int64_t first = p * k;
      const std::int64_t last = std::min(first + k, steps);
      const auto before = [&](std::int64_t step) {
        return kept(step == first ? p : parts + step - first - 1);
      };
      for (std::int64_t step = first; step + 1 < last; ++step)
        advance(before(step), before(step + 1), step, steps);
      for (std::int64_t step = last; step-- > first;) step_back(before(step), step, steps);
    }
  }

  // Where only running tells the number of steps: carried value 0 says whether there is another.
  void run_online() {
    OnlineStates& online = online_;
    online.start();
    std::byte* state = start_state(kept(0));
    std::byte* before = nullptr;
    std::int64_t steps = 0;
    while (steps < back_.loop.length && *reinterpret_cast<const bool*>(state_.at(state, 0))) {
      ++steps;
      if (const std::int64_t slot = online.grow(steps); slot >= 0)
        std::memcpy(kept(slot), before, state_.bytes());
      std::byte* const next = passing_by(steps);
      advance(state, next, steps - 1, steps);
      before = state;
      state = next;
    }
    if (steps == 0) return;
    step_back(before, steps - 1, steps);
    free_.clear();
    for (auto slot = static_cast<std::int64_t>(online.kept().size()); slot < states_; ++slot)
      free_.push_back(slot);
    std::int64_t last = steps - 1;
    for (std::size_t place = online.kept().size(); place-- > 0;) {
      back(kept(online.slot(place)), online.kept()[place], last, steps);
      free_.push_back(online.slot(place));
      last = online.kept()[place];
    }
  }

  BackLoop back_;
  std::int64_t states_;
  OnlineStates online_;
  Body advance_;
  Body step_;
  std::vector<std::size_t> carried_;  // moving inputs and outputs of the body
  std::vector<std::size_t> sliced_;
  std::vector<std::size_t> constant_;
  std::vector<std::size_t> stacked_;
  Places state_;
  Places sums_;  // cotangents of carried values, then of constants so far
  std::size_t programs_ = 0;
  std::vector<std::int64_t> free_;  // memory for states
  bool which_ = false;
  const KernelArgs* args_ = nullptr;
  std::byte* memory_ = nullptr;
};

}  // namespace

Kernel back_kernel(const BackLoop& back, const CompileOptions& options) {
  const auto runner = std::make_shared<BackRunner>(back, options);
  return {.run = [runner](const KernelArgs& args) { runner->run(args); },
          .workspace_bytes = runner->bytes(),
          .note = runner->note(),
          .bodies = {{runner, &runner->advance()}, {runner, &runner->step()}}};
}

}  // namespace dualtape::detail
