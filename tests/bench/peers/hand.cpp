// The networks written by hand on a BLAS: every buffer placed ahead of time on huge pages, updates
// fused into the products, primal and tangent rows stacked so that each weight is read once. What a
// graph can hope for. The first argument chooses the library: openblas (default) or onednn.
#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <span>

#include <dualtape/core/random.hpp>

#include <tests/bench/huge.hpp>
#include <tests/bench/loops.hpp>
#include <tests/bench/nets.hpp>
#include <tests/bench/peer.hpp>

#ifdef BENCH_ONEDNN
#include <dnnl.h>

#include <tests/bench/peers/hand_convolution.hpp>
#include <tests/bench/peers/hand_convolution_passes.hpp>
#endif

namespace dualtape::bench {
namespace {

bool on_onednn = false;

// c = op(a) op(b) alpha + c beta, row-major; op(a) is m x k.
void gemm(bool ta, bool tb, std::size_t m, std::size_t n, std::size_t k, float alpha,
          const float* a, const float* b, float beta, float* c) {
  const std::size_t lda = ta ? m : k;
  const std::size_t ldb = tb ? k : n;
#ifdef BENCH_ONEDNN
  if (on_onednn) {
    const auto size = [](std::size_t x) { return static_cast<dnnl_dim_t>(x); };
    dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', size(m), size(n), size(k), alpha, a, size(lda), b,
               size(ldb), beta, c, size(n));
    return;
  }
#endif
  const auto size = [](std::size_t x) { return static_cast<int>(x); };
  cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans,
              size(m), size(n), size(k), alpha, a, size(lda), b, size(ldb), beta, c, size(n));
}

void axpy(std::size_t n, float alpha, const float* x, float* y) {
  for (std::size_t i = 0; i < n; ++i) y[i] += alpha * x[i];
}

void broadcast_rows(const float* row, std::size_t rows, std::size_t n, float* out) {
  for (std::size_t r = 0; r < rows; ++r) std::memcpy(out + r * n, row, n * sizeof(float));
}

struct Layer {
  std::size_t in = 0, out = 0;
  float *w = nullptr, *b = nullptr;         // parameters
  float *vw = nullptr, *vb = nullptr;       // a direction
  float *gw = nullptr, *gb = nullptr;       // gradients
  float *left = nullptr, *right = nullptr;  // factors of a direction of rank one
  float* h = nullptr;                       // what comes out, kept for reverse mode
};

class HandNet {
 public:
  explicit HandNet(const Net& net)
      : regression_(net.regression),
        rows_(static_cast<std::size_t>(net.batch)),
        arena_(arena_bytes(net)),
        labels_(make_labels(net)) {
    const std::vector<float> x = make_inputs(net);
    x_ = arena_.take<float>(x.size());
    std::ranges::copy(x, x_);
    const std::vector<float> y = make_targets(net);
    targets_ = arena_.take<float>(y.size());
    std::ranges::copy(y, targets_);
    const auto values = make_parameters(net);
    const auto directions = make_directions(net);
    for (std::size_t i = 0; i < net.layers(); ++i) {
      Layer layer;
      layer.in = static_cast<std::size_t>(net.sizes[i]);
      layer.out = static_cast<std::size_t>(net.sizes[i + 1]);
      const std::size_t n = layer.in * layer.out;
      for (float** weights : {&layer.w, &layer.vw, &layer.gw}) *weights = arena_.take<float>(n);
      for (float** biases : {&layer.b, &layer.vb, &layer.gb, &layer.right})
        *biases = arena_.take<float>(layer.out);
      layer.left = arena_.take<float>(layer.in);
      layer.h = arena_.take<float>(rows_ * layer.out);
      std::ranges::copy(values[2 * i], layer.w);
      std::ranges::copy(values[2 * i + 1], layer.b);
      std::ranges::copy(directions[2 * i], layer.vw);
      std::ranges::copy(directions[2 * i + 1], layer.vb);
      widest_ = std::max(widest_, layer.out);
      layers_.push_back(layer);
    }
    for (float*& buffer : ping_) buffer = arena_.take<float>(2 * rows_ * widest_);
    products_ = arena_.take<float>(rows_);
  }

  double base() {
    const float* in = x_;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      float* out = ping_[i % 2];
      affine(layers_[i], in, out);
      activate(i, out);
      in = out;
    }
    return loss(in);
  }

  double reverse() {
    const double value = forward_kept();
    for (std::size_t i = layers_.size(); i-- > 0;) {
      Layer& layer = layers_[i];
      const float* in = i == 0 ? x_ : layers_[i - 1].h;
      float* d = ping_[i % 2];
      gemm(true, false, layer.in, layer.out, rows_, 1, in, d, 0, layer.gw);
      std::fill_n(layer.gb, layer.out, 0.0F);
      for (std::size_t r = 0; r < rows_; ++r) axpy(layer.out, 1, d + r * layer.out, layer.gb);
      pass_back(i, d);
    }
    return value;
  }

  // The updates happen on the way, each within the product that would give the gradient.
  double step_reverse() {
    const double value = forward_kept();
    for (std::size_t i = layers_.size(); i-- > 0;) {
      Layer& layer = layers_[i];
      const float* in = i == 0 ? x_ : layers_[i - 1].h;
      float* d = ping_[i % 2];
      pass_back(i, d);  // reads the weights as they were
      gemm(true, false, layer.in, layer.out, rows_, -rate, in, d, 1, layer.w);
      for (std::size_t r = 0; r < rows_; ++r) axpy(layer.out, -rate, d + r * layer.out, layer.b);
    }
    return value;
  }

  double jvp(double& slope) {
    const float* in = x_;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const Layer& layer = layers_[i];
      float* out = ping_[i % 2];
      float* tangent = out + rows_ * layer.out;
      broadcast_rows(layer.b, rows_, layer.out, out);
      broadcast_rows(layer.vb, rows_, layer.out, tangent);
      // The input's tangent is zero, so the first layer has no rows of tangents.
      gemm(false, false, i == 0 ? rows_ : 2 * rows_, layer.out, layer.in, 1, in, layer.w, 1, out);
      gemm(false, false, rows_, layer.out, layer.in, 1, in, layer.vw, 1, tangent);
      activate_dual(i, out, tangent);
      in = out;
    }
    return loss_dual(in, slope);
  }

  double step_dense(bool normal) {
    const Key key{++draws_};
    std::uint64_t n = 0;
    for (const Layer& layer : layers_) {
      draw(normal, {layer.vw, layer.in * layer.out}, key.fold(n++));
      draw(normal, {layer.vb, layer.out}, key.fold(n++));
    }
    double slope = 0;
    const double value = jvp(slope);
    const float factor = -rate * static_cast<float>(slope);
    for (const Layer& layer : layers_) {
      axpy(layer.in * layer.out, factor, layer.vw, layer.w);
      axpy(layer.out, factor, layer.vb, layer.b);
    }
    return value;
  }

  // Directions left right^T: x (left right^T) is an outer product of x left and right.
  double step_rank1() {
    const Key key{++draws_};
    std::uint64_t n = 0;
    for (const Layer& layer : layers_) {
      draw(false, {layer.left, layer.in}, key.fold(n++));
      draw(false, {layer.right, layer.out}, key.fold(n++));
      draw(false, {layer.vb, layer.out}, key.fold(n++));
    }
    double slope = 0;
    const double value = jvp_rank1(slope);
    const float factor = -rate * static_cast<float>(slope);
    for (const Layer& layer : layers_) {
      cblas_sger(CblasRowMajor, static_cast<int>(layer.in), static_cast<int>(layer.out), factor,
                 layer.left, 1, layer.right, 1, layer.w, static_cast<int>(layer.out));
      axpy(layer.out, factor, layer.vb, layer.b);
    }
    return value;
  }

  // What jvp() works in: primal and tangent rows of a layer's input and of its output.
  std::int64_t jvp_bytes() const { return static_cast<std::int64_t>(4 * rows_ * widest_ * 4); }

  Agreement check() {
    Agreement found;
    jvp(found.forward_slope);
    found.loss = reverse();
    for (const Layer& layer : layers_) {
      const auto add = [&found](const float* g, const float* v, std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) {
          found.reverse_slope += static_cast<double>(g[i]) * static_cast<double>(v[i]);
          found.gradient_norm += static_cast<double>(g[i]) * static_cast<double>(g[i]);
        }
      };
      add(layer.gw, layer.vw, layer.in * layer.out);
      add(layer.gb, layer.vb, layer.out);
    }
    found.gradient_norm = std::sqrt(found.gradient_norm);
    return found;
  }

 private:
  static constexpr auto rate = static_cast<float>(learning_rate);

  static std::size_t arena_bytes(const Net& net) {
    std::size_t floats = static_cast<std::size_t>(net.batch * net.sizes.front()) + 4096;
    std::int64_t widest = 0;
    for (std::size_t i = 0; i < net.layers(); ++i) {
      const std::int64_t in = net.sizes[i];
      const std::int64_t out = net.sizes[i + 1];
      floats += static_cast<std::size_t>(3 * in * out + (6 + net.batch) * out + in) + 256;
      widest = std::max({widest, in, out});
    }
    floats += static_cast<std::size_t>(5 * net.batch * (widest + 1));
    return floats * sizeof(float);
  }

  static void draw(bool normal, std::span<float> out, Key key) {
    if (normal)
      fill_normal(out, key);
    else
      fill_rademacher(out, key);
  }

  void affine(const Layer& layer, const float* in, float* out) const {
    broadcast_rows(layer.b, rows_, layer.out, out);
    gemm(false, false, rows_, layer.out, layer.in, 1, in, layer.w, 1, out);
  }

  void activate(std::size_t i, float* z) const {
    const std::size_t n = rows_ * layers_[i].out;
    if (regression_)
      loops::sigmoid(z, n);
    else if (i + 1 < layers_.size())
      for (std::size_t j = 0; j < n; ++j) z[j] = z[j] > 0 ? z[j] : 0;
  }

  void activate_dual(std::size_t i, float* z, float* t) const {
    const std::size_t n = rows_ * layers_[i].out;
    if (regression_)
      loops::sigmoid_dual(z, t, n);
    else if (i + 1 < layers_.size())
      for (std::size_t j = 0; j < n; ++j) {
        t[j] = z[j] > 0 ? t[j] : 0;
        z[j] = z[j] > 0 ? z[j] : 0;
      }
  }

  double loss(const float* z) const {
    const std::size_t n = layers_.back().out;
    if (!regression_) return static_cast<double>(loops::cross_entropy(z, labels_.data(), rows_, n));
    float total = 0;
    for (std::size_t i = 0; i < rows_ * n; ++i)
      total += (z[i] - targets_[i]) * (z[i] - targets_[i]);
    return static_cast<double>(total) / static_cast<double>(rows_ * n);
  }

  double loss_dual(const float* z, double& slope) const {
    const std::size_t n = layers_.back().out;
    const float* t = z + rows_ * n;
    if (!regression_)
      return static_cast<double>(loops::cross_entropy_slope(z, t, labels_.data(), rows_, n, slope));
    float along = 0;
    for (std::size_t i = 0; i < rows_ * n; ++i) along += (z[i] - targets_[i]) * t[i];
    slope = 2 * static_cast<double>(along) / static_cast<double>(rows_ * n);
    return loss(z);
  }

  // The loss; its derivative by what the last layer computes before its activation is left in the
  // buffer of that layer.
  double forward_kept() {
    const float* in = x_;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      affine(layers_[i], in, layers_[i].h);
      activate(i, layers_[i].h);
      in = layers_[i].h;
    }
    const std::size_t n = layers_.back().out;
    float* d = ping_[(layers_.size() - 1) % 2];
    if (!regression_)
      return static_cast<double>(loops::cross_entropy_gradient(in, labels_.data(), d, rows_, n));
    const float share = 2.0F / static_cast<float>(rows_ * n);
    for (std::size_t i = 0; i < rows_ * n; ++i)
      d[i] = share * (in[i] - targets_[i]) * in[i] * (1 - in[i]);
    return loss(in);
  }

  // From layer i's derivative to that of the layer before, through its activation; the first
  // layer's input needs none.
  void pass_back(std::size_t i, const float* d) {
    if (i == 0) return;
    const Layer& layer = layers_[i];
    float* before = ping_[(i - 1) % 2];
    gemm(false, true, rows_, layer.in, layer.out, 1, d, layer.w, 0, before);
    const float* h = layers_[i - 1].h;
    const std::size_t n = rows_ * layer.in;
    if (regression_)
      for (std::size_t j = 0; j < n; ++j) before[j] *= h[j] * (1 - h[j]);
    else
      for (std::size_t j = 0; j < n; ++j) before[j] = h[j] > 0 ? before[j] : 0;
  }

  double jvp_rank1(double& slope) {
    const float* in = x_;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const Layer& layer = layers_[i];
      float* out = ping_[i % 2];
      float* tangent = out + rows_ * layer.out;
      cblas_sgemv(CblasRowMajor, CblasNoTrans, static_cast<int>(rows_), static_cast<int>(layer.in),
                  1, in, static_cast<int>(layer.in), layer.left, 1, 0, products_, 1);
      broadcast_rows(layer.b, rows_, layer.out, out);
      for (std::size_t r = 0; r < rows_; ++r)
        for (std::size_t c = 0; c < layer.out; ++c)
          tangent[r * layer.out + c] = products_[r] * layer.right[c] + layer.vb[c];
      gemm(false, false, i == 0 ? rows_ : 2 * rows_, layer.out, layer.in, 1, in, layer.w, 1, out);
      activate_dual(i, out, tangent);
      in = out;
    }
    return loss_dual(in, slope);
  }

  bool regression_;
  std::size_t rows_;
  std::size_t widest_ = 0;  // of what the layers compute
  HugeArena arena_;
  std::vector<std::int64_t> labels_;
  float* x_ = nullptr;
  float* targets_ = nullptr;
  std::vector<Layer> layers_;
  float* ping_[2] = {nullptr, nullptr};  // primal rows, then tangent rows
  float* products_ = nullptr;
  std::uint64_t draws_ = 0;
};

Work work_on(const Net& net) {
  const auto hand = std::make_shared<HandNet>(net);
  const auto mode = [hand](const std::string& name, auto function) -> Mode {
    return {name, [hand, function](std::int64_t times) {
              volatile double loss = 0;
              for (std::int64_t i = 0; i < times; ++i) loss = function(*hand);
              static_cast<void>(loss);
            }};
  };
  const auto jvp = [](HandNet& one) {
    double slope = 0;
    return one.jvp(slope);
  };
  Work work;
  work.modes = {mode("base", [](HandNet& one) { return one.base(); }),
                mode("reverse", [](HandNet& one) { return one.reverse(); }),
                mode("jvp", jvp),
                mode("step_reverse", [](HandNet& one) { return one.step_reverse(); }),
                mode("step_forward_dense", [](HandNet& one) { return one.step_dense(false); }),
                mode("step_forward_normal", [](HandNet& one) { return one.step_dense(true); }),
                mode("step_forward_rank1", [](HandNet& one) { return one.step_rank1(); })};
  work.modes[2].peak_bytes = [hand] { return hand->jvp_bytes(); };
  work.check = [&net] { return HandNet(net).check(); };
  return work;
}

}  // namespace
}  // namespace dualtape::bench

int main(int argc, char** argv) {
  using namespace dualtape::bench;
  std::string peer = "hand-openblas";
  if (argc > 1 && (std::string(argv[1]) == "openblas" || std::string(argv[1]) == "onednn")) {
    on_onednn = std::string(argv[1]) == "onednn";
    if (on_onednn) peer = "hand-onednn";
    --argc;
    ++argv;
  }
#ifndef BENCH_ONEDNN
  on_onednn = false;
  if (peer == "hand-onednn") return run_peer(argc, argv, peer, {});
#endif
  openblas_set_num_threads(threads_wanted());
  std::vector<Workload> workloads;
  for (const Net& net : nets()) {
    if (net.convolutions.empty()) workloads.push_back({net.name, [&net] { return work_on(net); }});
#ifdef BENCH_ONEDNN
    else if (on_onednn)
      workloads.push_back({net.name, [&net] { return hand_convolutions(net); }});
#endif
  }
#ifdef BENCH_ONEDNN
  if (on_onednn)
    for (const ConvolutionCase& one : convolution_cases())
      workloads.push_back({one.name, [&one] { return hand_convolution_passes(one); }});
#endif
  return run_peer(argc, argv, peer, workloads);
}
