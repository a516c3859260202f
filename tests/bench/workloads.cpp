#include <tests/bench/workloads.hpp>

#include <dualtape/core/random.hpp>
#include <dualtape/modes/estimators.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/losses.hpp>

namespace dualtape::bench {
namespace {

const Key seed{2022};

std::vector<Wrt> wrt(const Mlp& model) {
  const std::vector<Parameter> parameters = model.parameters();
  return {parameters.begin(), parameters.end()};
}

// p <- p - rate * direction for every parameter.
std::vector<Assign> descend(Graph& graph, const Mlp& model, Var rate,
                            const std::vector<Var>& directions) {
  std::vector<Assign> assigns;
  std::size_t i = 0;
  for (const Parameter& p : model.parameters())
    assigns.push_back(assign(p, graph.read(p) - rate * directions[i++]));
  return assigns;
}

}  // namespace

const std::vector<Workload>& workloads() {
  static const std::vector<Workload> all{{"W1", {784, 10}},
                                         {"W2", {784, 1024, 1024, 10}},
                                         {"W2s", {784, 100, 50, 10}},
                                         {"W4", {2, 32, 1}, 100, true}};
  return all;
}

const std::vector<Mode>& modes() {
  static const std::vector<Mode> all{Mode::base,
                                     Mode::reverse,
                                     Mode::forward,
                                     Mode::step_reverse,
                                     Mode::step_forward_normal,
                                     Mode::step_forward_rademacher};
  return all;
}

std::string name_of(Mode mode) {
  switch (mode) {
    case Mode::base: return "base";
    case Mode::reverse: return "reverse";
    case Mode::forward: return "forward";
    case Mode::step_reverse: return "step_reverse";
    case Mode::step_forward_normal: return "step_forward_normal";
    case Mode::step_forward_rademacher: return "step_forward_rademacher";
  }
  return "";
}

Mlp make_model(const Workload& workload) {
  MlpOptions options;
  options.initialiser = Initialiser::Rule::torch_default;
  if (workload.regression) options.activation = options.output = Activation::sigmoid;
  return Mlp(workload.sizes, seed.fold("model"), options);
}

Built build_loss(Graph& graph, const Workload& workload, const Mlp& model) {
  Built built;
  built.x = graph.input("x", {workload.batch, workload.sizes.front()});
  if (workload.regression) {
    built.y = graph.input("y", {workload.batch, workload.sizes.back()});
    built.loss = mse(model(built.x), built.y);
  } else {
    built.y = graph.input("y", {workload.batch}, int64);
    built.loss = cross_entropy(model(built.x), built.y);
  }
  return built;
}

Session::Session(const Workload& workload, Mode mode)
    : model_(make_model(workload)),
      key_(seed.fold("directions").to_tensor()),
      program_(build(workload, mode)) {}

void Session::run() {
  ++key_.data<std::int64_t>()[0];
  program_.run(feeds_);
}

Program Session::build(const Workload& workload, Mode mode) {
  const Built built = build_loss(graph_, workload, model_);
  feed_data(workload, built);
  switch (mode) {
    case Mode::base: return compile({built.loss});
    case Mode::reverse: {
      std::vector<Var> outputs{built.loss};
      const Gradients gradients = dualtape::reverse(built.loss, wrt(model_));
      outputs.insert(outputs.end(), gradients.all().begin(), gradients.all().end());
      return compile(outputs);
    }
    case Mode::forward: return compile_forward(built);
    default: return compile_step(mode, built);
  }
}

void Session::feed_data(const Workload& workload, const Built& built) {
  feeds_.emplace_back(built.x, uniform(seed.fold("x"), built.x.shape()));
  Tensor targets(built.y.shape(), built.y.dtype());
  const Tensor draws = uniform(seed.fold("y"), built.y.shape());
  const std::int64_t classes = workload.regression ? 2 : workload.sizes.back();
  for (std::int64_t i = 0; i < targets.count(); ++i) {
    const auto target = static_cast<std::int64_t>(draws.data<float>()[static_cast<std::size_t>(i)] *
                                                  static_cast<float>(classes));
    if (workload.regression)
      targets.data<float>()[static_cast<std::size_t>(i)] = static_cast<float>(target);
    else
      targets.data<std::int64_t>()[static_cast<std::size_t>(i)] = target;
  }
  feeds_.emplace_back(built.y, targets);
}

Program Session::compile_forward(const Built& built) {
  std::vector<Var> directions;
  for (const Parameter& p : model_.parameters()) {
    directions.push_back(graph_.input("direction of " + p.name(), p.shape()));
    feeds_.emplace_back(directions.back(), normal(seed.fold(p.name()), p.shape()));
  }
  return compile({built.loss, dualtape::forward(built.loss, wrt(model_), directions)});
}

Program Session::compile_step(Mode mode, const Built& built) {
  // So small that timing for minutes leaves the network as it is.
  const Var lr = graph_.input("lr", {});
  feeds_.emplace_back(lr, Tensor(1e-6));
  if (mode == Mode::step_reverse) {
    const Gradients gradients = dualtape::reverse(built.loss, wrt(model_));
    return compile({built.loss}, descend(graph_, model_, lr, gradients.all()));
  }
  const Var key = graph_.input("key", {}, int64);
  feeds_.emplace_back(key, key_);
  const auto kind =
      mode == Mode::step_forward_normal ? Perturbation::normal : Perturbation::rademacher;
  const std::vector<Var> directions = draw_direction(wrt(model_), key, kind);
  const Var slope = dualtape::forward(built.loss, wrt(model_), directions);
  return compile({built.loss, slope}, descend(graph_, model_, lr * slope, directions));
}

}  // namespace dualtape::bench
