#include <tests/modes/random_programs.hpp>

#include <algorithm>
#include <random>

#include <dualtape/dualtape.hpp>

namespace dualtape::testing {
namespace {

bool can_move(const Arg& arg) { return is_floating(arg.dtype) && !arg.make; }

// The numbers of a value, again and again, in another shape.
Var resized(Var value, const Shape& shape) {
  const std::int64_t count = value.shape().count(), wanted = shape.count();
  std::vector<std::int64_t> which;
  for (std::int64_t i = 0; i < wanted; ++i) which.push_back(i % count);
  const Tensor index = Tensor::from(which, Shape{wanted});
  return reshape(take(reshape(value, {count}), index, 0), shape);
}

// An argument that depends on a value and lies in the argument's domain: near what is drawn where
// some points are to be avoided, else anywhere.
Var argument(const Arg& arg, Key key, const std::optional<Var>& value, Graph& graph) {
  const Var drawn = graph.constant(draw(arg, key, float64));
  if (!value || !can_move(arg) || value->shape().count() == 0) return drawn;
  const Var bounded = tanh(resized(*value, arg.shape));
  if (!arg.domain.avoided.empty()) return drawn + 0.4 * arg.domain.margin * bounded;
  const double middle = (arg.domain.low + arg.domain.high) / 2;
  // Mostly what is drawn, so that matrices keep their rank.
  return 0.7 * drawn + 0.3 * (middle + 0.49 * (arg.domain.high - arg.domain.low) * bounded);
}

}  // namespace

Var RandomProgram::operator()(std::span<const Var> x) const {
  Graph& graph = x[0].graph();
  std::vector<Var> values(x.begin(), x.end());
  std::vector<bool> read(inputs + steps.size());
  for (const RandomStep& step : steps) {
    std::vector<Var> arguments;
    for (std::size_t i = 0; i < step.sample.args.size(); ++i) {
      std::optional<Var> value;
      if (step.reads[i]) {
        value = values[*step.reads[i]];
        read[*step.reads[i]] = true;
      }
      arguments.push_back(argument(step.sample.args[i], Key{step.key}.fold(i), value, graph));
    }
    Var all = graph.constant(0.0, float64);
    for (const Var& out : step.sample.build(arguments))
      if (is_floating(out.dtype()) && out.shape().count() > 0)
        all = all + resized(cast(out, float64), Shape{size});
    values.push_back(all);
  }
  Var result = 0.05 * square(x[0]);  // whatever the steps are, there is a second derivative
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!read[i]) result = result + tanh(0.1 * values[i]);
  return result;
}

std::vector<Tensor> RandomProgram::at() const {
  std::vector<Tensor> made;
  for (std::size_t i = 0; i < inputs; ++i)
    made.push_back(uniform(Key{seed}.fold("at").fold(i), Shape{size}, -1.0, 1.0, float64));
  return made;
}

std::string RandomProgram::text() const {
  std::string text = "seed " + std::to_string(seed) + "\n";
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const RandomStep& step = steps[i];
    text += "x" + std::to_string(inputs + i) + " = " + std::string(step.entry.info.name) + "(";
    for (std::size_t k = 0; k < step.reads.size(); ++k) {
      const Arg& arg = step.sample.args[k];
      text += k == 0 ? "" : ", ";
      text += step.reads[k] ? "x" + std::to_string(*step.reads[k]) : std::string("drawn");
      text += " as " + to_string(Type{arg.shape, arg.dtype});
    }
    text += ")  // " + step.sample.name + "\n";
  }
  return text;
}

RandomProgram random_program(std::uint64_t seed, std::span<const Entry> entries,
                             std::size_t steps) {
  std::mt19937_64 generator(seed);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(generator() % n); };
  RandomProgram made{.seed = seed, .steps = {}};
  const std::size_t count = 1 + below(steps);
  while (made.steps.size() < count) {
    RandomStep step{.entry = entries[below(entries.size())], .sample = {}, .reads = {}};
    const std::vector<Case> cases = step.entry.cases();
    if (cases.empty()) continue;
    step.sample = cases[below(cases.size())];
    step.key = generator();
    for (const Arg& arg : step.sample.args) {
      const std::size_t values = made.inputs + made.steps.size();
      // What was made last is read more often, so that chains become long.
      const std::size_t from =
          below(3) == 0 ? below(values) : values - 1 - below(std::min<std::size_t>(values, 2));
      step.reads.push_back(can_move(arg) && below(8) != 0 ? std::optional(from) : std::nullopt);
    }
    made.steps.push_back(std::move(step));
  }
  return made;
}

namespace {

// Without step i: what read it reads an input.
RandomProgram without_step(const RandomProgram& program, std::size_t i) {
  RandomProgram made = program;
  const std::size_t gone = made.inputs + i;
  made.steps.erase(made.steps.begin() + static_cast<std::ptrdiff_t>(i));
  for (RandomStep& step : made.steps)
    for (std::optional<std::size_t>& read : step.reads) {
      if (!read || *read < gone) continue;
      read = *read == gone ? i % made.inputs : *read - 1;
    }
  return made;
}

// One change after the other that leaves the program failing; none where there is no more.
std::optional<RandomProgram> smaller(const RandomProgram& program, const Fails& fails) {
  for (std::size_t i = program.steps.size(); i-- > 0 && program.steps.size() > 1;)
    if (RandomProgram tried = without_step(program, i); !fails(tried).empty()) return tried;
  for (std::size_t i = 0; i < program.steps.size(); ++i)
    for (std::size_t k = 0; k < program.steps[i].reads.size(); ++k) {
      if (!program.steps[i].reads[k]) continue;
      RandomProgram tried = program;
      tried.steps[i].reads[k].reset();
      if (!fails(tried).empty()) return tried;
    }
  return std::nullopt;
}

}  // namespace

RandomProgram shrunk(RandomProgram program, const Fails& fails) {
  while (std::optional<RandomProgram> less = smaller(program, fails)) program = std::move(*less);
  return program;
}

}  // namespace dualtape::testing
