// Each tensor stays in the layout the primitives ask for; weights are brought to other layouts
// where a derivative wants them so. Algorithms are chosen where oneDNN's own choice is slow.
#include <tests/bench/peers/hand_convolution.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <unordered_map>

#include <tests/bench/huge.hpp>
#include <tests/bench/loops.hpp>
#include <tests/bench/peers/dnnl_names.hpp>

namespace dualtape::bench {
namespace {

using namespace names;

struct Call {
  dnnl::primitive primitive;
  std::unordered_map<int, memory> arguments;
};

// One weight or bias, as it is trained, its gradient in the same layout, and the layout of the
// numbers all programs start from.
struct Trained {
  memory value, gradient;
  memory::desc plain;
};

class ConvolutionNet {
 public:
  explicit ConvolutionNet(const Net& net)
      : net_(net),
        arena_(std::size_t{1} << 30),
        labels_(make_labels(net)),
        values_(make_parameters(net)) {
    Dims sizes = net.input_sizes();
    sizes.insert(sizes.begin(), net.batch);
    memory h = fresh({sizes, f32, Tag::nchw});
    const std::vector<float> x = make_inputs(net);
    std::ranges::copy(x, floats(h));
    for (const Convolution& c : net.convolutions) h = convolve(c, h);
    for (std::size_t i = 0; i < net.layers(); ++i) h = multiply(i, h);
    logits_ = h;
    d_logits_ = fresh(h.get_desc());
    memory d = d_logits_;
    for (auto step = backward_makers_.rbegin(); step != backward_makers_.rend(); ++step)
      d = (*step)(d);
    stream_.wait();
  }

  double base() {
    run(forward_);
    return static_cast<double>(
        loops::cross_entropy(floats(logits_), labels_.data(), rows(), classes()));
  }

  double reverse() {
    run(forward_);
    const float loss = loops::cross_entropy_gradient(floats(logits_), labels_.data(),
                                                     floats(d_logits_), rows(), classes());
    run(backward_);
    return static_cast<double>(loss);
  }

  double step_reverse() {
    const double loss = reverse();
    for (const Trained& one : trained_) {
      const std::size_t n = one.value.get_desc().get_size() / sizeof(float);
      float* w = floats(one.value);
      const float* g = floats(one.gradient);
      for (std::size_t i = 0; i < n; ++i) w[i] -= static_cast<float>(learning_rate) * g[i];
    }
    return loss;
  }

  Agreement check() {
    Agreement found;
    found.loss = reverse();
    found.forward_slope = std::numeric_limits<double>::quiet_NaN();
    const auto directions = make_directions(net_);
    for (std::size_t k = 0; k < trained_.size(); ++k) {
      memory plain(trained_[k].plain, engine_);
      dnnl::reorder(trained_[k].gradient, plain).execute(stream_, trained_[k].gradient, plain);
      stream_.wait();
      const float* g = floats(plain);
      for (std::size_t i = 0; i < directions[k].size(); ++i) {
        const auto value = static_cast<double>(g[i]);
        found.reverse_slope += value * static_cast<double>(directions[k][i]);
        found.gradient_norm += value * value;
      }
    }
    found.gradient_norm = std::sqrt(found.gradient_norm);
    return found;
  }

 private:
  using Maker = std::function<memory(memory)>;  // of the derivative by what came in

  static float* floats(const memory& m) { return static_cast<float*>(m.get_data_handle()); }
  std::size_t rows() const { return static_cast<std::size_t>(net_.batch); }
  std::size_t classes() const { return static_cast<std::size_t>(net_.sizes.back()); }

  memory fresh(const memory::desc& desc) {
    return memory(desc, engine_, arena_.take<float>(desc.get_size() / sizeof(float)));
  }

  void run(std::vector<Call>& calls) {
    for (Call& call : calls) call.primitive.execute(stream_, call.arguments);
    stream_.wait();
  }

  // m in the layout wanted, brought there in every run where it is another.
  memory to(const memory::desc& wanted, const memory& m, std::vector<Call>& calls) {
    if (m.get_desc() == wanted) return m;
    memory other = fresh(wanted);
    calls.push_back({dnnl::reorder(m, other), {{DNNL_ARG_FROM, m}, {DNNL_ARG_TO, other}}});
    return other;
  }

  // The next parameter, whose given numbers lie as `plain`, in the layout `wanted`.
  const Trained& next(const memory::desc& plain, const memory::desc& wanted) {
    Trained one{fresh(wanted), fresh(wanted), plain};
    memory given(plain, engine_, values_[trained_.size()].data());
    dnnl::reorder(given, one.value).execute(stream_, given, one.value);
    stream_.wait();
    return trained_.emplace_back(one);
  }

  static dnnl::primitive_attr with_relu() {
    dnnl::post_ops after;
    after.append_eltwise(1, algorithm::eltwise_relu, 0, 0);
    dnnl::primitive_attr attributes;
    attributes.set_post_ops(after);
    return attributes;
  }

  // The derivative in front of relu, in place, by what relu gave.
  memory through_relu(const memory& y, memory d) {
    d = to(y.get_desc(), d, backward_);
    constexpr auto kind = algorithm::eltwise_relu_use_dst_for_bwd;
    const dnnl::eltwise_forward::primitive_desc hint(
        {prop_kind::forward_training, kind, y.get_desc(), 0, 0}, engine_);
    const dnnl::eltwise_backward::primitive_desc pd({kind, y.get_desc(), y.get_desc(), 0, 0},
                                                    engine_, hint);
    backward_.push_back({dnnl::eltwise_backward(pd),
                         {{DNNL_ARG_DST, y}, {DNNL_ARG_DIFF_DST, d}, {DNNL_ARG_DIFF_SRC, d}}});
    return d;
  }

  memory convolve(const Convolution& c, memory x) {
    const Dims in = x.get_desc().dims();
    const auto side = [&](std::size_t axis) { return in[axis] + 2 * c.padding - c.window + 1; };
    const Dims out{net_.batch, c.out, side(2), side(3)};
    const Dims window{c.out, c.in, c.window, c.window};
    const Dims ones{1, 1};
    const Dims pad{c.padding, c.padding};
    // oneDNN would take Winograd's algorithm for one channel as well, where it is slow.
    const auto how = c.in == 1 ? algorithm::convolution_direct : algorithm::convolution_auto;
    const dnnl::convolution_forward::primitive_desc pd({prop_kind::forward_training,
                                                        how,
                                                        any(in),
                                                        any(window),
                                                        {{c.out}, f32, Tag::x},
                                                        any(out),
                                                        ones,
                                                        pad,
                                                        pad},
                                                       with_relu(), engine_);
    x = to(pd.src_desc(), x, forward_);
    const Trained w = next({window, f32, Tag::oihw}, pd.weights_desc());
    const Trained b = next({{c.out}, f32, Tag::x}, pd.bias_desc());
    const memory y = fresh(pd.dst_desc());
    forward_.push_back({dnnl::convolution_forward(pd),
                        {{DNNL_ARG_SRC, x},
                         {DNNL_ARG_WEIGHTS, w.value},
                         {DNNL_ARG_BIAS, b.value},
                         {DNNL_ARG_DST, y}}});
    const bool first = trained_.size() == 2;
    backward_makers_.push_back([=, this](memory d) {
      d = through_relu(y, d);
      const dnnl::convolution_backward_weights::primitive_desc by_w(
          {how, any(in), any(window), {{c.out}, f32, Tag::x}, any(out), ones, pad, pad}, engine_,
          pd);
      Call call{dnnl::convolution_backward_weights(by_w),
                {{DNNL_ARG_SRC, to(by_w.src_desc(), x, backward_)},
                 {DNNL_ARG_DIFF_DST, to(by_w.diff_dst_desc(), d, backward_)},
                 {DNNL_ARG_DIFF_BIAS, b.gradient}}};
      push_weights(std::move(call), by_w.diff_weights_desc(), w);
      if (first) return d;  // the input needs no derivative
      const dnnl::convolution_backward_data::primitive_desc by_x(
          {how, any(in), any(window), any(out), ones, pad, pad}, engine_, pd);
      const memory dx = fresh(by_x.diff_src_desc());
      const memory weights = to(by_x.weights_desc(), w.value, backward_);
      const memory dy = to(by_x.diff_dst_desc(), d, backward_);
      backward_.push_back(
          {dnnl::convolution_backward_data(by_x),
           {{DNNL_ARG_WEIGHTS, weights}, {DNNL_ARG_DIFF_DST, dy}, {DNNL_ARG_DIFF_SRC, dx}}});
      return dx;
    });
    return c.pooled ? pool(y) : y;
  }

  // Adds the call with the gradient of a weight as what it writes.
  void push_weights(Call call, const memory::desc& layout, const Trained& w) {
    const bool direct = layout == w.gradient.get_desc();
    const memory g = direct ? w.gradient : fresh(layout);
    call.arguments.emplace(DNNL_ARG_DIFF_WEIGHTS, g);
    backward_.push_back(std::move(call));
    if (!direct)
      backward_.push_back(
          {dnnl::reorder(g, w.gradient), {{DNNL_ARG_FROM, g}, {DNNL_ARG_TO, w.gradient}}});
  }

  memory pool(const memory& x) {
    const Dims in = x.get_desc().dims();
    const Dims out{in[0], in[1], in[2] / 2, in[3] / 2};
    const Dims two{2, 2};
    const Dims none{0, 0};
    const dnnl::pooling_forward::primitive_desc pd(
        {prop_kind::forward_training, algorithm::pooling_max, x.get_desc(), any(out), two, two,
         none, none},
        engine_);
    const memory y = fresh(pd.dst_desc());
    const memory kept = memory(pd.workspace_desc(), engine_);
    forward_.push_back({dnnl::pooling_forward(pd),
                        {{DNNL_ARG_SRC, x}, {DNNL_ARG_DST, y}, {DNNL_ARG_WORKSPACE, kept}}});
    backward_makers_.push_back([=, this](memory d) {
      const dnnl::pooling_backward::primitive_desc back(
          {algorithm::pooling_max, x.get_desc(), y.get_desc(), two, two, none, none}, engine_, pd);
      const memory dx = fresh(back.diff_src_desc());
      const memory dy = to(back.diff_dst_desc(), d, backward_);
      backward_.push_back(
          {dnnl::pooling_backward(back),
           {{DNNL_ARG_DIFF_DST, dy}, {DNNL_ARG_DIFF_SRC, dx}, {DNNL_ARG_WORKSPACE, kept}}});
      return dx;
    });
    return y;
  }

  memory multiply(std::size_t i, memory x) {
    const bool last = i + 1 == net_.layers();
    const Dims in = x.get_desc().dims();
    const std::int64_t outputs = net_.sizes[i + 1];
    const Dims out{net_.batch, outputs};
    Dims weights = in;
    weights[0] = outputs;
    // The given weights are (inputs, outputs), and inputs run over channels, rows and columns.
    Dims strides(in.size(), 1);
    std::int64_t stride = outputs;
    for (std::size_t axis = in.size(); axis-- > 1; stride *= in[axis]) strides[axis] = stride;
    const memory::desc bias({outputs}, f32, Tag::x);
    const memory::desc y_desc = last ? memory::desc(out, f32, Tag::ab) : any(out);
    const dnnl::inner_product_forward::primitive_desc pd(
        {prop_kind::forward_training, any(in), any(weights), bias, y_desc},
        last ? dnnl::primitive_attr() : with_relu(), engine_);
    x = to(pd.src_desc(), x, forward_);
    const Trained w = next({weights, f32, strides}, pd.weights_desc());
    const Trained b = next(bias, pd.bias_desc());
    const memory y = fresh(pd.dst_desc());
    forward_.push_back({dnnl::inner_product_forward(pd),
                        {{DNNL_ARG_SRC, x},
                         {DNNL_ARG_WEIGHTS, w.value},
                         {DNNL_ARG_BIAS, b.value},
                         {DNNL_ARG_DST, y}}});
    backward_makers_.push_back([=, this](memory d) {
      if (!last) d = through_relu(y, d);
      const dnnl::inner_product_backward_weights::primitive_desc by_w(
          {any(in), any(weights), bias, any(out)}, engine_, pd);
      Call call{dnnl::inner_product_backward_weights(by_w),
                {{DNNL_ARG_SRC, to(by_w.src_desc(), x, backward_)},
                 {DNNL_ARG_DIFF_DST, to(by_w.diff_dst_desc(), d, backward_)},
                 {DNNL_ARG_DIFF_BIAS, b.gradient}}};
      push_weights(std::move(call), by_w.diff_weights_desc(), w);
      const dnnl::inner_product_backward_data::primitive_desc by_x(
          {any(in), any(weights), any(out)}, engine_, pd);
      const memory dx = fresh(by_x.diff_src_desc());
      const memory kernel = to(by_x.weights_desc(), w.value, backward_);
      const memory dy = to(by_x.diff_dst_desc(), d, backward_);
      backward_.push_back(
          {dnnl::inner_product_backward_data(by_x),
           {{DNNL_ARG_WEIGHTS, kernel}, {DNNL_ARG_DIFF_DST, dy}, {DNNL_ARG_DIFF_SRC, dx}}});
      return dx;
    });
    return y;
  }

  const Net& net_;
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  HugeArena arena_;
  std::vector<std::int64_t> labels_;
  std::vector<std::vector<float>> values_;
  std::vector<Trained> trained_;
  std::vector<Call> forward_, backward_;
  std::vector<Maker> backward_makers_;  // run from the last
  memory logits_, d_logits_;
};

}  // namespace

Work hand_convolutions(const Net& net) {
  const auto hand = std::make_shared<ConvolutionNet>(net);
  const auto mode = [hand](const std::string& name, double (ConvolutionNet::*call)()) -> Mode {
    return {name, [hand, call](std::int64_t times) {
              volatile double loss = 0;
              for (std::int64_t i = 0; i < times; ++i) loss = (hand.get()->*call)();
              static_cast<void>(loss);
            }};
  };
  Work work;
  work.modes = {mode("base", &ConvolutionNet::base), mode("reverse", &ConvolutionNet::reverse),
                mode("step_reverse", &ConvolutionNet::step_reverse)};
  work.check = [&net] { return ConvolutionNet(net).check(); };
  return work;
}

}  // namespace dualtape::bench
