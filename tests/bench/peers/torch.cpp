// The same workloads in libtorch's C++ interface, eagerly, each mode the fastest way its interface
// offers: gradients by autograd, directional derivatives by dual numbers, steps that update in
// place and never form a forward gradient.
#include <torch/csrc/autograd/autograd.h>
#include <torch/torch.h>

#include <ATen/ops/_make_dual.h>
#include <ATen/ops/_unpack_dual.h>

#include <cmath>
#include <cstdlib>
#include <memory>

#include <tests/bench/nets.hpp>
#include <tests/bench/peer.hpp>

namespace dualtape::bench {
namespace {

using torch::Tensor;
using Tensors = std::vector<Tensor>;

// Counts what tensors hold, as an allocator of libtorch.
class CountingAllocator final : public at::Allocator {
 public:
  at::DataPtr allocate(std::size_t bytes) const override {
    void* data = nullptr;
    if (bytes > 0 && posix_memalign(&data, 64, header + bytes) != 0) throw std::bad_alloc();
    if (data == nullptr) return {nullptr, nullptr, &release, at::Device(at::kCPU)};
    *static_cast<std::size_t*>(data) = bytes;
    held += static_cast<std::int64_t>(bytes);
    most = std::max(most, held);
    char* const usable = static_cast<char*>(data) + header;
    return {usable, usable, &release, at::Device(at::kCPU)};
  }
  at::DeleterFnPtr raw_deleter() const override { return &release; }

  static inline std::int64_t held = 0;
  static inline std::int64_t most = 0;

 private:
  static constexpr std::size_t header = 64;
  static void release(void* usable) {
    if (usable == nullptr) return;
    void* const data = static_cast<char*>(usable) - header;
    held -= static_cast<std::int64_t>(*static_cast<std::size_t*>(data));
    std::free(data);
  }
};

// The most that tensors hold during one call, beside what they held before.
std::int64_t peak_of(const std::function<void()>& call) {
  static CountingAllocator counting;
  at::Allocator* const usual = c10::GetAllocator(at::kCPU);
  c10::SetAllocator(at::kCPU, &counting, 255);
  call();
  CountingAllocator::most = CountingAllocator::held;
  const std::int64_t before = CountingAllocator::held;
  call();
  const std::int64_t most = CountingAllocator::most - before;
  c10::SetAllocator(at::kCPU, usual, 255);
  return most;
}

class Model {
 public:
  using Loss = std::function<Tensor(const Tensors&)>;

  Model(Tensors parameters, Tensors directions, Loss loss)
      : plain_(std::move(parameters)), directions_(std::move(directions)), loss_(std::move(loss)) {
    for (const Tensor& one : plain_) tracked_.push_back(one.detach().set_requires_grad(true));
  }

  double base() {
    torch::NoGradGuard no_grad;
    return loss_(plain_).item<double>();
  }

  double reverse(Tensors& gradients) {
    const Tensor loss = loss_(tracked_);
    gradients = torch::autograd::grad({loss}, tracked_);
    return loss.item<double>();
  }

  double jvp(const Tensors& along, double& slope) {
    namespace forward_ad = torch::autograd::forward_ad;
    torch::NoGradGuard no_grad;
    const auto level = forward_ad::enter_dual_level();
    double value = 0;
    {
      Tensors duals;
      for (std::size_t i = 0; i < plain_.size(); ++i)
        duals.push_back(at::_make_dual(plain_[i], along[i], static_cast<std::int64_t>(level)));
      const auto [primal, tangent] =
          at::_unpack_dual(loss_(duals), static_cast<std::int64_t>(level));
      value = primal.item<double>();
      slope = tangent.item<double>();
    }
    forward_ad::exit_dual_level(level);
    return value;
  }

  double jvp() {
    double slope = 0;
    return jvp(directions_, slope);
  }

  double step_reverse() {
    Tensors gradients;
    const double value = reverse(gradients);
    descend(gradients, learning_rate);
    return value;
  }

  double step_forward(bool normal) {
    torch::NoGradGuard no_grad;
    Tensors along;
    for (const Tensor& one : plain_)
      along.push_back(normal ? torch::randn_like(one)
                             : torch::empty_like(one).bernoulli_(0.5).mul_(2).sub_(1));
    double slope = 0;
    const double value = jvp(along, slope);
    descend(along, learning_rate * slope);
    return value;
  }

  // Without dual numbers where it has none for the operators.
  Agreement check(bool forward = true) {
    Agreement found;
    Tensors gradients;
    found.loss = reverse(gradients);
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      const Tensor g = gradients[i].to(torch::kDouble);
      found.reverse_slope += (g * directions_[i].to(torch::kDouble)).sum().item<double>();
      found.gradient_norm += (g * g).sum().item<double>();
    }
    found.gradient_norm = std::sqrt(found.gradient_norm);
    if (forward)
      jvp(directions_, found.forward_slope);
    else
      found.forward_slope = std::nan("");
    return found;
  }

 private:
  void descend(const Tensors& along, double rate) {
    torch::NoGradGuard no_grad;
    for (std::size_t i = 0; i < plain_.size(); ++i) plain_[i].add_(along[i], -rate);
  }

  Tensors plain_;    // share their memory with tracked_
  Tensors tracked_;  // whose use autograd records
  Tensors directions_;
  Loss loss_;
};

template <class T>
Tensor copy_of(const std::vector<T>& values, at::IntArrayRef shape, at::ScalarType type) {
  return torch::from_blob(const_cast<T*>(values.data()), shape, type).clone();
}

// libtorch keeps weights as (out, in).
Tensors tensors_of(const Net& net, const std::vector<std::vector<float>>& values) {
  Tensors all;
  const auto add = [&](at::IntArrayRef shape) {
    all.push_back(copy_of(values[all.size()], shape, torch::kFloat));
  };
  for (const Convolution& c : net.convolutions) {
    add({c.out, c.in, c.window, c.window});
    add({c.out});
  }
  for (std::size_t i = 0; i < net.layers(); ++i) {
    add({net.sizes[i], net.sizes[i + 1]});
    all.back() = all.back().t().contiguous();
    add({net.sizes[i + 1]});
  }
  return all;
}

Tensor logits_of(const Net& net, const Tensor& x, const Tensors& p) {
  Tensor h = x;
  std::size_t next = 0;
  for (const Convolution& c : net.convolutions) {
    h = torch::relu(torch::conv2d(h, p[next], p[next + 1], 1, c.padding));
    if (c.pooled) h = torch::max_pool2d(h, 2);
    next += 2;
  }
  if (!net.convolutions.empty()) h = torch::flatten(h, 1);
  for (std::size_t i = 0; i < net.layers(); ++i, next += 2) {
    h = torch::linear(h, p[next], p[next + 1]);
    if (net.regression)
      h = torch::sigmoid(h);
    else if (i + 1 < net.layers())
      h = torch::relu(h);
  }
  return h;
}

std::shared_ptr<Model> make_model(const Net& net) {
  std::vector<std::int64_t> sizes = net.input_sizes();
  sizes.insert(sizes.begin(), net.batch);
  const Tensor x = copy_of(make_inputs(net), sizes, torch::kFloat);
  const Tensor y = net.regression
                       ? copy_of(make_targets(net), {net.batch, net.sizes.back()}, torch::kFloat)
                       : copy_of(make_labels(net), {net.batch}, torch::kLong);
  const auto loss = [x, y, &net](const Tensors& p) {
    const Tensor h = logits_of(net, x, p);
    return net.regression ? torch::mse_loss(h, y) : torch::cross_entropy_loss(h, y);
  };
  return std::make_shared<Model>(tensors_of(net, make_parameters(net)),
                                 tensors_of(net, make_directions(net)), loss);
}

// Directions are the parameters themselves.
std::shared_ptr<Model> make_recurrent(const Recurrence& net) {
  const Tensor x = copy_of(make_sequences(net), {net.length, net.batch, net.size}, torch::kFloat);
  const Tensor start = torch::zeros({net.layers, net.batch, net.size});
  Tensors cells;
  for (const std::vector<float>& values : make_cells(net)) {
    const std::int64_t rows = 4 * net.size;
    if (static_cast<std::int64_t>(values.size()) == rows)
      cells.push_back(copy_of(values, {rows}, torch::kFloat));
    else
      cells.push_back(copy_of(values, {rows, net.size}, torch::kFloat));
  }
  const auto loss = [x, start, net](const Tensors& p) {
    const auto [out, hidden, cell] =
        at::lstm(x, {start, start}, p, true, net.layers, 0.0, true, false, false);
    return torch::square(out).mean();
  };
  Tensors along;
  for (const Tensor& one : cells) along.push_back(one.clone());
  return std::make_shared<Model>(cells, along, loss);
}

std::shared_ptr<Model> make_scalar(bool beale) {
  const Point at;
  const auto number = [](double value) { return torch::tensor(value, torch::kDouble); };
  const auto loss = [beale](const Tensors& p) -> Tensor {
    const Tensor& x = p[0];
    const Tensor& y = p[1];
    if (!beale) return torch::square(1.0 - x) + 100.0 * torch::square(y - torch::square(x));
    const Tensor y2 = y * y;
    return torch::square(1.5 - x + x * y) + torch::square(2.25 - x + x * y2) +
           torch::square(2.625 - x + x * (y2 * y));
  };
  return std::make_shared<Model>(Tensors{number(at.x), number(at.y)},
                                 Tensors{number(at.dx), number(at.dy)}, loss);
}

Work work_on(const std::shared_ptr<Model>& model) {
  const auto mode = [model](const std::string& name, auto function) -> Mode {
    return {name,
            [model, function](std::int64_t times) {
              for (std::int64_t i = 0; i < times; ++i) function(*model);
            },
            [model, function] { return peak_of([&] { function(*model); }); }};
  };
  const auto reverse = [](Model& one) {
    Tensors gradients;
    one.reverse(gradients);
  };
  Work work;
  work.modes = {mode("base", [](Model& one) { one.base(); }),
                mode("reverse", reverse),
                mode("jvp", [](Model& one) { one.jvp(); }),
                mode("step_reverse", [](Model& one) { one.step_reverse(); }),
                mode("step_forward_dense", [](Model& one) { one.step_forward(false); }),
                mode("step_forward_normal", [](Model& one) { one.step_forward(true); })};
  return work;
}

}  // namespace
}  // namespace dualtape::bench

int main(int argc, char** argv) {
  using namespace dualtape::bench;
  at::set_num_threads(threads_wanted());
  std::vector<Workload> workloads;
  const auto add = [&workloads](const std::string& name, auto make, std::size_t modes = 6) {
    workloads.push_back({name, [make, modes] {
                           Work work = work_on(make());
                           work.modes.resize(modes);  // scalar functions have no steps
                           work.check = [make] { return make()->check(); };
                           return work;
                         }});
  };
  for (const Net& net : nets()) add(net.name, [&net] { return make_model(net); });
  workloads.push_back({"lstm", [] {
                         Work work = work_on(make_recurrent({}));
                         std::erase_if(work.modes, [](const Mode& mode) {
                           return mode.name != "base" && mode.name != "step_reverse";
                         });
                         work.check = [] { return make_recurrent({})->check(false); };
                         return work;
                       }});
  add(
      "beale", [] { return make_scalar(true); }, 3);
  add(
      "rosenbrock", [] { return make_scalar(false); }, 3);
  return run_peer(argc, argv, "libtorch", workloads);
}
