// Each pass is tried by Winograd's algorithm and directly, and the faster one is timed: oneDNN's
// own choice is the slow one for some shapes. Nothing is brought to another layout while it is
// timed.
#include <tests/bench/peers/hand_convolution_passes.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <unordered_map>

#include <tests/bench/huge.hpp>
#include <tests/bench/peers/dnnl_names.hpp>

namespace dualtape::bench {
namespace {

using namespace names;

class Passes {
 public:
  explicit Passes(const ConvolutionCase& one)
      : one_(one),
        arena_(std::size_t{1} << 30),
        strides_{one.stride, one.stride},
        padding_{one.padding, one.padding} {
    if (one.groups > 1)
      w_sizes_ = {one.groups, one.out / one.groups, one.in / one.groups, one.window, one.window};
  }

  void forward(std::int64_t times) {
    run(forward_, &Passes::make_forward, make_weights(one_), times);
  }
  void input_gradient(std::int64_t times) {
    run(by_input_, &Passes::make_by_input, make_weights(one_), times);
  }
  void weight_gradient(std::int64_t times) {
    run(by_weights_, &Passes::make_by_weights, make_weights(one_), times);
  }

  Agreement check() {
    run(by_input_, &Passes::make_by_input, make_weights(one_), 1);
    run(by_weights_, &Passes::make_by_weights, make_weights(one_), 1);
    run(forward_, &Passes::make_forward, make_direction(one_), 1);
    const std::vector<float> by_weights = numbers(*by_weights_, w_plain());
    return {inner_product(numbers(*by_input_, x_plain()), make_images(one_)),
            inner_product(by_weights, make_direction(one_)),
            inner_product(numbers(*forward_, y_plain()), make_cotangents(one_)),
            std::sqrt(inner_product(by_weights, by_weights))};
  }

 private:
  struct Pass {
    dnnl::primitive primitive;
    std::unordered_map<int, memory> arguments;
    memory result;
  };
  // Throws dnnl::error where the algorithm does not exist.
  using Make = Pass (Passes::*)(algorithm, const std::vector<float>&);

  memory::desc x_plain() const { return {x_sizes_, f32, Tag::nchw}; }
  memory::desc y_plain() const { return {y_sizes_, f32, Tag::nchw}; }
  memory::desc w_plain() const { return {w_sizes_, f32, one_.groups > 1 ? Tag::goihw : Tag::oihw}; }

  memory fresh(const memory::desc& desc) {
    return memory(desc, engine_, arena_.take<float>(desc.get_size() / sizeof(float) + 1));
  }
  memory filled(const memory::desc& desc, const memory::desc& plain, std::vector<float> values) {
    memory given(plain, engine_, values.data());
    memory made = fresh(desc);
    dnnl::reorder(given, made).execute(stream_, given, made);
    stream_.wait();
    return made;
  }
  std::vector<float> numbers(const Pass& pass, const memory::desc& plain) {
    std::vector<float> values(plain.get_size() / sizeof(float));
    memory result = pass.result;
    memory to(plain, engine_, values.data());
    dnnl::reorder(result, to).execute(stream_, result, to);
    stream_.wait();
    return values;
  }

  dnnl::primitive_attr attributes() const {
    dnnl::primitive_attr made;
    made.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    return made;
  }
  dnnl::convolution_forward::primitive_desc describe(algorithm how) const {
    return {{prop_kind::forward_training, how, any(x_sizes_), any(w_sizes_), any(y_sizes_),
             strides_, padding_, padding_},
            attributes(),
            engine_};
  }

  Pass make_forward(algorithm how, const std::vector<float>& weights) {
    const auto pd = describe(how);
    const memory y = fresh(pd.dst_desc());
    return {dnnl::convolution_forward(pd),
            {{DNNL_ARG_SRC, filled(pd.src_desc(), x_plain(), make_images(one_))},
             {DNNL_ARG_WEIGHTS, filled(pd.weights_desc(), w_plain(), weights)},
             {DNNL_ARG_SCRATCHPAD, fresh(pd.scratchpad_desc())},
             {DNNL_ARG_DST, y}},
            y};
  }
  Pass make_by_input(algorithm how, const std::vector<float>& weights) {
    const dnnl::convolution_backward_data::primitive_desc pd(
        {how, any(x_sizes_), any(w_sizes_), any(y_sizes_), strides_, padding_, padding_},
        attributes(), engine_, describe(how));
    const memory x = fresh(pd.diff_src_desc());
    return {dnnl::convolution_backward_data(pd),
            {{DNNL_ARG_DIFF_DST, filled(pd.diff_dst_desc(), y_plain(), make_cotangents(one_))},
             {DNNL_ARG_WEIGHTS, filled(pd.weights_desc(), w_plain(), weights)},
             {DNNL_ARG_SCRATCHPAD, fresh(pd.scratchpad_desc())},
             {DNNL_ARG_DIFF_SRC, x}},
            x};
  }
  Pass make_by_weights(algorithm how, const std::vector<float>&) {
    const dnnl::convolution_backward_weights::primitive_desc pd(
        {how, any(x_sizes_), any(w_sizes_), any(y_sizes_), strides_, padding_, padding_},
        attributes(), engine_, describe(how));
    const memory w = fresh(pd.diff_weights_desc());
    return {dnnl::convolution_backward_weights(pd),
            {{DNNL_ARG_SRC, filled(pd.src_desc(), x_plain(), make_images(one_))},
             {DNNL_ARG_DIFF_DST, filled(pd.diff_dst_desc(), y_plain(), make_cotangents(one_))},
             {DNNL_ARG_SCRATCHPAD, fresh(pd.scratchpad_desc())},
             {DNNL_ARG_DIFF_WEIGHTS, w}},
            w};
  }

  void execute(Pass& pass) {
    pass.primitive.execute(stream_, pass.arguments);
    stream_.wait();
  }
  // The faster of those there are.
  Pass best(Make make, const std::vector<float>& weights) {
    std::optional<Pass> found;
    double least = std::numeric_limits<double>::infinity();
    for (const algorithm how : {algorithm::convolution_winograd, algorithm::convolution_direct}) {
      try {
        Pass pass = (this->*make)(how, weights);
        execute(pass);
        double taken = least;
        for (int i = 0; i < 3; ++i) {
          const double start = clock_now(threads_wanted());
          execute(pass);
          taken = std::min(taken, clock_now(threads_wanted()) - start);
        }
        if (taken < least || !found) {
          least = taken;
          found = std::move(pass);
        }
      } catch (const dnnl::error& refused) {
        if (how == algorithm::convolution_direct && !found) throw;
      }
    }
    return *found;
  }
  void run(std::optional<Pass>& pass, Make make, const std::vector<float>& weights,
           std::int64_t times) {
    if (!pass) pass = best(make, weights);
    for (std::int64_t i = 0; i < times; ++i) execute(*pass);
  }

  const ConvolutionCase& one_;
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  HugeArena arena_;
  Dims x_sizes_ = one_.x_sizes();
  Dims w_sizes_ = one_.w_sizes();
  Dims y_sizes_ = one_.y_sizes();
  Dims strides_, padding_;
  std::optional<Pass> forward_, by_input_, by_weights_;
};

}  // namespace

Work hand_convolution_passes(const ConvolutionCase& one) {
  const auto passes = std::make_shared<Passes>(one);
  const auto mode = [passes](const std::string& name, void (Passes::*run)(std::int64_t)) -> Mode {
    return {name, [passes, run](std::int64_t times) { (passes.get()->*run)(times); }};
  };
  Work work;
  work.modes = {mode("forward", &Passes::forward),
                mode("weight_gradient", &Passes::weight_gradient)};
  if (!one.is_first()) work.modes.push_back(mode("input_gradient", &Passes::input_gradient));
  work.check = [&one] { return Passes(one).check(); };
  return work;
}

}  // namespace dualtape::bench
