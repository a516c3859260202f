// Scalar functions as graph programs: what a graph of a few dozen nodes costs to run.
#include <cmath>
#include <memory>

#include <dualtape/core/program.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>

#include <tests/bench/own.hpp>

namespace dualtape::bench {
namespace {

Var beale_of(Var x, Var y) {
  const Var y2 = y * y;
  const Var y3 = y2 * y;
  return square(1.5 - x + x * y) + square(2.25 - x + x * y2) + square(2.625 - x + x * y3);
}

Var rosenbrock_of(Var x, Var y) { return square(1 - x) + 100 * square(y - square(x)); }

using Function = Var (*)(Var, Var);

class Session {
 public:
  enum class Kind : std::uint8_t { base, reverse, jvp, check };

  Session(Function function, Kind kind)
      : loss_(function(x_, y_)), program_(compile(outputs(kind))) {}

  // Another point each time.
  void run(std::int64_t times) {
    double& x = feeds_[0].value.data<double>()[0];
    for (std::int64_t i = 0; i < times; ++i) {
      x += 1e-12;
      program_.run(feeds_);
    }
  }

  std::int64_t peak_bytes() const {
    const MemoryUse use = program_.memory();
    return static_cast<std::int64_t>(use.arena_bytes + use.workspace_bytes);
  }

  Agreement check() {
    const Outputs out = program_.run(feeds_);
    const double gx = out[gradient_[0]].item();
    const double gy = out[gradient_[1]].item();
    return {out[loss_].item(), gx * point_.dx + gy * point_.dy, out[slope_].item(),
            std::hypot(gx, gy)};
  }

 private:
  std::vector<Var> outputs(Kind kind) {
    std::vector<Var> wanted{loss_};
    if (kind == Kind::reverse || kind == Kind::check) {
      gradient_ = dualtape::reverse(loss_, {x_, y_}).all();
      wanted.insert(wanted.end(), gradient_.begin(), gradient_.end());
    }
    if (kind == Kind::jvp || kind == Kind::check) {
      const Var dx = graph_.input("dx", {}, float64);
      const Var dy = graph_.input("dy", {}, float64);
      feeds_.emplace_back(dx, Tensor::scalar(point_.dx));
      feeds_.emplace_back(dy, Tensor::scalar(point_.dy));
      slope_ = forward(loss_, {x_, y_}, {dx, dy});
      wanted.push_back(slope_);
    }
    return wanted;
  }

  Point point_;
  Graph graph_;
  Var x_ = graph_.input("x", {}, float64);
  Var y_ = graph_.input("y", {}, float64);
  std::vector<Feed> feeds_{{x_, Tensor::scalar(point_.x)}, {y_, Tensor::scalar(point_.y)}};
  Var loss_;
  std::vector<Var> gradient_;
  Var slope_;
  Program program_;
};

Work work_on(Function function) {
  const auto mode = [function](const std::string& name, Session::Kind kind) -> Mode {
    const auto session = std::make_shared<Session>(function, kind);
    return {name, [session](std::int64_t times) { session->run(times); },
            [session] { return session->peak_bytes(); }};
  };
  Work work;
  work.modes = {mode("base", Session::Kind::base), mode("reverse", Session::Kind::reverse),
                mode("jvp", Session::Kind::jvp)};
  work.check = [function] { return Session(function, Session::Kind::check).check(); };
  return work;
}

}  // namespace

std::vector<Workload> scalar_workloads() {
  return {{"beale", [] { return work_on(beale_of); }},
          {"rosenbrock", [] { return work_on(rosenbrock_of); }}};
}

}  // namespace dualtape::bench
