// Modes that do many things at once: directions, examples, rows of a Jacobian, applications of one
// linearization; each beside what it is made of.
#include <cstring>
#include <functional>
#include <memory>
#include <optional>

#include <dualtape/core/program.hpp>
#include <dualtape/core/random.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/jacobian.hpp>
#include <dualtape/modes/linearize.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/modes/vmap.hpp>
#include <dualtape/ops/activations.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/losses.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/shapes.hpp>

#include <tests/bench/own.hpp>

namespace dualtape::bench {
namespace {

// What is timed: a call, and the peak bytes of its program where there is one.
struct Timed {
  std::function<void()> call;
  std::function<std::int64_t()> peak_bytes = {};
};

// Made when it is first run.
Mode lazy(const std::string& name, const std::function<Timed()>& make) {
  const auto made = std::make_shared<std::optional<Timed>>();
  const auto ready = [made, make]() -> Timed& {
    if (!*made) *made = make();
    return **made;
  };
  return {name,
          [ready](std::int64_t times) {
            for (std::int64_t i = 0; i < times; ++i) ready().call();
          },
          [ready] { return ready().peak_bytes ? ready().peak_bytes() : std::int64_t{-1}; }};
}

// A graph, what it is fed and the program of it.
struct Session {
  Graph graph;
  std::vector<Feed> feeds;
  std::optional<Program> program;
};

Timed program_of(const std::function<std::vector<Var>(Session&)>& build) {
  const auto session = std::make_shared<Session>();
  session->program = compile(build(*session));
  return {[session] { session->program->run(session->feeds); },
          [session] {
            const MemoryUse use = session->program->memory();
            return static_cast<std::int64_t>(use.arena_bytes + use.workspace_bytes);
          }};
}

Tensor normal_numbers(const Shape& shape, std::uint64_t number) {
  return normal(Key{2026}.fold(number), shape);
}

// ---- the network W2s ----------------------------------------------------------------------------

const Net& small_net() { return *find_net("W2s"); }

// Its weights and biases, or directions of their shapes.
std::vector<Tensor> shaped(const std::vector<std::vector<float>>& values) {
  const Net& net = small_net();
  std::vector<Tensor> made;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::int64_t in = net.sizes[i / 2], out = net.sizes[i / 2 + 1];
    made.push_back(Tensor::from(values[i], i % 2 == 0 ? Shape{in, out} : Shape{out}));
  }
  return made;
}
Tensor images() {
  return Tensor::from(make_inputs(small_net()), {small_net().batch, small_net().sizes.front()});
}
Tensor labels() { return Tensor::from(make_labels(small_net()), {small_net().batch}); }

// The logits for a batch of images, or for one.
Var logits(Var x, std::span<const Var> parameters) {
  Var h = x;
  for (std::size_t i = 0; i < parameters.size(); i += 2) {
    if (i > 0) h = relu(h);
    h = matmul(h, parameters[i]) + parameters[i + 1];
  }
  return h;
}
Var loss(Var x, Var y, std::span<const Var> parameters) {
  return cross_entropy(logits(x, parameters), y);
}

struct Inputs {
  Var x, y;
  std::vector<Var> parameters;
};
std::vector<Var> fed(Session& session, const std::string& name, const std::vector<Tensor>& values) {
  std::vector<Var> vars;
  for (const Tensor& value : values) {
    vars.push_back(session.graph.input(name + std::to_string(vars.size()), value.shape()));
    session.feeds.emplace_back(vars.back(), value);
  }
  return vars;
}
Inputs inputs_of(Session& session) {
  Inputs in;
  const Tensor x = images(), y = labels();
  in.x = session.graph.input("x", x.shape());
  in.y = session.graph.input("y", y.shape(), int64);
  session.feeds.emplace_back(in.x, x);
  session.feeds.emplace_back(in.y, y);
  in.parameters = fed(session, "p", shaped(make_parameters(small_net())));
  return in;
}

std::vector<Var> gradient(Session& session) {
  const Inputs in = inputs_of(session);
  return reverse(loss(in.x, in.y, in.parameters), in.parameters).all();
}
// As vmap gives them to a user: the gradient is written for one image.
std::vector<Var> gradients_of_examples(Session& session) {
  const Inputs in = inputs_of(session);
  const auto of_one = [&in](Var x, Var y) {
    const Var value = loss(reshape(x, {1, -1}), reshape(y, {1}), in.parameters);
    return reverse(value, in.parameters).all();
  };
  return vmap(of_one)(in.x, in.y);
}
std::vector<Var> hvp_of_loss(Session& session) {
  const Inputs in = inputs_of(session);
  const std::vector<Var> v = fed(session, "v", shaped(make_directions(small_net())));
  const std::vector<Var> slope = reverse(loss(in.x, in.y, in.parameters), in.parameters).all();
  std::vector<Var> products;
  for (const MaybeVar& product : forward_all(slope, in.parameters, v)) products.push_back(*product);
  return products;
}

constexpr int applications = 100;

std::vector<Var> jvp_of_loss(Session& session) {
  const Inputs in = inputs_of(session);
  const std::vector<Var> v = fed(session, "v", shaped(make_directions(small_net())));
  return {forward(loss(in.x, in.y, in.parameters), in.parameters, v)};
}
Timed many_jvps() {
  const Timed one = program_of(jvp_of_loss);
  return {[one] {
    for (int i = 0; i < applications; ++i) one.call();
  }};
}
LinearMap linear_loss() {
  const auto f = [](std::span<const Var> parameters) {
    Graph& graph = parameters[0].graph();
    return loss(graph.constant(images()), graph.constant(labels()), parameters);
  };
  return linearize(f, shaped(make_parameters(small_net()))).linear;
}
Timed many_applications() {
  const auto linear = std::make_shared<LinearMap>(linear_loss());
  const std::vector<Tensor> v = shaped(make_directions(small_net()));
  return {[linear, v] {
    for (int i = 0; i < applications; ++i) (*linear)(v);
  }};
}

// As many bytes as the gradients of all examples are.
Timed copy_of_gradients() {
  std::int64_t numbers = 0;
  for (const std::vector<float>& values : make_parameters(small_net()))
    numbers += static_cast<std::int64_t>(values.size());
  const Tensor from = normal_numbers({small_net().batch, numbers}, 0);
  auto to = std::make_shared<Tensor>(from.copy());
  return {[from, to] {
    void* const target = to->data<float>().data();
    std::memcpy(target, from.data<float>().data(), from.bytes());
    asm volatile("" : : "r"(target) : "memory");
  }};
}

Work small_net_work() {
  Work work;
  work.modes = {lazy("gradient", [] { return program_of(gradient); }),
                lazy("hvp", [] { return program_of(hvp_of_loss); }),
                lazy("gradients_of_examples", [] { return program_of(gradients_of_examples); }),
                lazy("hand/copy_of_gradients", copy_of_gradients),
                lazy("jvp_100", many_jvps),
                lazy("linearize", [] { return Timed{[] { linear_loss(); }}; }),
                lazy("linearized_100", many_applications)};
  return work;
}

// ---- a Jacobian of 1000 x 10 --------------------------------------------------------------------

constexpr std::int64_t hidden = 1024, outputs = 1000, parameters = 10;
constexpr std::int64_t in_budget = 4;  // so many directions fit into jacobian_budget

std::vector<Tensor> weights() {
  return {normal_numbers({parameters, hidden}, 1), normal_numbers({hidden, hidden}, 2),
          normal_numbers({hidden, outputs}, 3)};
}
std::vector<Var> jacobian_within(Session& session, std::int64_t bytes) {
  const std::vector<Var> w = fed(session, "w", weights());
  const Var x = fed(session, "x", {normal_numbers({1, parameters}, 4)})[0];
  const Var y = matmul(tanh(matmul(tanh(matmul(x, w[0])), w[1])), w[2]);
  return {jacobian(y, x, {.bytes = bytes})};
}
// Those of so many directions alone.
std::vector<Var> products_of_jacobian(Session& session, std::int64_t directions) {
  const std::vector<Var> w = fed(session, "w", weights());
  std::vector<Var> products;
  for (std::size_t i = 0; i < w.size(); ++i) {
    const Tensor left = normal_numbers({directions, w[i].shape()[0]}, 10 * i + 5);
    products.push_back(matmul(fed(session, "r" + std::to_string(i) + ' ', {left})[0], w[i]));
  }
  return products;
}
// A run for each chunk: products of one program that share a right operand would run as one.
Timed products_in_chunks() {
  const Timed one = program_of([](Session& s) { return products_of_jacobian(s, in_budget); });
  return {[one] {
    for (std::int64_t done = 0; done < parameters; done += in_budget) one.call();
  }};
}

Work jacobian_work() {
  Work work;
  work.modes = {
      lazy("jacobian", [] { return program_of([](Session& s) { return jacobian_within(s, 0); }); }),
      lazy("jacobian_in_budget",
           [] {
             return program_of([](Session& s) { return jacobian_within(s, jacobian_budget); });
           }),
      lazy("products",
           [] {
             return program_of([](Session& s) { return products_of_jacobian(s, parameters); });
           }),
      lazy("products_in_budget", products_in_chunks)};
  return work;
}

}  // namespace

std::vector<Workload> batching_workloads() {
  return {{"W2s_modes", small_net_work}, {"jacobian_1000x10", jacobian_work}};
}

}  // namespace dualtape::bench
