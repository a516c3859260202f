// Networks: the loss, its derivatives in both modes, and whole training steps.
#include <cmath>
#include <memory>
#include <optional>

#include <dualtape/core/program.hpp>
#include <dualtape/core/random.hpp>
#include <dualtape/modes/estimators.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/activations.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/convolution.hpp>
#include <dualtape/ops/losses.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/pooling.hpp>
#include <dualtape/ops/random.hpp>
#include <dualtape/ops/shapes.hpp>

#include <tests/bench/own.hpp>

namespace dualtape::bench {

namespace {

// Layers one behind the other, with the numbers that all programs start from.
class Builder {
 public:
  Builder(Graph& graph, const Net& net, Built& built)
      : net_(net), built_(built), values_(make_parameters(net)) {
    std::vector<std::int64_t> sizes = net.input_sizes();
    sizes.insert(sizes.begin(), net.batch);
    built.x = graph.input("x", Shape(sizes));
  }

  Var logits() {
    Var h = built_.x;
    for (const Convolution& c : net_.convolutions) {
      const Parameter w = next({c.out, c.in, c.window, c.window});
      const Parameter b = next({c.out});
      h = conv2d(h, w, {.padding = c.padding}) + reshape(h.graph().read(b), {c.out, 1, 1});
      h = relu(h);
      if (c.pooled) h = max_pool2d(h, 2);
    }
    if (!net_.convolutions.empty()) h = flatten(h, 1);
    for (std::size_t i = 0; i < net_.layers(); ++i) {
      const Parameter w = next({net_.sizes[i], net_.sizes[i + 1]});
      h = matmul(h, w) + next({net_.sizes[i + 1]});
      if (net_.regression)
        h = sigmoid(h);
      else if (i + 1 < net_.layers())
        h = relu(h);
    }
    return h;
  }

 private:
  const Parameter& next(const Shape& shape) {
    const std::size_t i = built_.parameters.size();
    const std::string name = (i % 2 == 0 ? "w" : "b") + std::to_string(i / 2 + 1);
    return built_.parameters.emplace_back(name, Tensor::from(values_[i], shape));
  }

  const Net& net_;
  Built& built_;
  std::vector<std::vector<float>> values_;
};

}  // namespace

Built build_net(Graph& graph, const Net& net) {
  Built built;
  const Var h = Builder(graph, net, built).logits();
  if (net.regression) {
    built.y = graph.input("y", {net.batch, net.sizes.back()});
    built.loss = mse(h, built.y);
  } else {
    built.y = graph.input("y", {net.batch}, int64);
    built.loss = cross_entropy(h, built.y);
  }
  return built;
}

namespace {

class Session {
 public:
  explicit Session(const Net& net) : net_(net), built_(build_net(graph_, net)) {
    feeds_.emplace_back(built_.x, Tensor::from(make_inputs(net), built_.x.shape()));
    feeds_.emplace_back(built_.y, net.regression
                                      ? Tensor::from(make_targets(net), built_.y.shape())
                                      : Tensor::from(make_labels(net), built_.y.shape()));
  }

  void base() { compile_all({built_.loss}); }

  void reverse() {
    std::vector<Var> outputs = dualtape::reverse(built_.loss, built_.parameters).all();
    outputs.push_back(built_.loss);
    compile_all(outputs);
  }

  void jvp() {
    feed_directions();
    compile_all({built_.loss, forward(built_.loss, built_.parameters, directions_)});
  }

  void step_reverse() {
    descend(feed_rate(), dualtape::reverse(built_.loss, built_.parameters), {});
  }

  void step_forward(const ForwardGradientOptions& options) {
    const Var rate = feed_rate();
    const ForwardGradient estimate =
        forward_gradient(built_.loss, built_.parameters, feed_key(), options);
    descend(rate, estimate.gradients, estimate.slopes);
  }

  // As many estimates of a direction each, whose sweeps have nothing but the primal in common.
  void step_by_sweeps(const ForwardGradientOptions& options, std::int64_t count) {
    const Var rate = feed_rate() * (1.0 / static_cast<double>(count));
    const Var key = feed_key();
    std::vector<Gradients> estimates;
    std::vector<Var> outputs{built_.loss};
    for (std::int64_t k = 0; k < count; ++k) {
      const ForwardGradient one =
          forward_gradient(built_.loss, built_.parameters, fold_key(key, k), options);
      estimates.push_back(one.gradients);
      outputs.push_back(one.slopes[0]);
    }
    std::vector<Assign> assigns;
    for (const Parameter& p : built_.parameters) {
      Var sum = estimates[0][p];
      for (std::size_t k = 1; k < estimates.size(); ++k) sum = sum + estimates[k][p];
      assigns.push_back(assign(p, graph_.read(p) - rate * sum));
    }
    compile_all(outputs, assigns);
  }

  // Those of one dense direction alone: rows by V, and by W but for the first layer.
  void products_of_direction() {
    std::vector<Var> products;
    feed_directions();
    for (std::size_t i = 0; i < net_.layers(); ++i) {
      const std::string number = std::to_string(i);
      const Shape rows{net_.batch, net_.sizes[i]};
      for (const bool by_weight : {false, true}) {
        if (by_weight && i == 0) continue;
        const Var x = graph_.input((by_weight ? "dx" : "x") + number, rows);
        feeds_.emplace_back(x, normal(Key{i}, rows));
        products.push_back(by_weight ? matmul(x, built_.parameters[2 * i])
                                     : matmul(x, directions_[2 * i]));
      }
    }
    compile_all(products);
  }

  void run(std::int64_t times) {
    for (std::int64_t i = 0; i < times; ++i) {
      ++key_.data<std::int64_t>()[0];
      program_->run(feeds_);
    }
  }

  std::int64_t peak_bytes() const {
    const MemoryUse use = program_->memory();
    return static_cast<std::int64_t>(use.arena_bytes + use.workspace_bytes);
  }

  Agreement check() {
    feed_directions();
    const std::vector<Var> gradients = dualtape::reverse(built_.loss, built_.parameters).all();
    const Var slope = forward(built_.loss, built_.parameters, directions_);
    std::vector<Var> outputs = gradients;
    outputs.push_back(built_.loss);
    outputs.push_back(slope);
    Program program = compile(outputs);
    const Outputs out = program.run(feeds_);
    Agreement found{out[built_.loss].item(), 0, out[slope].item(), 0};
    const std::vector<std::vector<float>> directions = make_directions(net_);
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      const auto g = out[gradients[i]].data<float>();
      for (std::size_t j = 0; j < g.size(); ++j) {
        const double value = g[j];
        found.reverse_slope += value * static_cast<double>(directions[i][j]);
        found.gradient_norm += value * value;
      }
    }
    found.gradient_norm = std::sqrt(found.gradient_norm);
    return found;
  }

 private:
  void compile_all(std::vector<Var> outputs, std::vector<Assign> assigns = {}) {
    program_.emplace(compile(std::move(outputs), std::move(assigns)));
  }

  // p <- p - rate gradient for every parameter.
  void descend(Var rate, const Gradients& gradients, std::vector<Var> outputs) {
    std::vector<Assign> assigns;
    for (const Parameter& p : built_.parameters)
      assigns.push_back(assign(p, graph_.read(p) - rate * gradients[p]));
    outputs.push_back(built_.loss);
    compile_all(outputs, assigns);
  }

  void feed_directions() {
    const std::vector<std::vector<float>> values = make_directions(net_);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const Shape& shape = built_.parameters[i].shape();
      directions_.push_back(graph_.input("v" + std::to_string(i), shape));
      feeds_.emplace_back(directions_.back(), Tensor::from(values[i], shape));
    }
  }

  Var feed_rate() {
    const Var rate = graph_.input("rate", {});
    feeds_.emplace_back(rate, Tensor(learning_rate));
    return rate;
  }

  Var feed_key() {
    const Var key = graph_.input("key", {}, int64);
    feeds_.emplace_back(key, key_);
    return key;
  }

  const Net& net_;
  Graph graph_;
  Built built_;
  std::vector<Var> directions_;
  Tensor key_ = Key{7}.to_tensor();
  std::vector<Feed> feeds_;
  std::optional<Program> program_;
};

// The session is made when it is first run.
Mode lazy(const std::string& name, const Net& net, const std::function<void(Session&)>& prepare) {
  const auto session = std::make_shared<std::unique_ptr<Session>>();
  const auto ready = [session, &net, prepare]() -> Session& {
    if (*session == nullptr) {
      *session = std::make_unique<Session>(net);
      prepare(**session);
    }
    return **session;
  };
  return {name, [ready](std::int64_t times) { ready().run(times); },
          [ready] { return ready().peak_bytes(); }};
}

Mode forward_step(const std::string& name, const Net& net, const ForwardGradientOptions& options) {
  return lazy(name, net, [options](Session& s) { s.step_forward(options); });
}

Work work_on(const Net& net) {
  Work work;
  work.modes = {lazy("base", net, &Session::base),
                lazy("reverse", net, &Session::reverse),
                lazy("jvp", net, &Session::jvp),
                lazy("step_reverse", net, &Session::step_reverse),
                forward_step("step_forward_dense", net, {.perturbation = Perturbation::rademacher}),
                forward_step("step_forward_normal", net, {}),
                forward_step("step_forward_replay", net,
                             {.perturbation = Perturbation::rademacher, .replay = true}),
                forward_step("step_forward_rank1", net,
                             {.perturbation = Perturbation::rademacher, .rank = 1})};
  if (net.name == "W2" || net.name == "W2s")
    for (const std::int64_t count : {4, 16}) {
      const std::string end = "_k" + std::to_string(count);
      work.modes.push_back(
          forward_step("step_forward_dense" + end, net,
                       {.perturbation = Perturbation::rademacher, .count = count}));
      work.modes.push_back(
          forward_step("step_forward_rank1" + end, net,
                       {.perturbation = Perturbation::rademacher, .count = count, .rank = 1}));
    }
  if (net.name == "W2" || net.name == "W2s")
    work.modes.insert(
        work.modes.end(),
        {lazy("sweeps_forward_dense_16", net,
              [](Session& s) { s.step_by_sweeps({.perturbation = Perturbation::rademacher}, 16); }),
         lazy("products_of_direction", net, &Session::products_of_direction)});
  work.check = [&net] { return Session(net).check(); };
  return work;
}

}  // namespace

std::vector<Workload> net_workloads() {
  std::vector<Workload> all;
  for (const Net& net : nets()) all.push_back({net.name, [&net] { return work_on(net); }});
  return all;
}

}  // namespace dualtape::bench
