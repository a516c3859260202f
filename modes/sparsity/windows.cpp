// Rules of sparsity for convolutions and pooling, where values do not tell more.
#include <algorithm>
#include <string_view>
#include <utility>

#include <dualtape/modes/sparsity/call.hpp>
#include <dualtape/ops/declare/convolution_shapes.hpp>
#include <dualtape/ops/kernels/pooling/pool.hpp>

namespace dualtape::detail {
namespace {

using Id = ElementSets::Id;

std::size_t place(std::int64_t i) { return static_cast<std::size_t>(i); }

// Sets that are collected by place and united at the end.
class Collected {
 public:
  explicit Collected(std::int64_t count) : lists_(place(count)) {}
  void add(std::int64_t to, Id id) {
    if (id != ElementSets::none) lists_[place(to)].push_back(id);
  }
  SetIds united(ElementSets& sets) const {
    SetIds made;
    for (const auto& list : lists_) made.push_back(sets.unite(list));
    return made;
  }

 private:
  std::vector<std::vector<Id>> lists_;
};

// ---- convolutions -------------------------------------------------------------------------------

// A convolution multiplies an element of x with one of w into one of y. Channels of a group meet
// each other alike, so that they are united first.
class Convolved {
 public:
  Convolved(const SparsityCall& call, const ConvShape& shape) : call_(call), s_(shape) {}

  // f(pixel of x, pixel of y, tap) for each that meet.
  template <class F>
  void each(F f) const {
    for (std::int64_t oy = 0; oy < s_.rows.out; ++oy)
      for (std::int64_t ky = 0; ky < s_.rows.kernel; ++ky) {
        const std::int64_t iy = oy * s_.rows.stride - s_.rows.before + ky * s_.rows.dilation;
        if (iy < 0 || iy >= s_.rows.in) continue;
        for (std::int64_t ox = 0; ox < s_.columns.out; ++ox)
          for (std::int64_t kx = 0; kx < s_.columns.kernel; ++kx) {
            const std::int64_t ix =
                ox * s_.columns.stride - s_.columns.before + kx * s_.columns.dilation;
            if (ix < 0 || ix >= s_.columns.in) continue;
            f(iy * s_.columns.in + ix, oy * s_.columns.out + ox, ky * s_.columns.kernel + kx);
          }
      }
  }

  // Images with their channels united: (batch, group, pixel) of (batch, channel, pixel).
  SetIds by_group(std::size_t operand, std::int64_t channels, std::int64_t plane) const {
    SetIds made;
    const std::int64_t in_group = channels / s_.groups;
    std::vector<Id> ids(place(in_group));
    for (std::int64_t n = 0; n < s_.batch * s_.groups; ++n)
      for (std::int64_t p = 0; p < plane; ++p) {
        for (std::int64_t c = 0; c < in_group; ++c)
          ids[place(c)] = call_.ids(operand)[place((n * in_group + c) * plane + p)];
        made.push_back(call_.sets.unite(ids));
      }
    return made;
  }
  // And back to all channels of a group.
  SetIds to_channels(const SetIds& groups, std::int64_t channels, std::int64_t plane) const {
    SetIds made;
    for (std::int64_t n = 0; n < s_.batch * s_.groups; ++n)
      for (std::int64_t c = 0; c < channels / s_.groups; ++c)
        for (std::int64_t p = 0; p < plane; ++p) made.push_back(groups[place(n * plane + p)]);
    return made;
  }

  // From images of one side to those of the other.
  SetIds images(std::size_t operand, bool to_y) const {
    const std::int64_t from = to_y ? s_.in_channels : s_.out_channels;
    const std::int64_t to = to_y ? s_.out_channels : s_.in_channels;
    const std::int64_t from_plane = to_y ? s_.in_plane() : s_.out_plane();
    const std::int64_t to_plane = to_y ? s_.out_plane() : s_.in_plane();
    const SetIds groups = by_group(operand, from, from_plane);
    Collected collected(s_.batch * s_.groups * to_plane);
    for (std::int64_t n = 0; n < s_.batch * s_.groups; ++n)
      each([&](std::int64_t x, std::int64_t y, std::int64_t) {
        collected.add(n * to_plane + (to_y ? y : x),
                      groups[place(n * from_plane + (to_y ? x : y))]);
      });
    return to_channels(collected.united(call_.sets), to, to_plane);
  }

  // From weights to y, or to x.
  SetIds from_weights(std::size_t operand, bool to_y) const {
    const std::int64_t window = s_.window(), in = s_.in_group(), out = s_.out_group();
    const std::int64_t plane = to_y ? s_.out_plane() : s_.in_plane();
    const std::int64_t per_group = to_y ? out : in;
    Collected taps(s_.groups * per_group * window);  // united over the channels that are summed
    for (std::int64_t o = 0; o < s_.out_channels; ++o)
      for (std::int64_t i = 0; i < in; ++i)
        for (std::int64_t t = 0; t < window; ++t) {
          const std::int64_t channel = to_y ? o : o / out * in + i;
          taps.add(channel * window + t, call_.ids(operand)[place((o * in + i) * window + t)]);
        }
    const SetIds united = taps.united(call_.sets);
    Collected one(s_.groups * per_group * plane);  // image
    for (std::int64_t c = 0; c < s_.groups * per_group; ++c)
      each([&](std::int64_t x, std::int64_t y, std::int64_t t) {
        one.add(c * plane + (to_y ? y : x), united[place(c * window + t)]);
      });
    const SetIds image = one.united(call_.sets);
    SetIds made;
    for (std::int64_t n = 0; n < s_.batch; ++n) made.insert(made.end(), image.begin(), image.end());
    return made;
  }

  // From x or y to weights: all members of the batch and all places are summed.
  SetIds to_weights(std::size_t operand, bool from_x) const {
    const std::int64_t window = s_.window();
    const std::int64_t channels = from_x ? s_.in_channels : s_.out_channels;
    const std::int64_t plane = from_x ? s_.in_plane() : s_.out_plane();
    Collected taps(channels * window);
    for (std::int64_t n = 0; n < s_.batch; ++n)
      for (std::int64_t c = 0; c < channels; ++c)
        each([&](std::int64_t x, std::int64_t y, std::int64_t t) {
          taps.add(c * window + t,
                   call_.ids(operand)[place((n * channels + c) * plane + (from_x ? x : y))]);
        });
    const SetIds united = taps.united(call_.sets);
    SetIds made;
    for (std::int64_t o = 0; o < s_.out_channels; ++o)
      for (std::int64_t i = 0; i < s_.in_group(); ++i)
        for (std::int64_t t = 0; t < window; ++t) {
          const std::int64_t channel = from_x ? o / s_.out_group() * s_.in_group() + i : o;
          made.push_back(united[place(channel * window + t)]);
        }
    return made;
  }

 private:
  const SparsityCall& call_;
  const ConvShape& s_;
};

// Weights with known zeros that are few enough are run instead.
bool may_have_zeros(const SparsityCall& call) {
  if (call.active(1)) return false;
  const std::optional<Tensor> weights = call.values.constant(call.node.in[1]);
  if (!weights) return false;
  const Tensor wide = weights->to(float64);
  return std::ranges::find(wide.data<double>(), 0.0) != wide.data<double>().end();
}

OutputSets convolved(const SparsityCall& call) {
  const std::string_view name = call.node.op.name();
  const bool by_input = name == "conv2d_input_gradient";
  const bool by_weights = name == "conv2d_weight_gradient";
  if (!by_weights && may_have_zeros(call))
    if (OutputSets made = probe_linear(call)) return made;
  std::vector<Type> in, out;
  for (const Var& var : call.node.in) in.push_back(var.type());
  for (const Var& var : call.node.out) out.push_back(var.type());
  const ConvPass pass = by_input     ? ConvPass::by_input
                        : by_weights ? ConvPass::by_weights
                                     : ConvPass::forward;
  const ConvShape shape = conv_shape(pass, {in, out, call.node.attributes});
  const Convolved conv(call, shape);
  SetIds made = call.empty_out();
  for (const std::size_t i : {0U, 1U}) {
    if (!call.active(i)) continue;
    const SetIds part = by_weights ? conv.to_weights(i, i == 0)
                        : i == 1   ? conv.from_weights(i, !by_input)
                                   : conv.images(i, !by_input);
    if (part.size() != made.size()) return std::nullopt;
    for (std::size_t e = 0; e < made.size(); ++e) made[e] = call.sets.unite(made[e], part[e]);
  }
  return of_one_output(std::move(made));
}

// ---- pooling ------------------------------------------------------------------------------------

// Between whole images and their windows: every element of a window may be the one that is chosen.
OutputSets pooled(const SparsityCall& call) {
  const std::string_view name = call.node.op.name();
  const bool outwards = name == "avg_pool2d_spread" || name == "max_pool2d_scatter";
  const bool chooses = name == "max_pool2d_select" || name == "max_pool2d_scatter";
  const std::size_t i = chooses ? 1 : 0;
  if (!call.active(i) || (chooses && call.active(0))) return std::nullopt;
  const Shape& images = outwards ? call.node.out[0].shape() : call.node.in[0].shape();
  const PoolPlan plan(images, call.node.attributes);
  const auto inner = static_cast<std::int64_t>(plan.inner);
  Collected collected(call.count_out());
  for (std::size_t o = 0; o < plan.outer; ++o)
    for (std::size_t wy = 0; wy < plan.rows.out; ++wy)
      for (std::size_t wx = 0; wx < plan.columns.out; ++wx)
        for (std::size_t y = plan.rows.first[wy]; y < plan.rows.last[wy]; ++y)
          for (std::size_t x = plan.columns.first[wx]; x < plan.columns.last[wx]; ++x)
            for (std::int64_t k = 0; k < inner; ++k) {
              const auto image = static_cast<std::int64_t>(o * plan.in_size() +
                                                           (y * plan.columns.in + x) * plan.inner) +
                                 k;
              const auto window =
                  static_cast<std::int64_t>(o * plan.out_size() +
                                            (wy * plan.columns.out + wx) * plan.inner) +
                  k;
              collected.add(outwards ? image : window,
                            call.ids(i)[place(outwards ? window : image)]);
            }
  return of_one_output(collected.united(call.sets));
}

}  // namespace

OutputSets windows_rule(const SparsityCall& call) {
  return call.node.op.name().find("pool") == std::string_view::npos ? convolved(call)
                                                                    : pooled(call);
}

}  // namespace dualtape::detail
