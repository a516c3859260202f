// Laws of modes on random programs of all operators. DUALTAPE_RANDOM_PROGRAMS=N takes N of them,
// where an ordinary run takes a few; a failure is printed as the smallest program that still fails.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include <dualtape/core/kinds.hpp>
#include <dualtape/core/pass.hpp>
#include <dualtape/dualtape.hpp>
#include <tests/modes/random_programs.hpp>
#include <tests/sanitizers.hpp>

namespace dt = dualtape;
using dt::testing::RandomProgram;

namespace {

using Tensors = std::vector<dt::Tensor>;

std::uint64_t programs() {
  const char* const asked =
      std::getenv("DUALTAPE_RANDOM_PROGRAMS");  // NOLINT(concurrency-mt-unsafe)
  return asked == nullptr ? (dt::testing::address_sanitizer ? 40 : 150) : std::stoull(asked);
}

// What has a derivative and is the same in every run.
std::vector<dt::Entry> differentiable() {
  std::vector<dt::Entry> found;
  for (dt::Entry& entry : dt::all_entries()) {
    // Other tests of the process register operators, some of them wrong.
    if (std::string_view(entry.info.name).starts_with("test_")) continue;
    if (entry.op == nullptr || (entry.op->kind() != dt::Kind::none && !entry.op->is_random()))
      found.push_back(std::move(entry));
  }
  return found;
}

Tensors drawn(const Tensors& like, std::uint64_t number) {
  Tensors made;
  for (const dt::Tensor& one : like)
    made.push_back(
        dt::uniform(dt::Key{number}.fold(made.size()), one.shape(), -1.0, 1.0, dt::float64));
  return made;
}
double inner(const dt::Tensor& a, const dt::Tensor& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.data<double>().size(); ++i)
    sum += a.data<double>()[i] * b.data<double>()[i];
  return sum;
}
double inner(const Tensors& a, const Tensors& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += inner(a[i], b[i]);
  return sum;
}
std::string apart(const std::string& what, double a, double b, double scale, double relative) {
  if (std::abs(a - b) <= relative * (1 + scale)) return {};
  if (std::isnan(a) && std::isnan(b)) return {};
  return what + ": " + std::to_string(a) + " against " + std::to_string(b);
}
std::string apart(const std::string& what, const Tensors& a, const Tensors& b, double relative) {
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!dt::all_close(a[i], b[i], relative, relative) && !dt::identical(a[i], b[i]))
      return what + ", result " + std::to_string(i);
  return {};
}

// <c, J v> by forward mode, by the linearization, and by reverse mode.
std::string transposes(const RandomProgram& f) {
  const Tensors x = f.at(), v = drawn(x, 1);
  const dt::Tensor c = drawn({x[0]}, 2)[0];
  const double forward = inner(c, dt::jvp(f, x, v).tangent);
  const double scale = std::abs(forward);
  const std::string one =
      apart("jvp against vjp", forward, inner(dt::vjp(f, x).pullback.all(c), v), scale, 1e-9);
  if (!one.empty()) return one;
  return apart("jvp against linearize", forward, inner(c, dt::linearize(f, x).linear(v)), scale,
               1e-9);
}

// Second derivatives along one direction, by two nestings.
std::string nestings(const RandomProgram& f) {
  const Tensors x = f.at(), v = drawn(x, 3), w = drawn(x, 4);
  const auto scalar = [&](std::span<const dt::Var> in) { return dt::sum(f(in)); };
  const auto along = [&](const Tensors& direction) {
    return [&scalar, direction](std::span<const dt::Var> in) {
      std::vector<dt::Wrt> wrt(in.begin(), in.end());
      std::vector<dt::Var> given;
      for (const dt::Tensor& one : direction) given.push_back(in[0].graph().constant(one));
      return dt::forward(scalar(in), wrt, given);
    };
  };
  const double outer = dt::jvp(along(v), x, w).tangent.item();
  const double reversed = inner(dt::vjp(along(v), x).pullback.all(dt::Tensor::scalar(1.0)), w);
  const double swapped = dt::jvp(along(w), x, v).tangent.item();
  const std::string one = apart("forward over forward against reverse over forward", outer,
                                reversed, std::abs(outer), 1e-7);
  return one.empty() ? apart("mixed second derivatives", outer, swapped, std::abs(outer), 1e-7)
                     : one;
}

// A batch against a loop, values and gradients, and a batched jvp.
std::string batches(const RandomProgram& f) {
  constexpr std::int64_t members = 3;
  Tensors all;
  for (std::size_t i = 0; i < f.inputs; ++i)
    all.push_back(dt::uniform(dt::Key{f.seed}.fold("members").fold(i),
                              {members, RandomProgram::size}, -1.0, 1.0, dt::float64));
  const auto gradient = [&](std::span<const dt::Var> in) {
    std::vector<dt::Wrt> wrt(in.begin(), in.end());
    const dt::Var loss = dt::sum(f(in));
    return dt::vjp({loss}, wrt, {dt::ones_like(loss)}, dt::Unreachable::zero).all()[0];
  };
  const auto compare = [&](const std::string& what, const dt::VarFunction& g) -> std::string {
    const dt::Tensor together = dt::eval(dt::vmap(g), all);
    for (std::int64_t m = 0; m < members; ++m) {
      Tensors one;
      for (const dt::Tensor& t : all) one.push_back(t.row(m).copy());
      const std::string why = apart(what + " of member " + std::to_string(m),
                                    {together.row(m).copy()}, {dt::eval(g, one)}, 1e-8);
      if (!why.empty()) return why;
    }
    return {};
  };
  const std::string one = compare("vmap", f);
  return one.empty() ? compare("vmap of the gradient", gradient) : one;
}

// Every pass, and none.
std::string passes(const RandomProgram& f) {
  dt::Graph graph;
  std::vector<dt::Var> in;
  std::vector<dt::Wrt> wrt;
  std::vector<dt::Feed> feeds;
  const Tensors x = f.at();
  for (const dt::Tensor& one : x) {
    in.push_back(graph.input("x" + std::to_string(in.size()), one.shape(), dt::float64));
    wrt.emplace_back(in.back());
    feeds.emplace_back(in.back(), one);
  }
  const dt::Var y = f(in), loss = dt::sum(y);
  std::vector<dt::Var> wanted{y};
  const dt::Gradients gradients =
      dt::vjp({loss}, wrt, {dt::ones_like(loss)}, dt::Unreachable::zero);
  wanted.insert(wanted.end(), gradients.all().begin(), gradients.all().end());
  std::vector<std::string> names;
  for (const dt::Pass& pass : dt::passes())
    if (pass.optional) names.emplace_back(pass.name);
  dt::Program plain = dt::compile(wanted, {}, {.without = names}), planned = dt::compile(wanted);
  const dt::Outputs a = plain.run(feeds), b = planned.run(feeds);
  Tensors left, right;
  for (const dt::Var& var : wanted) {
    left.push_back(a[var]);
    right.push_back(b[var]);
  }
  return apart("passes", left, right, 1e-9);
}

std::string all_laws(const RandomProgram& f) {
  for (const auto law : {transposes, nestings, batches, passes}) {
    try {
      if (const std::string why = law(f); !why.empty()) return why;
    } catch (const dt::Error& error) {
      return error.what();
    }
  }
  return {};
}

}  // namespace

TEST_CASE("random programs of all operators: forward, reverse, nestings, batches, passes") {
  const std::vector<dt::Entry> entries = differentiable();
  CHECK(entries.size() > 150);
  std::string failures;
  for (std::uint64_t seed = 0; seed < programs(); ++seed) {
    const RandomProgram program = dt::testing::random_program(seed, entries, 8);
    if (all_laws(program).empty()) continue;
    const RandomProgram least = dt::testing::shrunk(program, all_laws);
    failures += all_laws(least) + "\n" + least.text();
  }
  CHECK_MESSAGE(failures.empty(), failures);
}

TEST_CASE("a failing program is made as small as its fault") {
  const std::vector<dt::Entry> entries = differentiable();
  // As if exp after a sum were wrong.
  const auto fails = [](const RandomProgram& program) -> std::string {
    for (const auto& step : program.steps)
      if (step.entry.info.name == std::string_view("exp") && step.reads[0] &&
          *step.reads[0] >= program.inputs &&
          program.steps[*step.reads[0] - program.inputs].entry.info.name == std::string_view("sum"))
        return "exp of a sum";
    return {};
  };
  std::size_t tried = 0;
  std::vector<dt::Entry> few;
  for (const dt::Entry& entry : entries)
    if (const std::string_view name = entry.info.name;
        name == "exp" || name == "sum" || name == "mul" || name == "sin")
      few.push_back(entry);
  REQUIRE(few.size() == 4);
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const RandomProgram program = dt::testing::random_program(seed, few, 12);
    if (fails(program).empty()) continue;
    ++tried;
    const RandomProgram least = dt::testing::shrunk(program, fails);
    CHECK(least.steps.size() == 2);
    CHECK(fails(least) == "exp of a sum");
  }
  CHECK(tried > 10);
}
